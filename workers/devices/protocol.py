"""What a device driver offers to the workers' runner, whether it is the model, OVS over OVSDB, or FRR over vty."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from workers.effects import AnyEffect


class Devices(Protocol):
    """Brings devices to a desired state."""

    def apply(self, effects: Sequence[AnyEffect]) -> AsyncIterator[Sequence[tuple[int, str]]]:
        """Perform ``effects``, which may go to many devices, and yield outcomes as they become known.

        Yields groups of (index into ``effects``, error); the error is empty when the device is as wished. Each index
        comes at most once; one that never comes has an unknown outcome (it may have been applied).
        Effects for one slot never overlap: the caller sees to it.
        A driver guarantees that effects are idempotent and that what was taken away never comes back, however late a
        push of that generation (or epoch) or an older one lands; with OVS, the fence is in external_ids of the bridge.
        Raises DevicesUnavailable when the devices cannot be reached at all.
        """
        ...


class DevicesUnavailable(Exception):
    """No driver answers."""
