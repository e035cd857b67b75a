"""The port: address, binding and the two planes (Figure 8, Figure 10 steps 2 to 12, Figure 11).

Written by nova-compute (C), IPAM, which is also the Neutron server here (I), the OVS agent (A) and CNC (N).
Every report carries (port, host, generation); one that does not match the current claim changes nothing.
"""

from typing import ClassVar, Literal

from bus.events.base import Event, Generation, TimeUs, VlanOrNone, VniOrNone
from bus.events.identifiers import InstanceId, RealisedBy, Token

#: One plane of a port (Figure 8).
Status = Literal["ACTIVE", "DOWN", "ERROR"]


#: Who makes the planes ready in the SDN fabric: the underlay (Figure 10, steps 7 and 8), the overlay (steps 10 to 12).
OVS_AGENT, CNC = "ovs-agent", "cnc"


class PortEvent(Event, frozen=True, kw_only=True):
    """What all port events share: the port, and the host that claims it."""

    port: Token
    az: Token
    host: Token


class PortCreateRequested(PortEvent, tag="port.create_requested.v1", frozen=True, kw_only=True):
    """C: create a port for this instance on this host (step 2). ``name`` is unique among the live ports."""

    once: ClassVar[bool] = True
    name: str
    instance: InstanceId
    network: Token | None = None
    label: Token | None = None


class PortClaim(PortEvent, frozen=True, kw_only=True):
    """A claim of the port by ``host``, with all that agents need to wire it there.

    ``vlan`` is local to the host's leaf pair (``physical_network``), ``vni`` is global; each is 0 where the network's
    ``model`` has none. ``underlay_by`` and ``overlay_by`` name the workers that report the planes, ``policy_by`` the
    one without whose report the underlay does not count. ``secondary_ips`` are held like ``ip``. All but the host, its
    leaf pair, the VLAN, the generation and the gateway of the moment is the same in all claims of a port (invariant 5).
    """

    name: str
    instance: InstanceId
    generation: Generation = 1
    network: Token
    subnet: Token
    vpc: Token
    vrf: Token
    ip: str
    prefix_length: int
    gateway: str
    mac: str
    physical_network: Token
    vlan: VlanOrNone
    vni: VniOrNone
    model: Token = "evpn"
    secondary_ips: tuple[str, ...] = ()
    underlay_by: RealisedBy = OVS_AGENT
    overlay_by: RealisedBy = CNC
    policy_by: RealisedBy = ""


class PortAllocated(PortClaim, tag="port.allocated.v1", frozen=True, kw_only=True):
    """I: the port is committed, DOWN_DOWN and unbound, claimed by its first host (steps 3 and 5)."""

    once: ClassVar[bool] = True


class PortClaimRequested(PortEvent, tag="port.claim_requested.v1", frozen=True, kw_only=True):
    """C: "get port info {name}": the instance was launched here again (Figure 11, step 4). ``name`` finds the port."""

    name: str
    instance: InstanceId


class PortClaimed(PortClaim, tag="port.claimed.v1", frozen=True, kw_only=True):
    """I: the port is this host's now, DOWN_DOWN and unbound; the claim of ``from_host`` is over (Figure 11, step 4).

    ``generation`` is one more than that of any claim before: reports of older ones change nothing. Where addresses are
    the host's own, the port has a new one; ``previous_ip`` is held until the old claim is cleared.
    """

    from_host: Token
    previous_ip: str = ""


class PortClaimRefused(PortEvent, tag="port.claim_refused.v1", frozen=True, kw_only=True):
    """I: the port does not become this host's; it stays where it is."""

    instance: InstanceId
    reason: str
    field: str
    value: str


class PortClaimCleared(PortEvent, tag="port.claim_cleared.v1", frozen=True, kw_only=True):
    """I: nothing of a claim that was over is left on its host and its leaves; its VLAN there may be free again."""

    generation: Generation
    physical_network: Token
    vni: VniOrNone


class PortOrphanSeen(PortEvent, tag="port.orphan_seen.v1", frozen=True, kw_only=True):
    """The clock says: no instance that lives owns this port. At the second ``look``, a grace period later, it goes."""

    generation: Generation
    look: Literal[1, 2]


class PortRefused(PortEvent, tag="port.refused.v1", frozen=True, kw_only=True):
    """I: no port can be given; nothing was allocated."""

    once: ClassVar[bool] = True
    instance: InstanceId
    reason: str
    field: str
    value: str


class PortRegistered(PortEvent, tag="port.registered.v1", frozen=True, kw_only=True):
    """N: the port is in CNC's own database; no switch was touched (step 4)."""

    once: ClassVar[bool] = True


class PortPlugged(PortEvent, tag="port.plugged.v1", frozen=True, kw_only=True):
    """C: the vNIC exists, has its IP, MAC and gateway, and hangs on br-int (step 6)."""

    generation: Generation
    received_us: TimeUs  # when compute took up the created port (step 5)


class PortPlugFailed(PortEvent, tag="port.plug_failed.v1", frozen=True, kw_only=True):
    """C: the vNIC could not be made."""

    generation: Generation
    reason: str


class PortUnderlayReported(PortEvent, tag="port.underlay_reported.v1", frozen=True, kw_only=True):
    """A: the flows of the port are in place, or could not be placed (steps 7 and 8)."""

    generation: Generation
    status: Status
    detected_us: TimeUs  # when the agent saw the new device (step 7)
    reason: str = ""


class PortBindRequested(PortEvent, tag="port.bind_requested.v1", frozen=True, kw_only=True):
    """C: "port 1234 is on host node-1" (step 9)."""

    generation: Generation


class PortBound(PortEvent, tag="port.bound.v1", frozen=True, kw_only=True):
    """I: the binding is committed and handed to CNC (step 10)."""

    generation: Generation
    vlan: VlanOrNone
    vni: VniOrNone


class PortOverlayReported(PortEvent, tag="port.overlay_reported.v1", frozen=True, kw_only=True):
    """N: both leaves of the host carry the port's VLAN, or one could not be configured (step 12).

    ``configured_us`` is when the last leaf acknowledged (step 11); 0 says that no leaf had to be touched.
    """

    generation: Generation
    status: Status
    configured_us: TimeUs = 0
    reason: str = ""


class PortUnplugged(PortEvent, tag="port.unplugged.v1", frozen=True, kw_only=True):
    """C: the vNIC is gone from the host."""

    generation: Generation


class PortDeleteRequested(PortEvent, tag="port.delete_requested.v1", frozen=True, kw_only=True):
    """C: the port is not needed any more."""

    generation: Generation


class PortUnderlayRemoved(PortEvent, tag="port.underlay_removed.v1", frozen=True, kw_only=True):
    """A: no flow of the port is left on the host."""

    generation: Generation


class PortUnbound(PortEvent, tag="port.unbound.v1", frozen=True, kw_only=True):
    """I: this claim is over: the port drifted or is being deleted. Host and leaves withdraw it; its address is held."""

    generation: Generation
    vlan: VlanOrNone
    vni: VniOrNone


class PortOverlayRemoved(PortEvent, tag="port.overlay_removed.v1", frozen=True, kw_only=True):
    """N: no leaf carries anything for the port, and it has left CNC's database."""

    generation: Generation


class PortDeleted(PortEvent, tag="port.deleted.v1", frozen=True, kw_only=True):
    """I: both planes are clear; the address and the name are free again."""

    once: ClassVar[bool] = True
    instance: InstanceId
    subnet: Token
    ip: str
    physical_network: Token
    vni: VniOrNone
