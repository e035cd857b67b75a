"""What a claim that is over still waits for until nothing of it is left, and its address is free again."""

from collections.abc import Iterator

from bus.events import (
    CNC,
    InstanceTerminating,
    PortDeleteRequested,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnplugged,
)
from driftline.why.answer import Wait
from driftline.why.coming import for_host, wait
from driftline.why.facts import Facts
from driftline.why.failures import failed_on_leaf, leaves_of
from projections.port_rows import PortRow, StaleClaimRow


def for_end(facts: Facts, port: PortRow) -> list[Wait]:
    """All that is to be confirmed before a port that goes is gone, in the order in which it happens."""
    waits = [*_on_host(facts, port), *_above(facts, port)]
    for stale in stale_claims(facts, port.port):
        waits += for_stale(facts, stale)
    if not waits:
        since = facts.last("port", port.port, PortUnderlayRemoved, PortUnbound)
        waits = [wait(facts, "ipam", f"port {port.port} to be called deleted: both planes have confirmed", since)]
    return waits


def stale_claims(facts: Facts, port: str) -> list[StaleClaimRow]:
    """The claims of ``port`` that are over and of which something may be left, oldest first."""
    newest = facts.port(port)
    generations = range(1, newest.generation if newest is not None else 1)
    found = (facts.row("stale_claims", port, generation) for generation in generations)
    return [row for row in found if row is not None]


def for_stale(facts: Facts, claim: StaleClaimRow) -> list[Wait]:
    """What is left of a claim that the port has drifted away from."""
    if not claim.unbound:
        what = f"{claim.host} and its leaves to be told that claim {claim.generation} of {claim.port} is over"
        return [wait(facts, "ipam", what, facts.at(claim.position)), *_on_host(facts, claim)]
    if claim.overlay_clear and (claim.underlay_clear or facts.host_state(claim.host).fenced):
        what = f"claim {claim.generation} of {claim.port} to be called cleared"
        return [wait(facts, "ipam", what, facts.at(claim.position))]
    return [*_on_host(facts, claim), *_above(facts, claim)]


def _on_host(facts: Facts, claim: PortRow | StaleClaimRow) -> Iterator[Wait]:
    whose = f"{claim.port} (claim {claim.generation})"
    state = facts.host_state(claim.host)
    if state.state == "down":
        if not state.fenced and not claim.underlay_clear:
            what = f"{claim.host}, which is down, to be cut off at its leaves: only then it need not confirm"
            yield wait(facts, CNC, what, facts.at(state.epoch), claim.host)
        if isinstance(claim, PortRow) and not claim.unbound:
            yield wait(facts, "ipam", f"{whose} to be unbound", facts.at(state.epoch))
        return
    if not claim.unplugged:
        yield from for_host(facts, claim.host)
        told = facts.last("instance", claim.instance, InstanceTerminating) or facts.last(
            "port", claim.port, PortUnbound
        )
        yield wait(facts, "compute", f"the vNIC of {whose} to be taken from {claim.host}", told, claim.host)
    elif claim.underlay_by and not claim.underlay_removed:
        unplugged = facts.last("port", claim.port, PortUnplugged)
        what = f"the flows of {whose} to be taken from {claim.host}"
        yield wait(facts, claim.underlay_by, what, unplugged, claim.host)
    if isinstance(claim, PortRow) and claim.unplugged and not claim.unbound:
        if claim.delete_requested:
            asked = facts.last("port", claim.port, PortDeleteRequested)
            yield wait(facts, "ipam", f"{whose} to be unbound", asked)
        else:
            unplugged = facts.last("port", claim.port, PortUnplugged)
            yield wait(facts, "compute", f"the deletion of {whose} to be asked for", unplugged, claim.host)


def _above(facts: Facts, claim: PortRow | StaleClaimRow) -> Iterator[Wait]:
    if not claim.unbound or claim.overlay_clear:
        return
    unbound = facts.last("port", claim.port, PortUnbound)
    on_leaves = list(_on_leaves(facts, claim)) if claim.overlay_by == CNC else []
    what = f"the overlay of {claim.port} (claim {claim.generation}) to be reported as removed"
    yield from on_leaves or [wait(facts, claim.overlay_by, what, unbound)]


def _on_leaves(facts: Facts, claim: PortRow | StaleClaimRow) -> Iterator[Wait]:
    for leaf, interface in leaves_of(facts, claim.host):
        entry = facts.row("leaf_interfaces", leaf, interface, claim.vlan)
        if entry is None or entry.needed or entry.state not in ("removing", "error"):
            continue
        since, failed = facts.at(entry.epoch), failed_on_leaf(facts, leaf, interface, claim.vlan, entry.epoch)
        yield Wait(
            what=f"{leaf} to drop VLAN {claim.vlan} (VNI {claim.vni}) from {interface}",
            who=CNC,
            where=leaf,
            since_us=since.time_us if since else 0,
            position=since.position if since else 0,
            failed=len(failed),
            error=entry.reason,
            behind=facts.behind.get(CNC, 0),
        )
