"""What the devices hold, as dicts. Much simpler than ``workers.devices.simulated``, and written independently of it."""

from workers.effects import AnyEffect, InstallFlows, LeafVlan, PlugVnic, RemoveFlows, UnplugVnic

#: (leaf, interface, VLAN)
EntryKey = tuple[str, str, int]


class DeviceModel:
    """vNICs and flows by (host, port), leaf entries with the epoch of the last wish taken."""

    def __init__(self) -> None:
        self.vnics: dict[tuple[str, str], PlugVnic] = {}
        self.flows: dict[tuple[str, str], InstallFlows] = {}
        self.entries: dict[EntryKey, LeafVlan] = {}
        self._epochs: dict[EntryKey, int] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing is configured anywhere."""
        return not (self.vnics or self.flows or self.entries)

    def apply(self, effect: AnyEffect) -> None:
        """Bring the device to the state wished."""
        match effect:
            case PlugVnic():
                self.vnics[effect.device, effect.port] = effect
            case UnplugVnic():
                self.vnics.pop((effect.device, effect.port), None)
            case InstallFlows():
                self.flows[effect.device, effect.port] = effect
            case RemoveFlows():
                self.flows.pop((effect.device, effect.port), None)
            case LeafVlan():
                self._apply_to_leaf(effect)

    def _apply_to_leaf(self, effect: LeafVlan) -> None:
        key = effect.device, effect.interface, effect.vlan
        if effect.epoch < self._epochs.get(key, 0):
            return
        self._epochs[key] = effect.epoch
        if effect.present:
            self.entries[key] = effect
        else:
            self.entries.pop(key, None)
