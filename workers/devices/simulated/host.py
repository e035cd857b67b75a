"""A host: the integration bridge ``br-int`` with vNICs, flows and the trunk to the leaves (Figure 10, steps 6 and 7).

Desired state: an effect says how the device is to be, so performing it twice is performing it once.

A push may land long after its sender has given it up, has died, or has taken back what it gave. So a host remembers per
port the newest generation that is over (a fence) and refuses to be given that one, or an older one, again. There are
two fences per port that was ever withdrawn, two small numbers, kept for good: a port never comes back under its id, and
nobody can say how late a push may be.
"""

from ipaddress import AddressValueError, IPv4Address
from typing import TypeVar

import msgspec

from workers.effects import AnyEffect, InstallFlows, PlugVnic, RemoveFlows, UnplugVnic

T = TypeVar("T")


class Vnic(msgspec.Struct, frozen=True):
    """What an instance holds: its network interface, attached to br-int."""

    mac: str
    ip: str
    prefix_length: int
    gateway: str


class Flow(msgspec.Struct, frozen=True):
    """The OpenFlow rules of a port: frames from and to this MAC are tagged with this VLAN (IEEE 802.1Q)."""

    vlan: int
    mac: str


class HostState(msgspec.Struct, frozen=True, tag=True):
    """All that a host holds, for a journal or a dump; and the fences, by port id."""

    host: str
    vnics: dict[str, Vnic]
    flows: dict[str, Flow]
    trunk: list[int]
    vnic_fences: dict[str, int] = {}
    flow_fences: dict[str, int] = {}


class HostDevice:
    """One host. ``vnics`` and ``flows`` are by port id; read them, change them through ``apply``.

    ``trunk`` holds the VLANs that the bond to the leaves carries: those that some flow uses. It is a set of its own,
    as it is on a real bridge, so that a test can break it.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.vnics: dict[str, Vnic] = {}
        self.flows: dict[str, Flow] = {}
        self.trunk: set[int] = set()
        self._flows_of_vlan: dict[int, int] = {}
        # By port: the newest generation of which nothing is here and nothing may come any more.
        self._vnic_fences: dict[str, int] = {}
        self._flow_fences: dict[str, int] = {}

    def apply(self, effect: AnyEffect) -> str:
        """Bring the host to what ``effect`` wishes. Returns why it could not, then nothing changed; or ``""``.

        To give a generation that was withdrawn is refused; to withdraw it again takes nothing newer away.
        """
        match effect:
            case PlugVnic():
                return self._plug(effect)
            case UnplugVnic(port=port, generation=generation):
                if _raise(self._vnic_fences, port, generation):
                    self.vnics.pop(port, None)
                return ""
            case InstallFlows():
                return self._install(effect)
            case RemoveFlows(port=port, generation=generation):
                if _raise(self._flow_fences, port, generation):
                    self._remove_flow(port)
                return ""
            case _:
                return f"host {self.host}: a host cannot perform {type(effect).__name__}"

    def state(self) -> HostState:
        """All that the host holds, in the order of names."""
        return HostState(
            self.host,
            _sorted(self.vnics),
            _sorted(self.flows),
            sorted(self.trunk),
            _sorted(self._vnic_fences),
            _sorted(self._flow_fences),
        )

    def restore(self, state: HostState) -> None:
        """Hold what ``state`` says and nothing else."""
        self.vnics, self.flows, self.trunk = dict(state.vnics), dict(state.flows), set(state.trunk)
        self._vnic_fences, self._flow_fences = dict(state.vnic_fences), dict(state.flow_fences)
        self._flows_of_vlan = {}
        for flow in self.flows.values():
            self._flows_of_vlan[flow.vlan] = self._flows_of_vlan.get(flow.vlan, 0) + 1

    def _plug(self, effect: PlugVnic) -> str:
        if effect.generation <= self._vnic_fences.get(effect.port, 0):
            return self._withdrawn(effect)
        try:
            IPv4Address(effect.ip)
        except AddressValueError as error:
            return f"host {self.host}: vNIC of port {effect.port}: ip: {error}"
        if not 0 <= effect.prefix_length <= 32:
            return f"host {self.host}: vNIC of port {effect.port}: prefix_length: {effect.prefix_length}"
        _raise(self._vnic_fences, effect.port, effect.generation - 1)
        self.vnics[effect.port] = Vnic(effect.mac, effect.ip, effect.prefix_length, effect.gateway)
        return ""

    def _install(self, effect: InstallFlows) -> str:
        fences = self._vnic_fences.get(effect.port, 0), self._flow_fences.get(effect.port, 0)
        if effect.generation <= max(fences):  # flows follow the vNIC: they do not come once it is gone
            return self._withdrawn(effect)
        if effect.port not in self.vnics:  # an agent is led by the devices that it detects on the bridge
            return f"host {self.host}: no device of port {effect.port} on br-int"
        _raise(self._flow_fences, effect.port, effect.generation - 1)
        self._remove_flow(effect.port)
        self._flows_of_vlan[effect.vlan] = self._flows_of_vlan.get(effect.vlan, 0) + 1
        self.flows[effect.port] = Flow(effect.vlan, effect.mac)
        self.trunk.add(effect.vlan)
        return ""

    def _withdrawn(self, effect: PlugVnic | InstallFlows) -> str:
        return f"host {self.host}: port {effect.port}: generation {effect.generation} was withdrawn"

    def _remove_flow(self, port: str) -> None:
        flow = self.flows.pop(port, None)
        if flow is None:
            return
        self._flows_of_vlan[flow.vlan] -= 1
        if not self._flows_of_vlan[flow.vlan]:
            del self._flows_of_vlan[flow.vlan]
            self.trunk.discard(flow.vlan)


def _raise(fences: dict[str, int], port: str, generation: int) -> bool:
    """Fence off ``generation`` and all before it. Returns whether that is new."""
    if generation <= fences.get(port, 0):
        return False
    fences[port] = generation
    return True


def _sorted(by_port: dict[str, T]) -> dict[str, T]:
    return dict(sorted(by_port.items()))
