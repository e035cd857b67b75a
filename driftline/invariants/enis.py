"""Invariants of the public cloud (12, and what 5, 18, 20 and 21 say of ENIs), from the log and from the devices."""

from collections.abc import Container

from bus.envelope import Recorded
from bus.events import CLOUD, PortEniAttached, PortFloatingIpAssociated
from driftline.invariants.books import Claim
from driftline.invariants.ledger import Ledger
from driftline.invariants.table import Violation
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.kinds.cloud import CloudDevice, Eni
from workers.enis_of_types import NODES_OWN, eni_limit


class EniRules:
    """What must hold of ENIs. Looks at clouds as devices, never at what the worker ``cloud`` believes."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.exercised = ledger, ledger.exercised
        #: Port → its floating IP.
        self._floating: dict[str, str] = {}

    def take(self, r: Recorded) -> None:
        """Check what the log says of ENIs and floating IPs. Raises Violation."""
        match r.event:
            case PortEniAttached(port=port, node=node):
                self._attached(r, port, node)
            case PortFloatingIpAssociated(port=port, address=address) if port in self.ledger.live:
                self.exercised[5] += 1
                if self._floating.setdefault(port, address) != address:
                    text = f"its floating IP changed from {self._floating[port]} to {address}"
                    raise Violation(5, text, port, r.position)
            case _:
                pass

    def check(self, fabric: Fabric, excused: Container[str] = ()) -> None:
        """At every moment: at most one instance, in its AZ, within the limit; and what is usable is attached.

        ``excused`` clouds may hold what nobody asked for.
        """
        for name in fabric.devices_of("cloud"):
            if name in excused:
                continue
            cloud = fabric.device(name)
            if isinstance(cloud, CloudDevice):
                self._cloud(cloud)
                for port, claim in self._claims():
                    if claim.usable:
                        self._is_attached(cloud, port, claim, 4)

    def check_quiet(self, fabric: Fabric) -> None:
        """At rest: each live port has its ENI where its claim says, and there is no other ENI and no other address."""
        for name in fabric.devices_of("cloud"):
            cloud = fabric.device(name)
            if not isinstance(cloud, CloudDevice):
                continue
            live = dict(self._claims())
            for port in sorted({*cloud.enis, *cloud.floating} - live.keys()):
                raise Violation(20, f"{name} holds an ENI or an address of a port that is not", port)
            for port, claim in live.items():
                self.exercised[21] += 1
                if claim.usable:
                    self._is_attached(cloud, port, claim, 21)
                elif port in cloud.enis and cloud.enis[port].node not in ("", claim.host):
                    raise Violation(18, f"{name} has its ENI at {cloud.enis[port].node}, not at {claim.host}", port)

    def _claims(self) -> list[tuple[str, Claim]]:
        """The current claims of live ports whose overlay is a cloud's."""
        live = [(port, known.current) for port, known in self.ledger.live.items()]
        return [(port, claim) for port, claim in live if claim.event.overlay_by == CLOUD]

    def _attached(self, r: Recorded, port: str, node: str) -> None:
        host, known = self.ledger.hosts.get(node), self.ledger.live.get(port)
        if host is None or known is None:
            return
        self.exercised[12] += 1
        zone = self.ledger.subnets[known.identity.subnet].zone
        if zone != host.az:
            raise Violation(12, f"attached to {node} in {host.az}, its subnet is in {zone}", port, r.position)

    def _cloud(self, cloud: CloudDevice) -> None:
        attached: dict[str, int] = {}
        owner: dict[tuple[str, str], str] = {}
        for port, eni in cloud.enis.items():
            self.exercised.update((12, 18))
            self._placed(port, eni)
            attached[eni.node] = attached.get(eni.node, 0) + 1
            for ip in eni.addresses:
                if owner.setdefault((eni.vpc, ip), port) != port:
                    raise Violation(1, f"ENIs of {port} and {owner[eni.vpc, ip]} share {ip}", port)
        for node, count in attached.items():
            host = self.ledger.hosts.get(node)
            if host is not None and count + NODES_OWN > eni_limit(host.instance_type):
                raise Violation(12, f"{node} ({host.instance_type}) has {count} ENIs of pods and its own")

    def _placed(self, port: str, eni: Eni) -> None:
        known = self.ledger.live.get(port)
        if known is None:
            raise Violation(20, f"there is an ENI of a port whose addresses are free: {eni.ip}", port)
        of_node = [claim for claim in known.claims.values() if claim.host == eni.node]
        if eni.node and all(claim.leaves_are_clear for claim in of_node):
            raise Violation(18, f"{eni.id} is attached to {eni.node}, where no claim needs it", port)
        host, subnet = self.ledger.hosts.get(eni.node), self.ledger.subnets.get(eni.subnet)
        if host is not None and subnet is not None and host.az != subnet.zone:
            raise Violation(12, f"{eni.id} of {subnet.zone} is attached to {eni.node} in {host.az}", port)

    def _is_attached(self, cloud: CloudDevice, port: str, claim: Claim, number: int) -> None:
        self.exercised[number] += 1
        eni = cloud.enis.get(port)
        if eni is None or eni.node != claim.host:
            where = "there is no ENI" if eni is None else f"its ENI is at {eni.node or 'no instance'}"
            raise Violation(number, f"usable on {claim.host}, and {where}", port)
        e = claim.event
        if eni.addresses != (e.ip, *e.secondary_ips):
            raise Violation(5, f"its ENI has {eni.addresses}, the log says {e.ip} and {e.secondary_ips}", port)
