"""What the devices hold, as dicts. Much simpler than ``workers.devices.simulated``, and written independently of it."""

from typing import Any, Literal

from workers.effects import AnyEffect, InstallFlows, LeafVlan, PlugVnic, PortEffect, RemoveFlows, UnplugVnic

#: (leaf, interface, VLAN)
EntryKey = tuple[str, str, int]


Part = Literal["vnic", "flows"]


class DeviceModel:
    """vNICs and flows by (host, port), leaf entries with the epoch of the last wish taken.

    ``late`` are effects that were sent and not answered: they land whenever somebody calls ``land``.
    """

    def __init__(self) -> None:
        self.vnics: dict[tuple[str, str], PlugVnic] = {}
        self.flows: dict[tuple[str, str], InstallFlows] = {}
        self.entries: dict[EntryKey, LeafVlan] = {}
        self.late: list[AnyEffect] = []
        self._epochs: dict[EntryKey, int] = {}
        self._over: dict[tuple[Part, str, str], int] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing is configured anywhere."""
        return not (self.vnics or self.flows or self.entries)

    def apply(self, effect: AnyEffect) -> str:
        """Bring the device to the state wished. Returns why it could not, or ``""``."""
        match effect:
            case PlugVnic() | InstallFlows():
                return self._give(effect)
            case UnplugVnic():
                self._take(effect, "vnic", self.vnics)
            case RemoveFlows():
                self._take(effect, "flows", self.flows)
            case LeafVlan():
                self._apply_to_leaf(effect)
        return ""

    def land(self, number: int) -> AnyEffect:
        """Have one of the ``late`` effects reach its device now. Nobody hears what came of it."""
        effect = self.late.pop(number)
        self.apply(effect)
        return effect

    def is_over(self, effect: PortEffect, part: Part) -> bool:
        """Whether the host was told that nothing of this generation is to be there any more."""
        return effect.generation <= self._over.get((part, effect.device, effect.port), 0)

    def _give(self, effect: PlugVnic | InstallFlows) -> str:
        where = effect.device, effect.port
        if self.is_over(effect, "vnic"):
            return "the vNIC was withdrawn"
        if isinstance(effect, PlugVnic):
            self._note_over(effect, "vnic", effect.generation - 1)
            self.vnics[where] = effect
            return ""
        if self.is_over(effect, "flows") or where not in self.vnics:
            return "the flows were withdrawn, or there is no vNIC"
        self._note_over(effect, "flows", effect.generation - 1)
        self.flows[where] = effect
        return ""

    def _take(self, effect: UnplugVnic | RemoveFlows, part: Part, held: dict[tuple[str, str], Any]) -> None:
        if not self.is_over(effect, part):
            held.pop((effect.device, effect.port), None)
            self._note_over(effect, part, effect.generation)

    def _note_over(self, effect: PortEffect, part: Part, generation: int) -> None:
        key = part, effect.device, effect.port
        self._over[key] = max(generation, self._over.get(key, 0))

    def _apply_to_leaf(self, effect: LeafVlan) -> None:
        key = effect.device, effect.interface, effect.vlan
        if effect.epoch < self._epochs.get(key, 0):
            return
        self._epochs[key] = effect.epoch
        if effect.present:
            self.entries[key] = effect
        else:
            self.entries.pop(key, None)
