"""Looks and changes nothing: where a device differs from what it is wished to hold."""

from collections.abc import Iterator, Mapping
from typing import Literal

from bus.events import HostDifference, LeafDifference, TableDifference
from workers.devices.simulated.host import Flow, HostDevice, same_flow
from workers.devices.simulated.leaf import LeafDevice
from workers.effects import AuditHost, AuditLeaf, AuditTable


def audit_host(host: HostDevice, effect: AuditHost) -> tuple[HostDifference, ...]:
    """What the host lacks, or holds otherwise, by the wished generation; what it has no right to, by the held one.

    Flows without their VLAN on the trunk are not as wished.
    """
    ports = sorted({*host.vnics, *host.flows, *effect.vnics, *effect.flows, *effect.policies})
    return tuple(difference for port in ports for difference in _of_port(host, effect, port))


def audit_leaf(leaf: LeafDevice, effect: AuditLeaf) -> tuple[LeafDifference, ...]:
    """What interfaces lack or map to another VNI, by the wished VNI; what they carry without need, by the held one."""
    differences = []
    for wish in effect.entries:
        held = leaf.entry(wish.interface, wish.vlan)
        if held is None or held.vni != wish.vni:
            differences.append(LeafDifference(wish.interface, wish.vlan, wish.vni, missing=True))
    wished = {(wish.interface, wish.vlan) for wish in effect.entries}
    for interface, vlans in leaf.interfaces.items():
        for vlan, entry in vlans.items():
            if (interface, vlan) not in wished:
                differences.append(LeafDifference(interface, vlan, entry.vni, missing=False))
    return tuple(sorted(differences, key=lambda found: (found.interface, found.vlan)))


def audit_table(held: Mapping[str, str], effect: AuditTable) -> tuple[TableDifference, ...]:
    """The entries that are held otherwise than wished, or not at all; and those that nobody wishes."""
    keys = sorted({*held, *effect.entries})
    found = (TableDifference(key, held.get(key, ""), effect.entries.get(key, "")) for key in keys)
    return tuple(one for one in found if one.held != one.wished)


def _of_port(host: HostDevice, effect: AuditHost, port: str) -> Iterator[HostDifference]:
    vnic, flow, wish = host.vnics.get(port), host.flows.get(port), effect.flows.get(port)
    held, wished = vnic.generation if vnic else 0, effect.vnics.get(port, 0)
    yield from _compare("vnic", port, held, wished, same=held == wished)
    held, wished = flow.generation if flow else 0, wish.generation if wish else 0
    same = flow is not None and wish is not None and same_flow(flow, Flow(wish.vlan, wish.mac, wish.generation))
    yield from _compare("flows", port, held, wished, same=same and wish is not None and wish.vlan in host.trunk)
    rules, revision = host.policies.get(port), effect.policies.get(port, 0)
    wished = effect.vnics.get(port, 0) if revision else 0
    if wished and (rules is None or rules.generation != wished or rules.revision < revision):
        yield HostDifference("policy", port, wished, missing=True)


def _compare(
    part: Literal["vnic", "flows"], port: str, held: int, wished: int, *, same: bool
) -> Iterator[HostDifference]:
    """Generations; 0 is none."""
    if wished and not same:
        yield HostDifference(part, port, wished, missing=True)
    if held and (not wished or held < wished):
        yield HostDifference(part, port, held, missing=False)
