"""What holds on the devices at every moment, held against the ledger. ``Fabric`` is looked at, never changed."""

from collections.abc import Container

from bus.events import OVS_AGENT
from driftline.invariants.books import Claim, EntryKey, Host
from driftline.invariants.ledger import VLAN_MAX
from driftline.invariants.stories import Stories
from driftline.invariants.table import Violation
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.host import Flow, HostDevice, same_flow
from workers.devices.simulated.leaf import LeafDevice


class Devices:
    """The "always" checks of devices. Devices that somebody laid hands on are ``excused`` until told otherwise."""

    def __init__(self, stories: Stories) -> None:
        self.stories, self.ledger, self.exercised = stories, stories.ledger, stories.exercised
        self.excused: set[str] = set()
        #: (host, port) → its flows when last looked at (invariant 15).
        self._flows: dict[str, dict[str, Flow]] = {}

    def check(self, fabric: Fabric) -> None:
        """All devices. Raises Violation."""
        for name in fabric.hosts:
            if name in self.excused:
                self._forget(name, ())
            elif name in self.ledger.hosts:
                self._host(self.ledger.hosts[name], fabric.host(name))
        needed = self._placed()
        for name in fabric.leaves:
            if name not in self.excused:
                self._leaf(fabric.leaf(name), needed)
        self._fenced(fabric)
        for port, known in self.ledger.live.items():
            claim = known.current
            if claim.usable and not self.stories.is_leaving(known.identity.instance) and claim.host in fabric.hosts:
                self._usable(fabric, port, claim)

    def _host(self, host: Host, device: HostDevice) -> None:
        """A host that is up holds only claims of its own of which something may be left; bare metal has no flows."""
        if host.is_bare and device.flows:
            raise Violation(4, f"{host.name} is bare metal and holds flows", min(device.flows))
        if host.is_up:
            for part, held in (("vNIC", device.vnics), ("flows", device.flows)):
                for port in held:
                    self.exercised[18] += 1
                    self._is_allowed(host.name, port, held[port].generation, part)
        self._forget(host.name, device.flows if host.is_up else ())
        if host.is_up:
            for port, flow in device.flows.items():
                self._untouched(host.name, port, flow)

    def _forget(self, host: str, held: Container[str]) -> None:
        """What is known of flows that are not held is nothing any more."""
        known = self._flows.get(host, {})
        for port in [port for port in known if port not in held]:
            del known[port]

    def _is_allowed(self, host: str, port: str, generation: int, part: str) -> None:
        known = self.ledger.live.get(port)
        if known is None:
            raise Violation(20, f"{host} holds {part} of a port whose address is free", port)
        claim = known.claims.get(generation)
        if claim is None or claim.host != host:
            raise Violation(18, f"{host} holds {part} of generation {generation}, which is not its own", port)

    def _untouched(self, host: str, port: str, flow: Flow) -> None:
        """Invariant 15: flows that are as they were have lost no frame, whatever the agent's run."""
        known = self._flows.setdefault(host, {})
        before = known.get(port)
        known[port] = flow
        if before is None or not same_flow(before, flow):
            return
        self.exercised[15] += before.cookie != flow.cookie
        if before.installed != flow.installed:
            raise Violation(15, f"{host} installed unchanged flows anew", port)

    def _placed(self) -> set[tuple[EntryKey, int]]:
        """The entries (with their VNI) that CNC has not yet said to be gone."""
        claims = (claim for port in self.ledger.live.values() for claim in port.claims.values())
        return {
            (key, claim.event.vni)
            for claim in claims
            if claim.placed and not claim.leaves_are_clear
            for key in self.ledger.entries_of(claim)
        }

    def _leaf(self, leaf: LeafDevice, needed: set[tuple[EntryKey, int]]) -> None:
        vni_of: dict[int, int] = {}
        vlan_of: dict[int, int] = {}
        size = 0
        for interface, vlans in leaf.interfaces.items():
            if len(vlans) > 1 and (leaf.leaf, interface) in self._untagged():
                raise Violation(10, f"{leaf.leaf} carries VLANs {sorted(vlans)} on {interface}, to bare metal")
            for vlan, entry in vlans.items():
                size += 1
                self.exercised.update((9, 10))
                if not 1 <= vlan <= VLAN_MAX:
                    raise Violation(9, f"{leaf.leaf} carries VLAN {vlan}")
                if vni_of.setdefault(vlan, entry.vni) != entry.vni or vlan_of.setdefault(entry.vni, vlan) != vlan:
                    raise Violation(9, f"{leaf.leaf}: VLAN {vlan} and VNI {entry.vni} are not one to one")
                if ((leaf.leaf, interface, vlan), entry.vni) not in needed:
                    raise Violation(10, f"{leaf.leaf} carries VLAN {vlan} on {interface}, which no port needs")
        if size > leaf.capacity:
            raise Violation(9, f"{leaf.leaf} holds {size} entries, its hardware {leaf.capacity}")

    def _untagged(self) -> set[tuple[str, str]]:
        """The leaf interfaces that bare metal hangs on, which has one VLAN: it cannot tell them apart."""
        return {(leaf, host.interface) for host in self.ledger.hosts.values() if host.is_bare for leaf in host.leaves}

    def _fenced(self, fabric: Fabric) -> None:
        """No leaf carries anything for a host that was cut off."""
        for name, host in self.ledger.hosts.items():
            if not host.fenced or name not in fabric.hosts:
                continue
            self.exercised[22] += 1
            for leaf in host.leaves:
                vlans = fabric.leaf(leaf).interfaces.get(host.interface)
                if vlans and leaf not in self.excused:
                    raise Violation(22, f"{name} is fenced, and {leaf} carries VLAN {min(vlans)} for it")
                self._shut(host, fabric.leaf(leaf))

    def _shut(self, host: Host, leaf: LeafDevice) -> None:
        """Where there was a provider network when it died, its interface is shut, until it has been cleaned."""
        trunked = (position for network, position in self.ledger.networks.values() if network.vlan)
        if host.state != "down" or min(trunked, default=host.epoch) >= host.epoch or leaf.leaf in self.excused:
            return
        if host.interface not in leaf.trunk.shut:
            raise Violation(22, f"{host.name} is fenced, and {leaf.leaf} does not shut {host.interface}")

    def _usable(self, fabric: Fabric, port: str, claim: Claim) -> None:
        """A port that counts as usable is wired: on its host, and on both leaves."""
        self.exercised.update((4, 10))
        device = fabric.host(claim.host)
        if claim.host not in self.excused:
            has_flows = claim.event.underlay_by == OVS_AGENT
            held_here = [("vNIC", device.vnics.get(port)), *([("flows", device.flows.get(port))] if has_flows else ())]
            for part, held in held_here:
                if held is None or held.generation != claim.generation:
                    raise Violation(4, f"usable on {claim.host}, and has no {part} there", port)
            if has_flows and claim.event.vlan not in device.trunk:
                raise Violation(4, f"usable, and the trunk of {claim.host} lacks VLAN {claim.event.vlan}", port)
        for leaf, interface, vlan in self.ledger.entries_of(claim):
            entry = fabric.leaf(leaf).entry(interface, vlan)
            if leaf not in self.excused and (entry is None or entry.vni != claim.event.vni):
                raise Violation(10, f"usable, and {leaf} lacks VLAN {vlan} on {interface}", port)
