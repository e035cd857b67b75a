"""A host's own IPAM: addresses of the host's blocks, with no round trip to the centre (spec/mission.md, system 8).

It asks for a block when it has none, or none with a free address, and gives out addresses of a block only once every
device knows the way to it: a pod never counts as usable before that. It alone gives out its blocks' addresses, so it
alone gives the blocks back. Whose a port is when it drifts is IPAM's to say: the host offers an address.

It reads what is said about its own host, and nothing else.
"""

from collections.abc import Iterable
from typing import NamedTuple

from bus.envelope import Recorded
from bus.events import (
    Event,
    HostBlockAnnounced,
    HostBlockRefused,
    HostBlockReleased,
    HostBlockReleaseRefused,
    HostBlockReleaseRequested,
    HostBlockRequested,
    HostDraining,
    InstanceDriftScheduled,
    InstanceScheduled,
    InstanceTerminating,
    PortAddressOffered,
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortClaimCleared,
    PortClaimRefused,
    PortClaimRequested,
    PortCreateRequested,
    PortDeleted,
    PortRefused,
)
from projections.blocks import BlockRow, Blocks
from projections.fold import NOTHING, Fold, Touched, on
from projections.hosts import Hosts
from projections.instances import ENDED, Instances
from projections.ports import Ports
from workers.claims import claim, mac_of
from workers.worker import STORIES, Decision, Emit, Folds, State, Worker, settles_nothing

NAME = "host-ipam"
#: The models whose addresses hosts give out.
MODELS = frozenset({"host-local-vxlan", "host-local-bgp"})
Request = PortCreateRequested | PortClaimRequested


class Waiting(NamedTuple):
    """A request for an address that has no answer yet: its id, its story, and where the address is to come from."""

    id: str
    correlation: str
    request: Request
    network: str
    label: str


class Requests(Fold):
    """The requests that this worker has to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[str, Waiting] = {}
        #: By instance: the network or label of its port here.
        self._wishes: dict[str, tuple[str, str]] = {}
        self._done: set[str] = set()

    def of(self, request: str) -> Waiting | None:
        """The request with this id, if it waits."""
        return self.waiting.get(request)

    @on(InstanceScheduled, InstanceDriftScheduled)
    def _scheduled(self, r: Recorded, e: InstanceScheduled | InstanceDriftScheduled) -> tuple[Touched, ...]:
        if e.allocator == NAME:
            label = e.label or "" if isinstance(e, InstanceScheduled) else ""
            self._wishes[e.instance] = (e.network or "", label)
        return NOTHING

    @on(PortCreateRequested, PortClaimRequested)
    def _asked(self, r: Recorded, e: Request) -> tuple[Touched, ...]:
        wish = self._wishes.get(e.instance)
        if wish is not None and r.id not in self._done:
            self.waiting[r.id] = Waiting(r.id, r.correlation, e, *wish)
        return NOTHING

    @on(PortAllocated, PortRefused)
    def _created(self, r: Recorded, e: PortAllocated | PortRefused) -> tuple[Touched, ...]:
        for one in [one for one in self.waiting.values() if one.request.port == e.port]:
            if isinstance(one.request, PortCreateRequested):
                self._settle(one.id)
        return NOTHING

    @on(PortAddressOffered, PortClaimRefused)
    def _offered(self, r: Recorded, e: PortAddressOffered | PortClaimRefused) -> tuple[Touched, ...]:
        stories = [one for one in self.waiting.values() if one.request.port == e.port]
        for one in stories:
            if isinstance(one.request, PortClaimRequested) and one.correlation == r.correlation:
                self._settle(one.id)
        return NOTHING

    def _settle(self, request: str) -> None:
        del self.waiting[request]
        self._done.add(request)


class HostIpamState(State):
    """The hosts served: their blocks, their instances and ports, and the requests that wait for an address."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(folds)
        self.blocks, self.ports, self.instances, self.hosts = (
            self.fold(Blocks),
            self.fold(Ports),
            self.fold(Instances),
            self.fold(Hosts),
        )
        self.requests = self.fold(Requests)


def decide(state: HostIpamState, r: Recorded) -> Iterable[Decision]:
    """What is to be done about the request, the blocks or the port that ``r`` concerns."""
    match r.event:
        case PortCreateRequested() | PortClaimRequested():
            waiting = state.requests.of(r.id)
            return _answer(state, waiting) if waiting is not None else ()
        case HostBlockAnnounced(host=host) | HostBlockRefused(host=host):
            return _answer_all(state, host, r.event if isinstance(r.event, HostBlockRefused) else None)
        case InstanceTerminating(instance=instance):
            return _given_up(state, instance)
        case PortBindRequested() as request:
            return _bind(state, request)
        case HostBlockReleaseRequested() as request:
            return (_release(state, request),)
        case HostDraining(host=host) | PortDeleted(host=host) | PortClaimCleared(host=host):
            return _give_back(state, host)
        case _:
            return ()


def _answer(state: HostIpamState, one: Waiting, refused: HostBlockRefused | None = None) -> Iterable[Decision]:
    """An address, a refusal, or the request for a block that the address is to come from."""
    host = one.request.host
    why = _why_not(state, one)
    if why is not None:
        yield _refuse(one, *why)
        return
    for row in state.blocks.fitting(host, one.network, one.label):
        ip = state.blocks.offer(row)
        if ip is not None:
            yield _granted(one, row, ip)
            return
    if refused is not None:
        blocks = ", ".join(row.cidr for row in state.blocks.fitting(host, one.network, one.label)) or "none"
        yield _refuse(
            one, f"no address is left in the blocks of host {host} ({blocks}): {refused.reason}", "host", host
        )
    elif not state.blocks.waits(host, one.network, one.label):
        asked = HostBlockRequested(host=host, az=one.request.az, network=one.network or None, label=(one.label or None))
        yield Emit(asked, one.correlation)


def _answer_all(state: HostIpamState, host: str, refused: HostBlockRefused | None) -> Iterable[Decision]:
    """A block can be used, or there is none: that is what these wait for."""
    for one in list(state.requests.waiting.values()):
        if one.request.host != host:
            continue
        meant = refused is not None and (one.network, one.label) == (refused.network or "", refused.label or "")
        yield from _answer(state, one, refused if meant else None)


def _why_not(state: HostIpamState, one: Waiting) -> tuple[str, str, str] | None:
    """(reason, field, value) if the request comes too late."""
    instance = state.instances.get(one.request.instance)
    if isinstance(one.request, PortClaimRequested):
        drifting = instance is not None and instance.state == "drifting" and instance.host == one.request.host
        return None if drifting else ("the instance is not drifting to this host", "host", one.request.host)
    if instance is not None and (instance.terminating or instance.cleaned or instance.state in ENDED):
        return "the instance is being deleted", "instance", one.request.instance
    return None


def _granted(one: Waiting, row: BlockRow, ip: str) -> Emit:
    request = one.request
    if isinstance(request, PortClaimRequested):
        offer = PortAddressOffered(
            port=request.port,
            az=request.az,
            host=request.host,
            name=request.name,
            instance=request.instance,
            subnet=row.subnet,
            ip=ip,
            prefix_length=row.prefix_length,
            gateway=row.gateway,
        )
        return Emit(offer, one.correlation)
    allocated = PortAllocated(
        port=request.port,
        az=request.az,
        host=request.host,
        name=request.name,
        instance=request.instance,
        network=row.network,
        subnet=row.subnet,
        vpc=row.vpc,
        vrf=row.vrf,
        ip=ip,
        prefix_length=row.prefix_length,
        gateway=row.gateway,
        mac=mac_of(ip),
        physical_network=request.host,  # no VLAN of any leaf pair is involved
        vlan=0,
        vni=0,
        model=row.model,
        underlay_by="",
        overlay_by="",
    )
    return Emit(allocated, one.correlation)


def _refuse(one: Waiting, reason: str, field: str, value: str) -> Emit:
    kind = PortClaimRefused if isinstance(one.request, PortClaimRequested) else PortRefused
    refused = kind(
        port=one.request.port,
        az=one.request.az,
        host=one.request.host,
        instance=one.request.instance,
        reason=reason,
        field=field,
        value=value,
    )
    return Emit(refused, one.correlation)


def _given_up(state: HostIpamState, instance: str) -> Iterable[Decision]:
    for one in list(state.requests.waiting.values()):
        why = _why_not(state, one) if one.request.instance == instance else None
        if why is not None:
            yield _refuse(one, *why)


def _bind(state: HostIpamState, request: PortBindRequested) -> Iterable[Decision]:
    port = state.ports.current(request)
    if port is not None and port.model in MODELS and not port.bound and not port.unbound:
        yield Emit(PortBound(**claim(port), vlan=port.vlan, vni=port.vni))


def _release(state: HostIpamState, request: HostBlockReleaseRequested) -> Emit:
    row = state.blocks.get(request.host, request.cidr)
    at = {"host": request.host, "az": request.az}
    if row is None:
        reason = "the host has no such block"
    elif row.used:
        reason = f"{row.used} addresses of the block are held"
    else:
        return Emit(HostBlockReleased(**at, cidrs=(row.cidr,)))
    refused = HostBlockReleaseRefused(**at, cidr=request.cidr, reason=reason, field="cidr", value=request.cidr)
    return Emit(refused)


def _give_back(state: HostIpamState, host: str) -> Iterable[Decision]:
    """A host that is being drained keeps no block that is empty."""
    row = state.hosts.get(host)
    empty = tuple(block.cidr for block in state.blocks.of_host(host) if not block.used and block.announced)
    if row is not None and row.draining and empty:
        yield Emit(HostBlockReleased(host=host, az=row.az, cidrs=empty))


INPUTS: frozenset[type[Event]] = frozenset(
    {
        *(PortCreateRequested, PortClaimRequested, PortBindRequested, InstanceTerminating),
        *(HostBlockAnnounced, HostBlockRefused, HostBlockReleaseRequested),
        *(HostDraining, PortDeleted, PortClaimCleared),
    }
)
#: What is decided.
SAYS: frozenset[type[Event]] = frozenset(
    {
        HostBlockReleaseRefused,
        HostBlockReleased,
        HostBlockRequested,
        PortAddressOffered,
        PortClaimRefused,
        PortRefused,
        PortAllocated,
        PortBound,
    }
)


WORKER = Worker(
    name=NAME,
    state=HostIpamState,
    inputs=INPUTS,
    says=SAYS,
    decide=decide,
    settle=settles_nothing,
    per_host=True,
    sleeps_through=STORIES,
    wakes=dict.fromkeys((InstanceScheduled, InstanceDriftScheduled), lambda event: event.allocator == NAME),
)
