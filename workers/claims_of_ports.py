"""Whose a port is: a drift moves its claim, and a claim that is over goes once nothing of it is left."""

from collections.abc import Iterable

import msgspec

from bus.envelope import Recorded
from bus.events import (
    PortAddressOffered,
    PortClaimCleared,
    PortClaimed,
    PortClaimRefused,
    PortClaimRequested,
    PortDeleted,
    PortUnbound,
)
from projections.port_rows import PortRow, StaleClaimRow
from projections.world import HostRow
from workers.claims import claim, mac_of
from workers.ipam_state import IpamState
from workers.limits import fits
from workers.models import allocator_of, model_of, segment_on
from workers.models.model import IPAM, Refusal, Segment
from workers.worker import Decision, Emit


def requested(state: IpamState, r: Recorded, request: PortClaimRequested | PortAddressOffered) -> Iterable[Decision]:
    """Figure 11, step 4: the port of this name becomes the host's, if its instance is drifting there now."""
    port = state.ports.get(state.ports.by_name.get(request.name, ""))
    if state.ports.has_answered(request.port, r.id):  # perhaps this process died before its next word
        yield from tell_the_old(state, request.port)
        return
    if isinstance(request, PortClaimRequested) and _allocator(state, request, port) != IPAM:
        return  # the host offers an address first
    problem = _problem(state, request, port)
    host = state.world.hosts.get(request.host)
    if port is None or host is None or problem is not None:
        yield _refuse(request, problem or ("unknown host", "host", request.host))
        return
    segment = _segment_there(state, port, host)
    if isinstance(segment, Refusal):
        yield _refuse(request, segment)
        return
    claimed = _claimed(port, host, segment, state.addresses.pools[port.subnet].gateway)
    yield Emit(_readdressed(claimed, port, request) if isinstance(request, PortAddressOffered) else claimed)
    yield from tell_the_old(state, port.port)


def tell_the_old(state: IpamState, name: str) -> Iterable[Decision]:
    """Hosts and leaves of claims that are over are to withdraw them; of some nothing is left already."""
    for stale in state.ports.stale_of(name):
        if not stale.unbound:
            yield Emit(PortUnbound(**claim(stale), vlan=stale.vlan, vni=stale.vni))
    yield from clear(state, name)


def clear(state: IpamState, name: str) -> Iterable[Decision]:
    """Claims of the port that are over and of which nothing is left; the port itself, if that was the last."""
    for stale in state.ports.stale_of(name):
        if _is_clear(state, stale):
            yield Emit(_cleared(stale), stale.correlation)
    port = state.ports.get(name)
    if port is not None and port.unbound and _is_clear(state, port) and not state.ports.stale_of(name):
        yield Emit(_deleted(port), port.correlation)


def _is_clear(state: IpamState, over: PortRow | StaleClaimRow) -> bool:
    """Both planes have confirmed; a host that is cut off at its leaves need not."""
    return over.overlay_clear and (over.underlay_clear or state.hosts.is_fenced(over.host))


def _problem(
    state: IpamState, request: PortClaimRequested | PortAddressOffered, port: PortRow | None
) -> tuple[str, str, str] | None:
    """(reason, field, value) if the claim cannot be granted."""
    if port is None or port.port != request.port:
        return "no port has this name", "name", request.name
    instance = state.instances.get(port.instance)
    if instance is None or instance.state != "drifting" or instance.host != request.host:
        return "the instance is not drifting to this host", "host", request.host
    if not state.hosts.claims(request.host):
        return f"the host is {state.hosts.state(request.host)}", "host", request.host
    return None


def _segment_there(state: IpamState, port: PortRow, host: HostRow) -> Segment | Refusal:
    """How the port is realised on ``host``, if its network's model lets it go there."""
    network, source = state.world.networks[port.network], state.world.hosts.get(port.host)
    model = model_of(network)
    refusal = model.may_move(port, source, host) if model is not None and source is not None else None
    return refusal or fits(state, host, segment_on(state.world, state.addresses, network, host))


def _claimed(port: PortRow, host: HostRow, segment: Segment, gateway: str) -> PortClaimed:
    """``gateway`` is that of now: who is launched again is told it."""
    return PortClaimed(
        port=port.port,
        az=port.az,
        host=host.host,
        name=port.name,
        instance=port.instance,
        generation=port.generation + 1,
        network=port.network,
        subnet=port.subnet,
        vpc=port.vpc,
        vrf=port.vrf,
        ip=port.ip,
        prefix_length=port.prefix_length,
        gateway=gateway,
        mac=port.mac,
        physical_network=host.physical_network,
        from_host=port.host,
        model=port.model,
        secondary_ips=tuple(port.secondary_ips),
        **segment._asdict(),
    )


def _allocator(state: IpamState, request: PortClaimRequested, port: PortRow | None) -> str:
    """Who addresses the port: for one that is gone, who did."""
    instance = state.instances.get(request.instance)
    name = port.network if port is not None else instance.network if instance is not None else ""
    names = [name] if name else state.world.by_label.get(instance.label, []) if instance is not None else []
    networks = [state.world.networks[one] for one in names[:1] if one in state.world.networks]
    return allocator_of(networks[0]) if networks else IPAM


def _readdressed(claimed: PortClaimed, port: PortRow, offer: PortAddressOffered) -> PortClaimed:
    """The claim, with the address that the host has offered out of its own block."""
    return msgspec.structs.replace(
        claimed,
        ip=offer.ip,
        mac=mac_of(offer.ip),
        prefix_length=offer.prefix_length,
        gateway=offer.gateway,
        physical_network=offer.host,
        previous_ip=port.ip,
    )


def _refuse(request: PortClaimRequested | PortAddressOffered, why: tuple[str, str, str]) -> Emit:
    reason, field, value = why
    refused = PortClaimRefused(
        port=request.port,
        az=request.az,
        host=request.host,
        instance=request.instance,
        reason=reason,
        field=field,
        value=value,
    )
    return Emit(refused)


def _cleared(stale: StaleClaimRow) -> PortClaimCleared:
    return PortClaimCleared(**claim(stale), physical_network=stale.physical_network, vni=stale.vni)


def _deleted(port: PortRow) -> PortDeleted:
    return PortDeleted(
        port=port.port,
        az=port.az,
        host=port.host,
        instance=port.instance,
        subnet=port.subnet,
        ip=port.ip,
        physical_network=port.physical_network,
        vni=port.vni,
    )
