"""Devices of further kinds than hosts and leaves: what the fabric asks of them, and how they are put up and kept."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from bus.events import Event
from bus.events.device import DeviceTable
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


@runtime_checkable
class Tabled(Protocol):
    """A device that holds tables (``bus.events.DeviceTable``)."""

    def table(self, name: DeviceTable) -> dict[str, str]:
        """What it holds of this table, in the words of ``workers.tables``; empty for a table that it has not."""
        ...

    def drop_row(self, name: DeviceTable, key: str) -> None:
        """Somebody's hand: hold this entry no more, whatever the epoch."""
        ...


def described_by_none(event: Event) -> CableDevice | None:
    """The ``described_by`` of a kind that only tests put up."""
    return None


class Kind(NamedTuple):
    """A kind of device: every module of ``kinds`` with a ``KIND`` is one. ``make`` takes its name and its options.

    ``described_by``: the device of this kind that an event (an ``*.added``) describes besides hosts and leaves.
    """

    name: str
    make: Callable[[str, Mapping[str, str]], Device]
    described_by: Callable[[Event], CableDevice | None] = described_by_none


_KINDS: dict[str, Kind] = {}


@cache
def _find() -> None:
    modules = [importlib.import_module(f"{kinds.__name__}.{m.name}") for m in pkgutil.iter_modules(kinds.__path__)]
    for module in modules:
        register(module.KIND)


def all_kinds() -> Mapping[str, Kind]:
    """The kinds by name."""
    _find()  # not at import: a kind's module needs this one
    return MappingProxyType(_KINDS)


def register(kind: Kind) -> None:
    """Make ``kind`` known. Raises ValueError if another has its name."""
    if _KINDS.setdefault(kind.name, kind) is not kind:
        raise ValueError(f"name: there is a kind of device {kind.name} already")


def forget(name: str) -> None:
    """Undo ``register``, for a test that brings a kind of its own. Raises KeyError."""
    del _KINDS[name]


def make(cable: CableDevice) -> Device:
    """The device that ``cable`` describes, empty. Raises ValueError for an unknown kind or wrong options."""
    known = all_kinds()
    if cable.kind not in known:
        raise ValueError(f"device {cable.device}: kind: {cable.kind} is none of {', '.join(sorted(known)) or 'none'}")
    return known[cable.kind].make(cable.device, cable.options)
