"""Puts the answer together: in which state it is, what it waits for, what comes next and what a person can do."""

from collections.abc import Iterator
from typing import NamedTuple

from bus.events import (
    InstanceDeleted,
    InstanceDriftFailed,
    InstanceFailed,
    InstanceOverdue,
    InstanceRefused,
    InstanceTerminating,
    LeafAuditRequested,
    PortDeleted,
    PortRefused,
)
from driftline.why.advice import advice
from driftline.why.answer import Next, Wait, Why
from driftline.why.coming import for_answers, for_claim, for_mac, for_planes, for_port_to_exist, wait
from driftline.why.facts import Facts, Subject
from driftline.why.failures import failures
from driftline.why.leaving import for_end, for_stale, stale_claims
from projections.instances import ENDED, SPAWNING, InstanceRow
from projections.port_rows import PortRow
from workers.deadlines import due_us, is_overdue
from workers.liveness import DOWN_US
from workers.orphans import GRACE_US
from workers.worker import AUDIT_EVERY_US


class _State(NamedTuple):
    """What is said of the state, and what it waits for."""

    summary: str
    since_us: int
    waits: list[Wait]
    well: bool = False


def explain(facts: Facts, subject: Subject) -> Why:
    """Why the subject is as it is."""
    row, port = subject.instance, facts.port(subject.port)
    state = _of_port_alone(facts, subject.port, port) if row is None else _of_instance(facts, row, port)
    asked = list(for_answers(facts, row)) if row is not None else []
    state = state._replace(waits=state.waits + asked, well=state.well and not asked)
    failed = failures(facts, subject)
    return Why(
        instance=row.instance if row is not None else port.instance if port is not None else "",
        port=subject.port,
        position=facts.position,
        now_us=facts.now_us,
        summary=state.summary,
        since_us=state.since_us,
        well=state.well,
        waits=state.waits,
        failures=failed,
        next=[] if state.well else sorted(_next(facts, row, port, state.waits), key=lambda one: one.at_us),
        advice=[] if state.well else advice(facts, row, state.waits, failed),
    )


def label(row: InstanceRow) -> str:
    """The instance as people call it: its name, and its id if that is another."""
    return row.name if row.name == row.instance else f"{row.name} ({row.instance})"


def _of_instance(facts: Facts, row: InstanceRow, port: PortRow | None) -> _State:
    if row.state in ENDED or (row.state == "failed" and row.cleaned):
        return _ended(facts, row)
    if row.terminating or row.state == "failed":
        return _terminating(facts, row, port)
    match row.state:
        case "requested":
            return _requested(facts, row)
        case "drifting":
            return _drifting(facts, row, port)
        case "scheduled" if port is None:
            text = f"{label(row)} is on its way to {row.host} and has no port yet"
            return _State(text, row.scheduled_us, list(for_port_to_exist(facts, row)))
        case _ if port is None:
            return _State(f"{label(row)} is {row.state} and has no port", row.active_us, [])
        case _:
            return _with_port(facts, row, port)


def _requested(facts: Facts, row: InstanceRow) -> _State:
    asked = next((r for r in facts.about("instance", row.instance) if r.correlation == row.request), None)
    waits = [wait(facts, "nova", f"{label(row)} to be given a host, or refused", asked)]
    return _State(f"{label(row)} was asked for and is on no host yet", row.requested_us, waits)


def _ended(facts: Facts, row: InstanceRow) -> _State:
    last = facts.last("instance", row.instance, InstanceRefused, InstanceDeleted)
    match row.state:
        case "refused":
            field = getattr(last.event, "field", "") if last else ""
            what = f" ({field}: {getattr(last.event, 'value', '')})" if last and field else ""
            return _State(f"{label(row)} was refused: {row.reason}{what}. Nothing of it exists", row.ended_us, [])
        case "failed":
            text = f"{label(row)} failed: {row.reason}. Nothing of it is left"
            return _State(text, row.ended_us, [])
        case _:
            return _State(f"{label(row)} is deleted, and nothing of it is left", row.ended_us, [], well=True)


def _terminating(facts: Facts, row: InstanceRow, port: PortRow | None) -> _State:
    told = facts.last("instance", row.instance, InstanceTerminating)
    since_us = told.time_us if told else row.ended_us
    why = (
        f"{label(row)} failed ({row.reason}) and is being taken down"
        if row.state == "failed"
        else (f"{label(row)} is being deleted")
    )
    if told is None:
        failed = facts.last("instance", row.instance, InstanceFailed)
        return _State(why, since_us, [wait(facts, "nova", f"{label(row)} to be taken down", failed)])
    if port is None:
        return _State(f"{why}; it has no port", since_us, [wait(facts, "nova", "the deletion to be confirmed", told)])
    held = f"{why}; its port {port.port} holds {port.ip} until both planes have confirmed that nothing is left"
    return _State(held, since_us, for_end(facts, port))


def _drifting(facts: Facts, row: InstanceRow, port: PortRow | None) -> _State:
    text = f"{label(row)} is drifting from {row.from_host} to {row.host}"
    left = _left(facts, port) if port is not None else []
    if port is None or port.generation <= row.from_generation or port.host != row.host:
        return _State(f"{text}, which has not got its port yet", row.drift_us, [*for_claim(facts, row), *left])
    waits = [*for_planes(facts, port), *_verdict(facts, row, port, "drift")]
    return _State(f"{text}; {_planes(port)}", row.drift_us, waits + left)


def _with_port(facts: Facts, row: InstanceRow, port: PortRow) -> _State:
    """Scheduled, active or in error."""
    frozen = list(for_mac(facts, port))
    waits = [*for_planes(facts, port), *frozen]
    left = _left(facts, port)
    since_us = row.scheduled_us if row.state in SPAWNING else port.changed_us
    if row.state == "error":
        text = f"{label(row)} is in error on {row.host}: {row.reason}; {_planes(port)}"
        recovery = _recovery(facts, row, port) if port.usable or not waits else []
        return _State(text, since_us, [*waits, *recovery, *left])
    if row.state == "scheduled":
        text = f"{label(row)} is on its way on {row.host}; {_planes(port)}"
        return _State(text, since_us, [*waits, *_verdict(facts, row, port, "spawn")])
    if port.usable and not waits:
        text = f"{label(row)} works: active on {row.host}, {_planes(port)}"
        if left:
            text += f"; something is left of where it was before ({', '.join(_hosts(facts, port))})"
        return _State(text, row.active_us, left, well=not left)
    if frozen and port.usable:
        text = f"{label(row)} is active on {row.host}, but is not heard everywhere; {_planes(port)}"
    elif port.usable:
        text = f"{label(row)} is active on {row.host}, {_planes(port)}; not all of it is confirmed yet"
    else:
        text = f"{label(row)} is active on {row.host}, but its port cannot be used; {_planes(port)}"
    return _State(text, since_us, waits + left)


def _left(facts: Facts, port: PortRow) -> list[Wait]:
    """What is left of where the port was before."""
    return [one for stale in stale_claims(facts, port.port) for one in for_stale(facts, stale)]


def _verdict(facts: Facts, row: InstanceRow, port: PortRow, what: str) -> list[Wait]:
    """The port is ready, or cannot be, or it is too late: it has only still to be said."""
    overdue = facts.last("instance", row.instance, InstanceOverdue)
    if isinstance(e := overdue.event if overdue else None, InstanceOverdue) and is_overdue(row, e) and not port.usable:
        return [wait(facts, "nova", f"the {what} of {label(row)} to be given up: it was not done in time", overdue)]
    if port.usable:
        text = f"the {what} of {label(row)} to be called done: both planes are ACTIVE"
    elif "ERROR" in (port.underlay, port.overlay):
        text = f"the {what} of {label(row)} to be called failed: {port.reason}"
    else:
        return []
    return [wait(facts, "nova", text, facts.newest("port", port.port))]


def _recovery(facts: Facts, row: InstanceRow, port: PortRow) -> list[Wait]:
    """An instance in error whose port lacks nothing where it is."""
    if port.host == row.host and port.usable:
        return [wait(facts, "nova", f"{label(row)} to be called well again", facts.newest("port", port.port))]
    failed = facts.last("instance", row.instance, InstanceDriftFailed)
    what = f"{label(row)} to be drifted to a host that takes it: its port is claimed by {port.host}"
    return [wait(facts, "an operator", what, failed, port.host)]


def _of_port_alone(facts: Facts, name: str, port: PortRow | None) -> _State:
    if port is not None and port.unbound:
        return _State(
            f"port {name}, which no instance owns, is being taken down", port.changed_us, for_end(facts, port)
        )
    if port is not None:
        text = f"port {name} has {port.ip} on {port.host}, and no instance that owns it was asked for"
        return _State(text, port.allocated_us, [])
    refused, deleted = facts.last("port", name, PortRefused), facts.last("port", name, PortDeleted)
    if deleted is not None:
        return _State(f"port {name} is deleted, and nothing of it is left", deleted.time_us, [], well=True)
    if refused is not None:
        e = refused.event
        assert isinstance(e, PortRefused)
        return _State(f"port {name} was refused: {e.reason} ({e.field}: {e.value})", refused.time_us, [])
    asked = next(iter(facts.about("port", name)), None)
    return _State(
        f"port {name} was asked for and does not exist yet",
        asked.time_us if asked else 0,
        [wait(facts, "ipam", f"port {name} to be given an address, or refused", asked)],
    )


def _next(facts: Facts, row: InstanceRow | None, port: PortRow | None, waits: list[Wait]) -> Iterator[Next]:
    if row is not None and row.state == "scheduled" and not row.terminating:
        text = f"the spawn of {label(row)} is given up: it fails and is taken down"
        yield _deadline(facts, row, text)
    if row is not None and row.state == "drifting":
        where = port.host if port is not None else row.from_host
        yield _deadline(facts, row, f"the drift is given up: {label(row)} is where its port is then, now {where}")
    if port is not None and port.orphan_seen_us:
        what = f"port {port.port} is collected, if nobody reports on it before"
        yield Next(at_us=port.orphan_seen_us + GRACE_US, who="ipam", what=what)
    for host in dict.fromkeys(one.where for one in waits):
        state = facts.row("host_states", host) if host else None
        if state is not None and state.state == "suspect":
            silent_us = getattr(getattr(facts.at(state.epoch), "event", None), "silent_us", 0)
            what = f"{host} is taken for dead, if its agent is not heard before"
            yield Next(at_us=state.since_us - silent_us + DOWN_US, who="liveness", what=what)
    yield from _audits(facts, waits)


def _deadline(facts: Facts, row: InstanceRow, what: str) -> Next:
    said = facts.last("instance", row.instance, InstanceOverdue)
    late = " (it is over; nova has still to say so)" if due_us(row) < facts.now_us and said is None else ""
    return Next(at_us=due_us(row), who="nova", what=what + late)


def _audits(facts: Facts, waits: list[Wait]) -> Iterator[Next]:
    """What failed is not tried again before it is asked for again, or an audit finds that it lacks."""
    for leaf in dict.fromkeys(one.where for one in waits if one.who == "cnc" and one.error):
        asked = [r for r in facts.about("leaf", leaf) if isinstance(r.event, LeafAuditRequested)]
        if asked:
            at_us = asked[-1].time_us + AUDIT_EVERY_US
            yield Next(at_us=at_us, who="cnc", what=f"{leaf} is compared with the log, and what it lacks is repaired")


def _planes(port: PortRow) -> str:
    bound = "bound" if port.bound else "not bound"
    return f"underlay {port.underlay}, overlay {port.overlay}, {bound}"


def _hosts(facts: Facts, port: PortRow) -> list[str]:
    return list(dict.fromkeys(stale.host for stale in stale_claims(facts, port.port)))
