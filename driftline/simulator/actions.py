"""What a scenario consists of: requests and faults, each at its time. Plain values, so a run can be cut short."""

from typing import Literal

import msgspec

from bus.events import AnyEvent
from driftline.simulator.bus import BusFaults
from driftline.simulator.process import Habit
from workers.devices.simulated.fabric import SetHosts
from workers.devices.simulated.faults import FaultPlan

#: What somebody does to a device by hand.
Trick = Literal[
    "drop vnic", "drop flow", "drop entry", "add vnic", "add flow", "add entry", "drop policy", "drop row", "leak eni"
]


class Action(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that is done to the control plane ``at_s`` seconds after the start."""

    at_s: float


class Ask(Action, frozen=True, kw_only=True):
    """Somebody outside appends an event. ``request`` is its id and its story."""

    event: AnyEvent
    request: str
    actor: str = "publisher"


class Crash(Action, frozen=True, kw_only=True):
    """A process dies, and comes back after ``down_s``."""

    process: str
    down_s: float


class RunTwin(Action, frozen=True, kw_only=True):
    """A second process of the same worker runs for ``for_s``, against all advice."""

    process: str
    for_s: float


class SetHabit(Action, frozen=True, kw_only=True):
    """From now on a process dies like this; all if ``process`` is empty."""

    process: str
    habit: Habit


class SetBus(Action, frozen=True, kw_only=True):
    """From now on a process fares like this with the log; all if ``process`` is empty."""

    process: str
    faults: BusFaults


class SetHands(Action, frozen=True, kw_only=True):
    """From now on a process reaches no device with this probability, and dead ones' effects land with that; all if
    ``process`` is empty.
    """

    process: str = ""
    unavailable: float
    leftovers: float


class SetDevices(Action, frozen=True, kw_only=True):
    """From now on effects fare as ``plan`` says."""

    plan: FaultPlan


class SetPower(Action, frozen=True, kw_only=True):
    """Hosts lose or get power, are cut off or reconnected."""

    change: SetHosts


class Tamper(Action, frozen=True, kw_only=True):
    """Somebody does something to a device by hand. ``pick``, below 1, says to which of all there are then."""

    trick: Trick
    pick: float


class Copy(Action, frozen=True, kw_only=True):
    """What the log holds already comes again: an event of this name, or any; ``anew``: a request as one of its own."""

    pick: float
    anew: bool = False
    of: str = ""


class Forge(Action, frozen=True, kw_only=True):
    """A report comes that is of another host or generation than the port's claim (picked by ``pick``)."""

    pick: float
    kind: int
    host: str


AnyAction = Ask | Crash | RunTwin | SetHabit | SetBus | SetHands | SetDevices | SetPower | Tamper | Copy | Forge
