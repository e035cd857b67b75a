"""The rows of ports and of their claims, as ``projections.ports`` folds them."""

from sys import intern

import msgspec

from bus.envelope import Recorded
from bus.events import PortClaim
from projections.fold import Row


class PortRow(Row):
    """A port that is not deleted. ``underlay`` and ``overlay`` are Figure 8's two statuses; the rest says why.

    ``claimed_at`` is the log position of the current claim, ``orphan_seen_us`` when the port was first seen without an
    instance, 0 once anybody has reported on it since. ``underlay_by`` and ``overlay_by`` report the planes; empty: the
    plane does not apply, and is ACTIVE. ``policy_by`` must have reported before the underlay counts,
    and says as of which log position the port's rules are in place (``policy_revision``).
    """

    port: str
    name: str
    instance: str
    az: str
    host: str
    generation: int
    network: str
    subnet: str
    vpc: str
    vrf: str
    ip: str
    prefix_length: int
    mac: str
    gateway: str
    physical_network: str
    vlan: int
    vni: int
    model: str
    underlay_by: str
    overlay_by: str
    policy_by: str
    correlation: str
    underlay: str = "DOWN"
    overlay: str = "DOWN"
    underlay_report: str = ""
    overlay_report: str = ""
    policy_report: str = ""
    policy_revision: int = 0
    registered: bool = False
    plugged: bool = False
    bind_requested: bool = False
    bound: bool = False
    unplugged: bool = False
    delete_requested: bool = False
    unbound: bool = False
    underlay_removed: bool = False
    overlay_removed: bool = False
    orphan_seen_us: int = 0
    claimed_at: int = 0
    reason: str = ""
    allocated_us: int = 0
    changed_us: int = 0
    secondary_ips: list[str] = msgspec.field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Both planes ACTIVE for the current binding (invariant 4)."""
        return self.bound and self.underlay == "ACTIVE" and self.overlay == "ACTIVE"

    @property
    def underlay_clear(self) -> bool:
        """Whether nothing of the claim is left on the host: no flow, or where the plane does not apply, no vNIC."""
        return self.underlay_removed if self.underlay_by else self.unplugged

    @property
    def overlay_clear(self) -> bool:
        """Whether nothing of the claim is left above the host."""
        return self.overlay_removed or not self.overlay_by


class StaleClaimRow(Row):
    """A claim that is over, and of which something may be left: on its host (underlay) or its leaves (overlay).

    ``position``: where in the log it was superseded; ``unbound``: its host and CNC were told.
    """

    port: str
    generation: int
    az: str
    host: str
    instance: str
    physical_network: str
    vlan: int
    vni: int
    underlay_by: str
    overlay_by: str
    correlation: str
    position: int
    unbound: bool = False
    unplugged: bool = False
    underlay_removed: bool = False
    overlay_removed: bool = False

    @property
    def underlay_clear(self) -> bool:
        """As ``PortRow.underlay_clear``."""
        return self.underlay_removed if self.underlay_by else self.unplugged

    @property
    def overlay_clear(self) -> bool:
        """As ``PortRow.overlay_clear``."""
        return self.overlay_removed or not self.overlay_by


def claimed_port(r: Recorded, e: PortClaim) -> PortRow:
    """The row of a port as the claim ``e`` makes it: nothing of it is bound, plugged or reported yet."""
    return PortRow(
        port=intern(e.port),
        name=e.name,
        instance=intern(e.instance),
        az=intern(e.az),
        host=intern(e.host),
        generation=e.generation,
        network=intern(e.network),
        subnet=intern(e.subnet),
        vpc=intern(e.vpc),
        vrf=intern(e.vrf),
        ip=e.ip,
        prefix_length=e.prefix_length,
        mac=e.mac,
        gateway=intern(e.gateway),
        physical_network=intern(e.physical_network),
        vlan=e.vlan,
        vni=e.vni,
        model=intern(e.model),
        underlay_by=intern(e.underlay_by),
        overlay_by=intern(e.overlay_by),
        policy_by=intern(e.policy_by),
        secondary_ips=list(e.secondary_ips),
        correlation=intern(r.correlation),
        claimed_at=r.position,
        allocated_us=r.time_us,
        changed_us=r.time_us,
    )
