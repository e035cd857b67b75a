"""Devices of further kinds than hosts and leaves: what the fabric asks of them, and how they are put up and kept."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from workers.devices.simulated import kinds
from workers.effects import AnyEffect, Difference


class CableDevice(msgspec.Struct, frozen=True, tag=True):
    """A device of a ``kind`` (``kinds/``), with what its maker needs to know."""

    device: str
    kind: str
    options: dict[str, str] = {}


class DeviceState(msgspec.Struct, frozen=True, tag=True):
    """All that a device holds, as plain values, for a journal or a dump."""

    device: str
    held: dict[str, Any]


class Device(Protocol):
    """One device. Performing an effect twice is performing it once, and what was taken away never comes back late."""

    def perform(self, effect: AnyEffect) -> str | tuple[Difference, ...]:
        """Bring the device to what ``effect`` wishes. Returns why it could not, then nothing changed; or ``""``.

        One that found or gave something returns that.
        """
        ...

    def state(self) -> dict[str, Any]:
        """All that the device holds and remembers, as plain values; empty for nothing."""
        ...

    def restore(self, held: Mapping[str, Any]) -> None:
        """Hold what ``state`` gave, and nothing else."""
        ...

    def size(self) -> int:
        """How many entries it holds that a deletion is to remove."""
        ...


class Kind(NamedTuple):
    """A kind of device: every module of ``kinds`` with a ``KIND`` is one. ``make`` takes its name and its options."""

    name: str
    make: Callable[[str, Mapping[str, str]], Device]


KINDS: dict[str, Kind] = {}


def make(cable: CableDevice) -> Device:
    """The device that ``cable`` describes, empty. Raises ValueError for an unknown kind or wrong options."""
    if not KINDS:  # a kind's module needs this one
        modules = [importlib.import_module(f"{kinds.__name__}.{m.name}") for m in pkgutil.iter_modules(kinds.__path__)]
        KINDS.update({module.KIND.name: module.KIND for module in modules})
    if cable.kind not in KINDS:
        raise ValueError(f"device {cable.device}: kind: {cable.kind} is none of {', '.join(sorted(KINDS)) or 'none'}")
    return KINDS[cable.kind].make(cable.device, cable.options)
