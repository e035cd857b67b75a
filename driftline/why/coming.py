"""What a claim of a port still waits for until the port can be used: Figure 10, steps 2 to 12, and Figure 11."""

from collections.abc import Iterator

from bus.envelope import Recorded
from bus.events import (
    CLOUD,
    CNC,
    HostBlockAnnounced,
    HostBlockAssigned,
    HostBlockRefused,
    HostBlockRequested,
    InstanceDeleteRequested,
    InstanceDriftRequested,
    PortAllocated,
    PortBindRequested,
    PortBound,
    PortClaimed,
    PortClaimRefused,
    PortClaimRequested,
    PortCreateRequested,
    PortPlugged,
    PortRefused,
)
from driftline.why.answer import Wait
from driftline.why.facts import Facts
from driftline.why.failures import failed_on_leaf, frozen, leaves_of
from projections.instances import InstanceRow
from projections.port_rows import PortRow
from workers.models import MODELS, allocator_of
from workers.models.model import IPAM

_HOST_STATES = {
    "suspect": "its agent is not heard",
    "down": "it is taken for dead",
    "returned": "it is back and being cleaned of what is not its own any more",
}


def wait(facts: Facts, who: str, what: str, since: Recorded | None, where: str = "", error: str = "") -> Wait:
    """Somebody is to do something, since an event."""
    return Wait(
        what=what,
        who=who,
        where=where,
        since_us=since.time_us if since else 0,
        position=since.position if since else 0,
        failed=1 if error else 0,
        error=error,
        behind=facts.behind.get(who, 0),
    )


def for_host(facts: Facts, host: str) -> Iterator[Wait]:
    """That the host is up, if it is not."""
    state = facts.host_state(host)
    if state.state == "up":
        return
    since = facts.at(state.epoch)
    held = state.state == "down" and state.held
    what = f"host {host} to be up again: {_HOST_STATES.get(state.state, state.state)}"
    who = "an operator" if held else "ovs-agent" if state.state == "returned" else "the host"
    reason = f" ({state.reason})" if state.reason else ""
    yield Wait(
        what=what + reason, who=who, where=host, since_us=state.since_us, position=since.position if since else 0
    )


def for_answers(facts: Facts, row: InstanceRow) -> Iterator[Wait]:
    """Requests about the instance that have no answer yet."""
    records = facts.about("instance", row.instance)
    answered = {r.correlation for r in records if r.actor == "nova"}
    if row.delete_request and not row.terminating:  # it may belong to the story of the spawn, which has its answer
        answered.discard(row.delete_request)
    for r in records:
        if isinstance(r.event, InstanceDriftRequested | InstanceDeleteRequested) and r.correlation not in answered:
            answered.add(r.correlation)
            what = "drift" if isinstance(r.event, InstanceDriftRequested) else "deletion"
            yield wait(
                facts, "nova", f"the {what} of {row.instance} that was asked for ({r.correlation}) to be answered", r
            )


def for_port_to_exist(facts: Facts, row: InstanceRow) -> Iterator[Wait]:
    """An instance that has a host and no port yet (steps 2 and 3)."""
    yield from for_host(facts, row.host)
    asked = facts.last("port", row.port, PortCreateRequested) if row.port else None
    if asked is None:
        scheduled = next((r for r in reversed(facts.about("instance", row.instance)) if r.actor == "nova"), None)
        yield wait(facts, "compute", f"the port of {row.instance} to be asked for", scheduled, row.host)
        return
    block = _block_waited_for(facts, row)
    refused = facts.last("port", row.port, PortRefused)
    if refused is not None:
        yield wait(facts, "nova", f"{row.instance} to be called refused, as its port was", refused)
    elif block is not None:
        yield block
    else:
        who = "host-ipam" if _allocates_on_host(facts, row) else "ipam"
        yield wait(facts, who, f"port {row.port} to be given an address, or refused", asked)


def for_claim(facts: Facts, row: InstanceRow) -> Iterator[Wait]:
    """A drift whose new host has not got the port yet (Figure 11, steps 3 and 4)."""
    yield from for_host(facts, row.host)
    asked = facts.last("port", row.port, PortClaimRequested)
    refused = facts.last("port", row.port, PortClaimRefused)
    if refused is not None and refused.correlation == row.drift_request:
        yield wait(facts, "nova", f"the drift of {row.instance} to be called failed, as the claim was refused", refused)
        return
    if asked is None or asked.correlation != row.drift_request:
        scheduled = next((r for r in facts.about("instance", row.instance) if r.correlation == row.drift_request), None)
        yield wait(facts, "compute", f"{row.host} to claim port {row.port}", scheduled, row.host)
    else:
        yield wait(facts, "ipam", f"the claim of port {row.port} by {row.host} to be granted or refused", asked)


def for_planes(facts: Facts, port: PortRow) -> list[Wait]:
    """All that lacks until the claim can be used, in the order of the figure; empty if nothing does."""
    return [*for_host(facts, port.host), *_underlay(facts, port), *_binding(facts, port), *_overlay(facts, port)]


def for_mac(facts: Facts, port: PortRow) -> Iterator[Wait]:
    """That somebody clears the port's MAC, which leaves have frozen as a duplicate (RFC 7432, section 15.1)."""
    for found in frozen(facts, port)[:1]:
        what = f"MAC {port.mac} (VNI {port.vni}) to be cleared: leaves have frozen it as a duplicate"
        yield wait(facts, "an operator", what, found, str(getattr(found.event, "leaf", "")))


def _underlay(facts: Facts, port: PortRow) -> Iterator[Wait]:
    claim = facts.at(port.claimed_at) or facts.last("port", port.port, PortAllocated, PortClaimed)
    error = port.reason if port.underlay_report == "ERROR" else ""
    if not port.plugged:
        yield wait(facts, "compute", f"the vNIC of {port.port} on {port.host}", claim, port.host, error)
    elif port.underlay_by and port.underlay_report != "ACTIVE":
        plugged = facts.last("port", port.port, PortPlugged)
        what = f"the flows of {port.port} on {port.host}"
        yield wait(facts, port.underlay_by, what, plugged, port.host, error)
    if port.policy_by and port.policy_report != "ACTIVE":
        error = port.reason if port.policy_report == "ERROR" else ""
        yield wait(facts, port.policy_by, f"the policy rules of {port.port} on {port.host}", claim, port.host, error)


def _binding(facts: Facts, port: PortRow) -> Iterator[Wait]:
    if port.bound:
        return
    if port.bind_requested:
        asked = facts.last("port", port.port, PortBindRequested)
        who = MODELS[port.model].allocator if port.model in MODELS else IPAM
        yield wait(facts, who, f"{port.port} to be bound to {port.host}", asked)
    elif port.plugged:
        plugged = facts.last("port", port.port, PortPlugged)
        yield wait(facts, "compute", f"the binding of {port.port} to be asked for", plugged, port.host)


def _overlay(facts: Facts, port: PortRow) -> Iterator[Wait]:
    if not (port.bound and port.overlay_by) or port.overlay_report == "ACTIVE":
        return
    bound = facts.last("port", port.port, PortBound)
    error = port.reason if port.overlay_report == "ERROR" else ""
    if port.overlay_by == CNC:
        on_leaves = list(_leaves(facts, port))
        yield from on_leaves or [wait(facts, CNC, f"the overlay of {port.port} to be reported", bound, "", error)]
    elif port.overlay_by == CLOUD:
        eni = facts.row("enis", port.port)
        state = f" (it is {eni.state})" if eni is not None else ""
        reason = eni.reason if eni is not None else error
        yield wait(facts, CLOUD, f"the ENI of {port.port} to be attached{state}", bound, "", reason)
    else:
        yield wait(facts, port.overlay_by, f"the overlay of {port.port} to be reported", bound, "", error)


def _leaves(facts: Facts, port: PortRow) -> Iterator[Wait]:
    for leaf, interface in leaves_of(facts, port.host):
        entry = facts.row("leaf_interfaces", leaf, interface, port.vlan)
        if entry is None or entry.state not in ("present", "absent"):
            what = f"{leaf} to carry VLAN {port.vlan} (VNI {port.vni}) on {interface}"
            failed = failed_on_leaf(facts, leaf, interface, port.vlan, entry.epoch if entry is not None else 0)
            since = facts.at(entry.epoch) if entry is not None else facts.last("port", port.port, PortBound)
            yield Wait(
                what=what,
                who=CNC,
                where=leaf,
                since_us=since.time_us if since else 0,
                position=since.position if since else 0,
                failed=len(failed),
                error=entry.reason if entry is not None else "",
                behind=facts.behind.get(CNC, 0),
            )


def _allocates_on_host(facts: Facts, row: InstanceRow) -> bool:
    network = facts.row("networks", row.network) if row.network else None
    found = [network] if network is not None else [one for one in facts.rows("networks") if row.label in one.labels]
    return bool(found) and allocator_of(found[0]) != IPAM


def _block_waited_for(facts: Facts, row: InstanceRow) -> Wait | None:
    """A host that allocates by itself, and waits for a block of addresses."""
    if not _allocates_on_host(facts, row):
        return None
    said = [
        r
        for r in facts.about("host", row.host)
        if isinstance(r.event, HostBlockRequested | HostBlockAssigned | HostBlockRefused | HostBlockAnnounced)
    ]
    last = said[-1] if said else None
    if last is None or not isinstance(last.event, HostBlockRequested):
        return None
    return wait(facts, "ipam", f"a block of addresses for {row.host}", last, row.host)
