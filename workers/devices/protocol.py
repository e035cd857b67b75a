"""What a device driver offers to the workers' runner, whether it is the model, OVS over OVSDB, or FRR over vty."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from workers.effects import AnyEffect, Difference


class Outcome(NamedTuple):
    """What came of the effect at ``index``: ``error`` is empty when the device is as wished (or was looked at).

    ``found`` is what an audit found, or what a resync removed.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks of an outcome
    error: str = ""
    found: tuple[Difference, ...] = ()


class Devices(Protocol):
    """Brings devices to a desired state."""

    def apply(self, effects: Sequence[AnyEffect]) -> AsyncIterator[Sequence[Outcome]]:
        """Perform ``effects``, which may go to many devices, and yield groups of outcomes as they become known.

        Each index comes at most once; one that never comes has an unknown outcome (it may have been applied).
        Effects for one slot never overlap: the caller sees to it. Those of different generations of a port do.
        A driver guarantees that effects are idempotent and that what was taken away never comes back, however late a
        push of that generation (or epoch) or an older one lands; with OVS, the fence is in external_ids of the bridge.
        Raises DevicesUnavailable when the devices cannot be reached at all.
        """
        ...

    async def alive(self, hosts: Sequence[str]) -> set[str]:
        """Which of ``hosts`` have an agent that can be heard now. One without power or cut off is silent.

        Raises DevicesUnavailable when nobody can tell.
        """
        ...
