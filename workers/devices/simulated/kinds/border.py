"""The border of a zone: it leaks the routes of VRFs into each other, and has lines to other regions (Figure 14)."""

from collections.abc import Mapping
from typing import Any

from bus.events import AzAdded, Event
from bus.events.device import DeviceTable
from projections.borders import border_of
from workers import tables
from workers.devices.simulated.device import CableDevice, Device, Kind
from workers.effects import AnyEffect, BorderEntry

#: (kind, one, other)
_Key = tuple[str, str, str]


class BorderDevice:
    """One border. An entry of an older epoch than the last one taken for it succeeds without a change."""

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self.name, self.az, self.region = name, options["az"], options["region"]
        self._entries: set[_Key] = set()
        self._epochs: dict[_Key, int] = {}

    def leaks(self, vrf: str) -> set[str]:
        """The VRFs whose routes are leaked into ``vrf``."""
        pairs = [(one, other) for kind, one, other in self._entries if kind == "vrfs"]
        return {other if one == vrf else one for one, other in pairs if vrf in (one, other)}

    def lines(self) -> set[str]:
        """The regions that a line leads to."""
        pairs = [(one, other) for kind, one, other in self._entries if kind == "line"]
        return {other if one == self.region else one for one, other in pairs}

    def hubs(self) -> set[str]:
        """The regions that others hang on."""
        return {hub for kind, _, hub in self._entries if kind == "line"}

    def perform(self, effect: AnyEffect) -> str:
        if not isinstance(effect, BorderEntry):
            return f"border {self.name}: a border cannot perform {type(effect).__name__}"
        key = (effect.kind, effect.one, effect.other)
        if effect.epoch >= self._epochs.get(key, 0):
            self._epochs[key] = effect.epoch
            if effect.present:
                self._entries.add(key)
            else:
                self._entries.discard(key)
        return ""

    def table(self, name: DeviceTable) -> dict[str, str]:
        """See ``Tabled``."""
        return {tables.border(*key): tables.HELD for key in self._entries} if name == "border" else {}

    def drop_row(self, name: DeviceTable, key: str) -> None:
        """See ``Tabled``."""
        kind, one, other = key.split()
        self._entries.discard((kind, one, other))

    def state(self) -> dict[str, Any]:
        if not self._epochs:
            return {}
        return {
            "entries": [list(key) for key in sorted(self._entries)],
            "epochs": [[*key, epoch] for key, epoch in sorted(self._epochs.items())],
        }

    def restore(self, held: Mapping[str, Any]) -> None:
        self._entries = {(kind, one, other) for kind, one, other in held.get("entries", [])}
        self._epochs = {(kind, one, other): epoch for kind, one, other, epoch in held.get("epochs", [])}

    def size(self) -> int:
        return 0  # connections outlive the instances


def make(name: str, options: Mapping[str, str]) -> Device:
    """The border ``name``. Raises ValueError when it is not said where it is."""
    for option in ("az", "region"):
        if option not in options:
            raise ValueError(f"device {name}: {option}: not given")
    return BorderDevice(name, options)


def described_by(event: Event) -> CableDevice | None:
    """Each zone has a border."""
    match event:
        case AzAdded(az=az, region=region):
            return CableDevice(border_of(az), "border", {"az": az, "region": region})
        case _:
            return None


KIND = Kind("border", make, described_by)
