"""A host: the integration bridge ``br-int`` with vNICs, flows and the trunk to the leaves (Figure 10, steps 6 and 7).

Desired state: an effect says how the device is to be, so performing it twice is performing it once.

A push may land long after its sender has given it up, has died, or has taken back what it gave, and pushes of several
generations of a port may be under way at once. So a host remembers per port the newest generation that is over (a
fence) and refuses to be given that one, or an older one, again. Giving a generation fences off those before it, and
withdrawing one takes away nothing newer. There are two fences per port that was ever withdrawn, two small numbers, kept
for good: a port never comes back under its id, and nobody can say how late a push may be.
"""

from ipaddress import AddressValueError, IPv4Address
from typing import TypeVar

import msgspec

from bus.events.device import DeviceTable
from workers.devices.simulated.blocks import BlockEntry, BlockTable
from workers.effects import AnyEffect, BlockRoute, InstallFlows, InstallPolicy, PlugVnic, RemoveFlows, UnplugVnic
from workers.policy_rules import HeldPolicy

T = TypeVar("T")


class Vnic(msgspec.Struct, frozen=True):
    """What an instance holds: its network interface, attached to br-int.

    ``enforced``: it passes nothing while the host does not hold its policy.
    """

    mac: str
    ip: str
    prefix_length: int
    gateway: str
    generation: int = 1
    enforced: bool = False


class Flow(msgspec.Struct, frozen=True):
    """The OpenFlow rules of a port: frames from and to this MAC are tagged with this VLAN (IEEE 802.1Q).

    They are for the vNIC of the same ``generation``. ``cookie`` is the run of the agent that vouches for them.
    ``installed`` numbers the installations on a host: as long as it stays, no frame was lost, whatever the cookie.
    """

    vlan: int
    mac: str
    generation: int = 1
    cookie: int = 0
    installed: int = 0


class HostState(msgspec.Struct, frozen=True, tag=True):
    """All that a host holds, for a journal or a dump; and what it remembers: fences by port id, epochs, its power."""

    host: str
    vnics: dict[str, Vnic]
    flows: dict[str, Flow]
    trunk: list[int]
    vnic_fences: dict[str, int] = {}
    flow_fences: dict[str, int] = {}
    cookie: int = 0
    installs: int = 0
    resynced: int = 0
    kept: dict[str, int] = {}
    powered: bool = True
    cut_off: bool = False
    policies: dict[str, HeldPolicy] = {}
    blocks: dict[str, BlockEntry] = {}
    block_epochs: dict[str, int] = {}


class HostDevice:
    """One host. ``vnics``, ``flows`` and ``policies`` are by port id; read them, change them through ``apply``.

    ``trunk`` holds the VLANs that the bond to the leaves carries: those that some flow uses. It is a set of its own,
    as it is on a real bridge, so that a test can break it. ``cookie`` is the newest one that any flow was given,
    ``resynced`` the newest epoch that the host was cleaned at, and ``kept`` what was its own then. A host without
    power (``powered``) forwards nothing, one that is ``cut_off`` does; neither can be spoken to, and both keep what
    they hold. ``layout`` is how its inside is wired (``layouts``). On ``bare`` metal there is no bridge: a vNIC is the
    host's own NIC, and sends untagged frames.
    """

    def __init__(self, host: str, layout: str = "driftline", *, bare: bool = False) -> None:
        self.host = host
        self.layout = layout
        self.bare = bare
        self.vnics: dict[str, Vnic] = {}
        self.flows: dict[str, Flow] = {}
        self.policies: dict[str, HeldPolicy] = {}
        self.trunk: set[int] = set()
        self.cookie = 0
        self.resynced = 0
        self.kept: dict[str, int] = {}
        self.powered = True
        self.cut_off = False
        self.blocks = BlockTable()
        self._installs = 0
        self._flows_of_vlan: dict[int, int] = {}
        # By port: the newest generation of which nothing is here and nothing may come any more.
        self._vnic_fences: dict[str, int] = {}
        self._flow_fences: dict[str, int] = {}

    @property
    def silence(self) -> str:
        """Why the host cannot be spoken to, or ``""``."""
        if not self.powered:
            return f"host {self.host}: no power"
        return f"host {self.host}: cut off from the control plane" if self.cut_off else ""

    def vlan_of(self, port: str) -> int:
        """The VLAN that the trunk carries the frames of the port's vNIC on; 0 if they do not get there with one."""
        flow, vnic = self.flows.get(port), self.vnics.get(port)
        if flow is None or vnic is None or not self.powered or flow.vlan not in self.trunk:
            return 0
        return flow.vlan if (flow.mac, flow.generation) == (vnic.mac, vnic.generation) else 0

    def sends_untagged(self, port: str) -> bool:
        """Whether frames of ``port`` leave the host as they are: it is bare metal, and this is its NIC."""
        return self.bare and self.powered and port in self.vnics

    def apply(self, effect: AnyEffect) -> str:
        """Bring one port to what ``effect`` wishes. Returns why it could not be, then nothing changed; or ``""``.

        To give a generation that was withdrawn is refused; to withdraw it again takes nothing newer away.
        """
        match effect:
            case PlugVnic():
                return self._plug(effect)
            case UnplugVnic(port=port, generation=generation):
                self.withdraw_vnic(port, generation)
                return ""
            case InstallFlows(port=port, generation=generation, mac=mac, vlan=vlan, cookie=cookie):
                return self.install(port, Flow(vlan, mac, generation, cookie))
            case InstallPolicy():
                return self._enforce(effect)
            case RemoveFlows(port=port, generation=generation):
                self.withdraw_flows(port, generation)
                return ""
            case BlockRoute():
                return self.blocks.perform(effect)
            case _:
                return f"host {self.host}: a host cannot perform {type(effect).__name__}"

    # What effects are made of. Each keeps to the fences.

    def withdraw_vnic(self, port: str, generation: int) -> None:
        """No vNIC of this generation of ``port``, or of an older one, is here from now on."""
        _raise(self._vnic_fences, port, generation)
        held = self.vnics.get(port)
        if held is not None and held.generation <= generation:
            del self.vnics[port]
        rules = self.policies.get(port)
        if rules is not None and rules.generation <= generation:
            del self.policies[port]

    def withdraw_flows(self, port: str, generation: int) -> None:
        """No flows of this generation of ``port``, or of an older one, are here from now on."""
        _raise(self._flow_fences, port, generation)
        held = self.flows.get(port)
        if held is not None and held.generation <= generation:
            self.drop_flow(port)

    def install(self, port: str, flow: Flow) -> str:
        """Have the flows of ``port`` be as ``flow``. Returns why they cannot be, then nothing changed; or ``""``.

        Flows that are so already are not touched, save for a newer cookie. The cookie is never older than the newest
        that the host was given: a push that lands after the agent began anew is no leftover of its former run.
        """
        refusal = self._refusal(port, flow)
        if refusal:
            return refusal
        _raise(self._flow_fences, port, flow.generation - 1)
        self.cookie = max(self.cookie, flow.cookie)
        held = self.flows.get(port)
        if held is not None and same_flow(held, flow):
            self.vouch(port, self.cookie)
            self.trunk.add(flow.vlan)
        else:
            self.put_flow(port, msgspec.structs.replace(flow, cookie=self.cookie))
        return ""

    def vouch(self, port: str, cookie: int) -> None:
        """The flows of ``port`` carry ``cookie`` from now on, and are not touched otherwise."""
        self.flows[port] = msgspec.structs.replace(self.flows[port], cookie=cookie)

    # What can be done to a bridge by hand, past all fences.

    def put_flow(self, port: str, flow: Flow) -> None:
        """Install ``flow`` anew, in the place of what flows the port had."""
        self.drop_flow(port)
        self._installs += 1
        self.flows[port] = msgspec.structs.replace(flow, installed=self._installs)
        self._flows_of_vlan[flow.vlan] = self._flows_of_vlan.get(flow.vlan, 0) + 1
        self.trunk.add(flow.vlan)

    def drop_flow(self, port: str) -> None:
        """Remove the flows of ``port``, if there are any."""
        flow = self.flows.pop(port, None)
        if flow is None:
            return
        self._flows_of_vlan[flow.vlan] -= 1
        if not self._flows_of_vlan[flow.vlan]:
            del self._flows_of_vlan[flow.vlan]
            self.trunk.discard(flow.vlan)

    def table(self, name: DeviceTable) -> dict[str, str]:
        """What the host holds of this table (``workers.tables``)."""
        return self.blocks.table() if name == "blocks" else {}

    def drop_row(self, name: DeviceTable, key: str) -> None:
        """Hold this entry of the table no more, whatever the epoch."""
        del self.blocks.entries[key]

    # The whole of it

    def state(self) -> HostState:
        """All that the host holds, in the order of names."""
        return HostState(
            self.host,
            _sorted(self.vnics),
            _sorted(self.flows),
            sorted(self.trunk),
            _sorted(self._vnic_fences),
            _sorted(self._flow_fences),
            self.cookie,
            self._installs,
            self.resynced,
            _sorted(self.kept),
            self.powered,
            self.cut_off,
            _sorted(self.policies),
            *self.blocks.state(),
        )

    def restore(self, state: HostState) -> None:
        """Hold what ``state`` says and nothing else."""
        self.vnics, self.flows, self.trunk = dict(state.vnics), dict(state.flows), set(state.trunk)
        self._vnic_fences, self._flow_fences = dict(state.vnic_fences), dict(state.flow_fences)
        self.cookie, self._installs, self.resynced = state.cookie, state.installs, state.resynced
        self.kept, self.policies = dict(state.kept), dict(state.policies)
        self.powered, self.cut_off = state.powered, state.cut_off
        self.blocks.restore(state.blocks, state.block_epochs)
        self._flows_of_vlan = {}
        for flow in self.flows.values():
            self._flows_of_vlan[flow.vlan] = self._flows_of_vlan.get(flow.vlan, 0) + 1

    def _plug(self, effect: PlugVnic) -> str:
        if self._is_over(effect):
            return self._withdrawn(effect.port, effect.generation)
        try:
            IPv4Address(effect.ip)
        except AddressValueError as error:
            return f"host {self.host}: vNIC of port {effect.port}: ip: {error}"
        if not 0 <= effect.prefix_length <= 32:
            return f"host {self.host}: vNIC of port {effect.port}: prefix_length: {effect.prefix_length}"
        _raise(self._vnic_fences, effect.port, effect.generation - 1)
        self.vnics[effect.port] = Vnic(
            effect.mac, effect.ip, effect.prefix_length, effect.gateway, effect.generation, effect.enforced
        )
        return ""

    def _enforce(self, effect: InstallPolicy) -> str:
        """Hold the port's rules, unless newer ones are here."""
        if self._is_over(effect):
            return self._withdrawn(effect.port, effect.generation)
        held = self.policies.get(effect.port)
        if held is None or (held.generation, held.revision) < (effect.generation, effect.revision):
            rules = HeldPolicy(effect.generation, effect.revision, effect.identity, effect.ingress, effect.egress)
            self.policies[effect.port] = rules
        return ""

    def _is_over(self, effect: PlugVnic | InstallPolicy) -> bool:
        """Whether the claim was withdrawn, or had been lost when the host was cleaned."""
        lost = 0 < effect.claimed_at <= self.resynced and self.kept.get(effect.port) != effect.generation
        return lost or effect.generation <= self._vnic_fences.get(effect.port, 0)

    def _refusal(self, port: str, flow: Flow) -> str:
        """Why flows of this generation cannot be, or ``""``. An agent is led by the devices it detects on br-int."""
        if self.bare:
            return f"host {self.host}: bare metal has no br-int"
        fences = self._vnic_fences.get(port, 0), self._flow_fences.get(port, 0)
        if flow.generation <= max(fences):  # flows follow the vNIC: they do not come once it is gone
            return self._withdrawn(port, flow.generation)
        vnic = self.vnics.get(port)
        if vnic is None:
            return f"host {self.host}: no device of port {port} on br-int"
        if vnic.generation != flow.generation:
            return (
                f"host {self.host}: the device of port {port} on br-int is of generation {vnic.generation}, "
                f"not {flow.generation}"
            )
        return ""

    def _withdrawn(self, port: str, generation: int) -> str:
        return f"host {self.host}: port {port}: generation {generation} was withdrawn"


def same_flow(flow: Flow, other: Flow) -> bool:
    """Whether both do the same to frames of the same vNIC, whoever vouches for them."""
    return (flow.vlan, flow.mac, flow.generation) == (other.vlan, other.mac, other.generation)


def _raise(fences: dict[str, int], port: str, generation: int) -> None:
    """Fence off ``generation`` and all before it."""
    if generation > fences.get(port, 0):
        fences[port] = generation


def _sorted(by_port: dict[str, T]) -> dict[str, T]:
    return dict(sorted(by_port.items()))
