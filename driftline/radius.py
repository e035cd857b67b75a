"""What fails with a component: pure, from the rows of the projections. The seed's "failure radius".

Redundancy counts: a leaf whose twin is up takes no port down, a spine none while another of its zone is there. Workers
carry no traffic: what is usable stays so, and the answer says what cannot be done until the worker is back.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from projections.port_rows import PortRow
from projections.world import AzRow, HostRow, SwitchRow

#: What cannot be done while a worker is away.
WORKERS: Mapping[str, str] = {
    "nova": "nothing is spawned, drifted or deleted",
    "compute": "nothing is plugged or unplugged on its hosts, and no port is asked for",
    "ovs-agent": "no underlay is made ready on its hosts; silent for a minute, they count as dead",
    "cnc": "no overlay is made ready or withdrawn, no dead host is cut off",
    "ipam": "no central address, VLAN or network is given out or taken back",
    "liveness": "no dead host is noticed",
    "core-router": "no gateway of a provider network is set or moved",
    "border": "no VPCs are connected or disconnected",
    "policy": "no policy changes, and ports under one do not become usable",
    "ingress": "no ingress follows its pods",
    "cloud": "no ENI is made, attached or detached",
    "host-ipam": "no address is given out of its hosts' blocks",
    "block-routes": "no host or leaf learns the way to a new block",
}


class Radius(msgspec.Struct, frozen=True):
    """What fails, and what only loses its redundancy (``degraded``). ``meanwhile``: what cannot be done."""

    component: str
    kind: str
    failed: tuple[str, ...]
    degraded: tuple[str, ...]
    why: str
    meanwhile: str = ""


class Site(NamedTuple):
    """The rows that the answer is read from."""

    ports: Sequence[PortRow]
    hosts: Sequence[HostRow]
    switches: Sequence[SwitchRow]
    zones: Sequence[AzRow]

    @property
    def kinds(self) -> dict[str, str]:
        """Each component there is, and what it is. A worker of one host is written ``worker@host``."""
        return {
            **dict.fromkeys(WORKERS, "worker"),
            **{zone.az: "zone" for zone in self.zones if zone.az},
            **{host.host: "host" for host in self.hosts},
            **{switch.switch: switch.role for switch in self.switches},
        }


def radius(site: Site, component: str, down: Iterable[str] = ()) -> Radius:
    """What fails with ``component`` while ``down`` are down already. Raises ValueError for one that there is not."""
    worker, _, where = component.partition("@")
    hosts = {host.host for host in site.hosts}
    if where:
        if worker not in WORKERS or where not in hosts:
            raise ValueError(f"component: {component!r} is no worker@host")
        return Radius(component, "worker", (), (), "workers carry no traffic", WORKERS[worker])
    kind = site.kinds.get(component)
    if kind is None:
        raise ValueError(f"component: {component!r} is no leaf, spine, router, host, zone or worker")
    match kind:
        case "worker":
            return Radius(component, kind, (), (), "workers carry no traffic", WORKERS[component])
        case "leaf":
            return _leaf(site, component, frozenset(down))
        case "spine":
            return _spine(site, component, frozenset(down))
        case "router":
            return _router(site, component)
        case _:
            return _place(site, component, kind)


def _leaf(site: Site, leaf: str, down: frozenset[str]) -> Radius:
    failed: list[str] = []
    degraded: list[str] = []
    for host in site.hosts:
        if leaf in (host.leaf_a, host.leaf_b):
            twin = host.leaf_b if host.leaf_a == leaf else host.leaf_a
            (failed if twin in down else degraded).extend(_on(site, {host.host}))
    why = "its twin is down as well" if failed else "each host hangs on its twin too"
    return Radius(leaf, "leaf", tuple(failed), tuple(degraded), why)


def _spine(site: Site, spine: str, down: frozenset[str]) -> Radius:
    az = next(switch.az for switch in site.switches if switch.switch == spine)
    others = [s.switch for s in site.switches if s.role == "spine" and s.az == az and s.switch != spine]
    concerned = _on(site, {host.host for host in site.hosts if host.az == az})
    left = [other for other in others if other not in down]
    if left:
        return Radius(spine, "spine", (), concerned, f"{', '.join(left)} carry on")
    return Radius(spine, "spine", concerned, (), f"it is the last spine of {az}: leaves reach each other no more")


def _router(site: Site, router: str) -> Radius:
    routed = tuple(sorted(port.port for port in site.ports if port.model == "vlan"))
    return Radius(router, "router", (), routed, "provider networks are bridged without it, and routed by it alone")


def _place(site: Site, name: str, kind: str) -> Radius:
    gone = {host.host for host in site.hosts if name in (host.host, host.az)}
    return Radius(name, kind, _on(site, gone), (), f"{len(gone)} hosts go with it")


def _on(site: Site, hosts: set[str]) -> tuple[str, ...]:
    return tuple(sorted(port.port for port in site.ports if port.host in hosts))
