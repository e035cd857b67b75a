"""Bare metal: a host that is its one instance, without agent and OVS. Nova-compute (Ironic, there) speaks for it.

What an OVS agent says of a server as a whole is said here: that the host was cleaned when it returns. There is nobody
on it who could look at what it holds, so it cannot be compared with the log.
"""

from collections.abc import Iterable

from bus.envelope import Recorded
from bus.events import BARE_METAL, HostAudited, HostAuditRequested, HostResynced, HostReturned
from projections.hosts import Hosts
from projections.ports import Ports
from projections.world import World
from workers.effects import Result, ResyncHost
from workers.worker import Decision, Emit, Perform


def is_bare(world: World, host: str) -> bool:
    """Whether ``host`` is known and bare metal."""
    row = world.hosts.get(host)
    return row is not None and row.kind == BARE_METAL


def decide(hosts: Hosts, ports: Ports, r: Recorded, e: HostReturned | HostAuditRequested) -> Iterable[Decision]:
    """Clean the host of all that is not its own, once for each return; or say why it is not compared with the log."""
    if isinstance(e, HostAuditRequested):
        yield Emit(HostAudited(host=e.host, az=e.az, epoch=r.position, error="it is bare metal, and has no agent"))
        return
    row = hosts.get(e.host)
    if row is not None and row.state == "returned" and row.epoch == r.position and not row.resynced:
        keep = {port.port: port.generation for port in ports.on_host(e.host) if not port.unbound}
        yield Perform(ResyncHost(device=e.host, az=e.az, epoch=r.position, keep=keep))


def cleaned(effect: ResyncHost, result: Result) -> HostResynced:
    """What came of it."""
    return HostResynced(host=effect.device, az=effect.az, epoch=effect.epoch, removed=len(result.found))
