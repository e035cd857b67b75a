"""What holds once faults have stopped and nothing is under way (invariants 18 to 23)."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from bus.events import OVS_AGENT
from driftline.invariants.books import Claim, EntryKey, Port
from driftline.invariants.stories import Stories
from driftline.invariants.table import Violation
from workers.devices.simulated.fabric import Fabric


class Quiet:
    """The checks of a system at rest."""

    def __init__(self, stories: Stories) -> None:
        self.stories, self.ledger, self.exercised = stories, stories.ledger, stories.exercised

    def check_log(self) -> None:
        """What the log alone can tell."""
        for name in sorted(self.ledger.live):
            self._has_ended(name, self.ledger.live[name])
        self._failed_spawns()
        self._drifts()

    def check_devices(self, fabric: Fabric, excused: AbstractSet[str] = frozenset()) -> None:
        """What the devices hold is what the log says they should hold; ``excused`` ones are not looked at."""
        claims: dict[str, dict[str, Claim]] = {}
        for port, known in self.ledger.live.items():
            claims.setdefault(known.current.host, {})[port] = known.current
        for name in fabric.hosts:
            host = self.ledger.hosts.get(name)
            if host is not None and host.is_up and name not in excused:
                self._host(fabric, name, claims.get(name, {}))
        self._leaves(fabric, [leaf for leaf in fabric.leaves if leaf not in excused])

    def _has_ended(self, name: str, port: Port) -> None:
        """Invariant 19."""
        self.exercised[19] += 1
        claim, instance = port.current, port.identity.instance
        host = self.ledger.hosts.get(claim.host)
        if len(port.claims) > 1:
            old = next(c for c in port.claims.values() if c is not claim)
            raise Violation(18, f"the claim of {old.host} (generation {old.generation}) is never cleared", name)
        if host is not None and not host.is_up:
            self._is_in_error(name, claim, f"its host is {host.state}")
        elif self.stories.is_leaving(instance) or claim.over:
            raise Violation(19, f"{instance} is taken down for ever: {claim.pair}", name)
        elif not claim.usable and instance in self.stories.instances:
            self._is_in_error(name, claim, "it waits for ever")

    def _is_in_error(self, name: str, claim: Claim, why: str) -> None:
        if "ERROR" not in claim.pair or not claim.reason:
            raise Violation(19, f"{claim.pair}, cause {claim.reason!r}: {why}", name)

    def _failed_spawns(self) -> None:
        """Invariant 20. That no device holds anything of it is part of 21: its port is not live."""
        ports = {port.identity.instance: name for name, port in self.ledger.live.items()}
        for instance, position in self.stories.failed.items():
            self.exercised[20] += 1
            port = ports.get(instance)
            if port is None:
                continue
            host = self.ledger.hosts.get(self.ledger.live[port].current.host)
            if host is None or host.is_up:
                raise Violation(20, f"{instance} failed, and its port is left", port, position)

    def _drifts(self) -> None:
        """Invariant 22: the last drift that arrived is where the port is."""
        for instance, (drifted, position) in self.stories.arrived.items():
            self.exercised[22] += instance in self.stories.doubled
            wanted, port = self.stories.drifts.get(instance), self.ledger.live.get(drifted.port)
            if wanted is not None and port is not None and not wanted.host == drifted.host == port.current.host:
                text = f"{instance} was to end on {wanted.host}, drifted to {drifted.host}, is on {port.current.host}"
                raise Violation(22, text, drifted.port, position)

    def _host(self, fabric: Fabric, name: str, claims: dict[str, Claim]) -> None:
        device = fabric.host(name)
        number = 22 if self.ledger.hosts[name].has_returned else 18
        for part, ports in (("vNIC", device.vnics), ("flows", device.flows)):
            extra = sorted(set(ports) - set(claims))
            self.exercised[number] += 1
            if extra:
                wrong = number if extra[0] in self.ledger.live else 21
                raise Violation(wrong, f"{name} holds {part} that it should not hold", extra[0])
        for port in sorted(claims):
            self.exercised[21] += 1
            self._wired(fabric, port, claims[port])

    def _wired(self, fabric: Fabric, port: str, claim: Claim) -> None:
        device, e = fabric.host(claim.host), claim.event
        vnic, flow = device.vnics.get(port), device.flows.get(port)
        broken = claim.pair.startswith("ERROR") or not claim.bound
        lacks_flows = flow is None and e.underlay_by == OVS_AGENT
        if (vnic is None or lacks_flows) and not broken:
            raise Violation(21, f"{claim.host} lacks {'vNIC' if vnic is None else 'flows'}", port)
        address = (e.mac, e.ip, e.prefix_length, e.gateway, e.generation)
        if vnic is not None and (vnic.mac, vnic.ip, vnic.prefix_length, vnic.gateway, vnic.generation) != address:
            raise Violation(21, f"{claim.host} holds {vnic}, the log says {address}", port)
        if flow is not None and (flow.vlan, flow.mac, flow.generation) != (e.vlan, e.mac, e.generation):
            raise Violation(21, f"{claim.host} holds {flow}, the log says VLAN {e.vlan}", port)

    def _leaves(self, fabric: Fabric, leaves: Sequence[str]) -> None:
        """Invariants 18, 21 and 23: each entry is needed by a bound port of a host that is up, and is there."""
        needed = self._needed()
        for leaf in leaves:
            for interface, vlans in fabric.leaf(leaf).interfaces.items():
                for vlan in vlans:
                    self.exercised[18] += 1
                    if (leaf, interface, vlan) not in needed:
                        raise Violation(18, f"{leaf} carries VLAN {vlan} on {interface} for no current host")
        for (leaf, interface, vlan), (name, claim) in needed.items():
            if leaf not in leaves:
                continue
            self.exercised[21] += 1
            entry = fabric.leaf(leaf).entry(interface, vlan)
            if entry is None and not claim.pair.endswith("ERROR"):
                raise Violation(21, f"{leaf} lacks VLAN {vlan} on {interface}", name)
            if entry is not None and (entry.vni, entry.vrf) != (claim.event.vni, claim.event.vrf):
                raise Violation(21, f"{leaf} maps VLAN {vlan} on {interface} to {entry}", name)

    def _needed(self) -> dict[EntryKey, tuple[str, Claim]]:
        """The entries that are to be there, each with a port that needs it: one that is not in ERROR, if there is."""
        needed: dict[EntryKey, tuple[str, Claim]] = {}
        for name, port in self.ledger.live.items():
            host = self.ledger.hosts.get(port.current.host)
            if port.current.bound and host is not None and host.is_up:
                for key in self.ledger.entries_of(port.current):
                    if key not in needed or "ERROR" not in port.current.pair:
                        needed[key] = (name, port.current)
        return needed
