"""What a profile of load is: phases, one after the other, of what is asked and when it should come."""

import importlib
import pkgutil
import random
import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from driftline.errors import UsageError
from driftline.loadtest import profiles
from driftline.trace import TraceRow
from projections.world import World

#: What a drift storm hits: the hosts below one pair of leaves fail, or that pair itself, or every pod of a zone drifts.
SCOPES = ("rack", "leaf-pair", "az")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers a profile is given.

    ``instances``: how many in all; ``rate``: how many of them come a second; ``lives_s``: how long one lives, seconds;
    ``size``: ports in one bulk request; ``scope``: what a storm hits; ``rows``: those of a trace, if there is one;
    ``flat_out``: they come in their order and not at their times.
    Raises UsageError if a number is out of its range.
    """

    instances: int
    rate: float = 100.0
    lives_s: float = 10.0
    size: int = 100
    scope: str = "rack"
    seed: int = 0
    rows: Sequence[TraceRow] = ()
    flat_out: bool = False

    def __post_init__(self) -> None:
        for name, number in (("instances", self.instances), ("size", self.size)):
            if number < 1:
                raise UsageError(f"{name}: {number} is less than 1")
        for name, value in (("rate", self.rate), ("lives_s", self.lives_s)):
            if not 0 < value < float("inf"):
                raise UsageError(f"{name}: {value} is not a finite number above 0")
        if self.scope not in SCOPES:
            raise UsageError(f"scope: {self.scope} is none of {', '.join(SCOPES)}")


class Instances(msgspec.Struct, frozen=True):
    """Instances that come, and may go. ``timed``: each when it is due; else as fast as is allowed, in their order.

    ``fill``: they are to be there before what is tested begins, so they are timed as ``fill`` and not as ``spawn``.
    ``gone_s``: when instances of earlier phases are to go, by their rows' names, seconds after this phase begins.
    """

    rows: Sequence[TraceRow]
    timed: bool = True
    fill: bool = False
    gone_s: Mapping[str, float] = {}


class Bulk(msgspec.Struct, frozen=True):
    """Ports made before their instances, ``size`` in a request, ``rate`` requests a second (open loop)."""

    ports: int
    size: int
    rate: float


class HostsFail(msgspec.Struct, frozen=True):
    """These hosts fail at once, and all that is on them drifts."""

    hosts: Sequence[str]


class LeavesFail(msgspec.Struct, frozen=True):
    """These leaves fail at once, and with them the hosts below: all that is on those drifts, then the leaves are back.

    The hosts go on forwarding and cannot be spoken to any more; the leaves take no configuration.
    """

    leaves: Sequence[str]
    hosts: Sequence[str]


class PodsDrift(msgspec.Struct, frozen=True):
    """Every pod of this run that lives in the zone drifts at once; its host lives."""

    az: str


#: The fields of a shape that some profiles have no use for.
SOME_TAKE = frozenset({"rate", "lives_s", "size", "scope"})

Phase = Instances | Bulk | HostsFail | LeavesFail | PodsDrift
Profile = Callable[[Shape, World], list[Phase]]


def found() -> dict[str, Profile]:
    """Every profile by name: a module of ``driftline.loadtest.profiles`` each, whose function ``phases`` makes it."""
    names = sorted(module.name for module in pkgutil.iter_modules(profiles.__path__))
    return {name: importlib.import_module(f"{profiles.__name__}.{name}").phases for name in names}


def named(name: str) -> Profile:
    """The profile ``name``, or the one in the file that it names (``….py``).

    Raises UsageError, with the names there are, if there is none; also if the file cannot be loaded or has no phases.
    """
    if name.endswith(".py"):
        return _of_file(Path(name))
    every = found()
    if name not in every:
        raise UsageError(f"--profile: {name} is none of {', '.join(every)}, and no file of yours that ends in .py")
    return every[name]


def takes(name: str) -> frozenset[str]:
    """Which of the numbers that only some profiles take ``name`` makes use of: its ``TAKES``. One in a file: of all."""
    if name.endswith(".py"):
        return SOME_TAKE
    return frozenset(getattr(importlib.import_module(f"{profiles.__name__}.{name}"), "TAKES", ()))


def _of_file(path: Path) -> Profile:
    try:
        defined = runpy.run_path(str(path))
    except Exception as error:
        raise UsageError(f"--profile {path}: cannot be loaded: {type(error).__name__}: {error}") from error
    phases = defined.get("phases")
    if not callable(phases):
        raise UsageError(f"--profile {path}: it has no function phases(shape, world)")

    def checked(shape: Shape, world: World) -> list[Phase]:
        try:
            made = list(phases(shape, world))
        except UsageError:
            raise
        except Exception as error:  # whatever somebody else's code raises
            raise UsageError(f"--profile {path}: phases: {type(error).__name__}: {error}") from error
        if not made or not all(isinstance(phase, Phase) for phase in made):
            raise UsageError(f"--profile {path}: phases: gives {made!r:.80}, not a list of one or more phases")
        return made

    return checked


def at_once(count: int, first: int = 1) -> list[TraceRow]:
    """``count`` instances that are all due at second 0 and stay."""
    return [TraceRow(line=index, name=str(index), created_s=0.0) for index in range(first, first + count)]


def poisson(shape: Shape) -> list[float]:
    """When each instance should come, seconds: independent of each other and of how the system fares (open loop)."""
    chance = random.Random(shape.seed)
    times, now_s = [], 0.0
    for _ in range(shape.instances):
        now_s += chance.expovariate(shape.rate)
        times.append(now_s)
    return times
