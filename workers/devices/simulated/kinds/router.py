"""The core router: a gateway for each provider VLAN, and routes between those of a VRF (Figures 3 to 5).

It hangs on every leaf by a trunk of all provider VLANs. It is one: what it does not hold is not routed.
"""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import msgspec

from bus.events import Event, RouterAdded
from bus.events.device import DeviceTable
from workers import tables
from workers.devices.simulated.device import CableDevice, Device, Kind
from workers.effects import AnyEffect, RouterGateway


@lru_cache(maxsize=1 << 13)  # each is compared with all others of its VRF, and there are up to 4,094
def _range(address: str) -> tuple[int, int]:
    """The first and the last address of the subnet of an interface's address. Raises ValueError."""
    subnet = IPv4Interface(address).network
    return int(subnet.network_address), int(subnet.broadcast_address)


class Gateway(msgspec.Struct, frozen=True):
    """The router's interface in a VLAN. ``address`` has its prefix length."""

    network: str
    vlan: int
    vrf: str
    address: str

    @property
    def ip(self) -> str:
        """The address that instances send to."""
        return self.address.partition("/")[0]

    def reaches(self, ip: str) -> bool:
        """Whether ``ip`` is in the subnet of this interface."""
        first, last = _range(self.address)
        return first <= int(IPv4Address(ip)) <= last


class RouterDevice:
    """One router. ``gateways`` is by VLAN; read it, change it through ``perform``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.gateways: dict[int, Gateway] = {}
        self._epochs: dict[int, int] = {}

    def perform(self, effect: AnyEffect) -> str:
        """Hold the gateway that ``effect`` wishes, or none, in the place of the one before in its VLAN.

        Refused if another VLAN of the VRF has addresses in common: the router could not tell where they are.
        """
        if not isinstance(effect, RouterGateway):
            return f"router {self.name}: a router cannot perform {type(effect).__name__}"
        if effect.epoch < self._epochs.get(effect.vlan, 0):
            return ""
        if not effect.present:
            self._epochs[effect.vlan] = effect.epoch
            self.gateways.pop(effect.vlan, None)
            return ""
        try:
            first, last = _range(effect.address)
        except ValueError as error:
            return f"router {self.name}: VLAN {effect.vlan}: address: {error}"
        self._epochs[effect.vlan] = effect.epoch
        beside = (one for one in self.gateways.values() if one.vrf == effect.vrf and one.vlan != effect.vlan)
        for other in beside:
            other_first, other_last = _range(other.address)
            if first <= other_last and other_first <= last:
                subnet = IPv4Interface(effect.address).network
                where = f"{other.address} of VLAN {other.vlan}"
                return f"router {self.name}: {subnet} of VLAN {effect.vlan} overlaps {where}"
        self.gateways[effect.vlan] = Gateway(effect.network, effect.vlan, effect.vrf, effect.address)
        return ""

    def route(self, vrf: str, ip: str) -> Gateway | None:
        """The interface of ``vrf`` whose subnet ``ip`` is in, None if there is none."""
        return next((one for one in self.gateways.values() if one.vrf == vrf and one.reaches(ip)), None)

    def table(self, name: DeviceTable) -> dict[str, str]:
        """See ``Tabled``."""
        held = self.gateways.items() if name == "gateways" else ()
        return {str(vlan): tables.gateway(gateway.address, gateway.vrf) for vlan, gateway in held}

    def drop_row(self, name: DeviceTable, key: str) -> None:
        """See ``Tabled``."""
        del self.gateways[int(key)]

    def state(self) -> dict[str, Any]:
        """All gateways and their epochs, as plain values."""
        if not self.gateways and not self._epochs:
            return {}
        gateways = [msgspec.to_builtins(self.gateways[vlan]) for vlan in sorted(self.gateways)]
        return {"gateways": gateways, "epochs": {str(vlan): epoch for vlan, epoch in sorted(self._epochs.items())}}

    def restore(self, held: Mapping[str, Any]) -> None:
        """Hold what ``state`` gave, and nothing else."""
        gateways = msgspec.convert(held.get("gateways", []), list[Gateway])
        self.gateways = {gateway.vlan: gateway for gateway in gateways}
        self._epochs = {int(vlan): epoch for vlan, epoch in held.get("epochs", {}).items()}

    def size(self) -> int:
        """Nothing: a gateway belongs to a network, and stays when the network's last instance has gone."""
        return 0


def make(name: str, options: Mapping[str, str]) -> Device:
    """A router without gateways. It has no options: raises ValueError if it is given any."""
    if options:
        raise ValueError(f"device {name}: options: {', '.join(sorted(options))}: a router has none")
    return RouterDevice(name)


def described_by(event: Event) -> CableDevice | None:
    """The core router is described by itself."""
    return CableDevice(event.router, "router") if isinstance(event, RouterAdded) else None


KIND = Kind("router", make, described_by)
