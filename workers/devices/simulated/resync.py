"""A host brought in line as a whole: when it returns from the dead, and when its OVS agent begins anew.

Both go port by port in the order of names and may be interrupted (``part`` below 1: the device dies on the way, when
that share of the ports was done). Only after the last port is it done, and an attempt made again finishes it.
"""

from collections.abc import Sequence

from bus.events import HostDifference
from workers.devices.simulated.host import Flow, HostDevice
from workers.effects import ResyncFlows, ResyncHost


def resync_host(host: HostDevice, effect: ResyncHost, part: float = 1.0) -> tuple[HostDifference, ...]:
    """Remove and fence off what ``effect`` does not keep. Returns what was removed now.

    A host is cleaned once per epoch: a push that lands after that would remove what was given to the host since. What
    was claimed before that and not kept cannot be plugged any more, however late the push.
    """
    if effect.epoch <= host.resynced:
        return ()
    removed: list[HostDifference] = []
    for port in _first(sorted({*host.vnics, *host.flows, *host.policies, *effect.keep}), part):
        removed += _clean(host, port, effect.keep.get(port, 0))
    if part >= 1:
        host.resynced, host.kept = effect.epoch, dict(effect.keep)
    return tuple(removed)


def resync_flows(host: HostDevice, effect: ResyncFlows, part: float = 1.0) -> tuple[HostDifference, ...]:
    """Put the flows of ``effect`` in place under its cookie, then remove those of older cookies. Returns the removed.

    A port whose vNIC is gone, or is of another generation, has no device on br-int that its flows could be for: it is
    passed over, and what flows it still has are stale like any other. So nothing can hold the resync up for ever, and
    no frame of a device that is there is lost. When the vNIC comes (again), ``InstallFlows`` follows it. So stale flows
    are removed and not fenced off: only ``RemoveFlows`` says that a generation is over.
    A cookie older than the newest that the host was given does nothing: a newer run of the agent sees to it.
    """
    if effect.epoch < host.cookie:
        return ()
    host.cookie = effect.epoch
    for port in _first(sorted(effect.flows), part):
        wish = effect.flows[port]
        held = host.flows.get(port)
        if held is not None and held.generation > wish.generation:  # not this run's to judge
            host.vouch(port, effect.epoch)
        else:
            host.install(port, Flow(wish.vlan, wish.mac, wish.generation, effect.epoch))
    return _remove_stale(host) if part >= 1 else ()


def _clean(host: HostDevice, port: str, keep: int) -> list[HostDifference]:
    """Withdraw what is older than generation ``keep`` of ``port``; all of it if that is 0."""
    removed = []
    vnic, flow, rules = host.vnics.get(port), host.flows.get(port), host.policies.get(port)
    if vnic is not None and (not keep or vnic.generation < keep):
        removed.append(HostDifference("vnic", port, vnic.generation, missing=False))
    if flow is not None and (not keep or flow.generation < keep):
        removed.append(HostDifference("flows", port, flow.generation, missing=False))
    newest = max((held.generation for held in (vnic, rules) if held is not None), default=0)
    host.withdraw_vnic(port, keep - 1 if keep else newest)
    host.withdraw_flows(port, keep - 1 if keep else flow.generation if flow is not None else 0)
    return removed


def _remove_stale(host: HostDevice) -> tuple[HostDifference, ...]:
    stale = sorted(port for port, flow in host.flows.items() if flow.cookie < host.cookie)
    removed = tuple(HostDifference("flows", port, host.flows[port].generation, missing=False) for port in stale)
    for port in stale:
        host.drop_flow(port)
    return removed


def _first(ports: Sequence[str], part: float) -> Sequence[str]:
    return ports if part >= 1 else ports[: int(part * len(ports))]
