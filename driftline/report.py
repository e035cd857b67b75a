"""What a run came to: the counts, the port states, what the fabric delivers, and whether the projections are right."""

from typing import cast

import msgspec

from driftline.current import rows
from driftline.load import Tally
from driftline.proof import prove
from driftline.stack import Stack
from projections.port_rows import PortRow
from projections.port_states import PAIRS
from projections.verify import Verdict, verify


class Report(msgspec.Struct, kw_only=True):
    """The document that ``demo`` and ``load`` print with ``--json``.

    ``live``: instances that are active now. ``addresses_held``: without a leak there are as many as ports.
    ``seconds``: first request to last outcome; ``projected_seconds``: until PostgreSQL had it all. ``leftovers``: what
    devices hold that no live port needs. ``faults``: what is wrong with the run, empty when all is as it must be.
    """

    requested: int
    active: int
    failed: int
    refused: int
    deleted: int
    delete_refused: int
    skipped: int
    twice: int
    live: int
    addresses_held: int
    events: int
    seconds: float
    projected_seconds: float
    spawns_per_second: float
    port_states: dict[str, int]
    reachable_pairs_checked: int
    reachable_pairs_ok: int
    isolated_pairs_checked: int
    isolated_pairs_ok: int
    leftovers: int
    verify: Verdict
    problems: list[str]
    faults: list[str] = []


def faults_of(report: Report) -> list[str]:
    """What is wrong with a run. A refused request is none: refusing is what it should do with a bad one."""
    checks = {
        "a request ended more than once": report.twice == 0,
        "a spawn failed": report.failed == 0,
        "a request has no outcome": report.requested == report.active + report.failed + report.refused,
        "a delete was refused": report.delete_refused == 0,
        "an address leaked": report.addresses_held == sum(report.port_states.values()),
        "a live instance has no usable port": report.live == report.port_states["ACTIVE_ACTIVE"],
        "a pair that should reach each other does not": report.reachable_pairs_ok == report.reachable_pairs_checked,
        "a pair that should be isolated is not": report.isolated_pairs_ok == report.isolated_pairs_checked,
        "a device holds what no port needs": report.leftovers == 0,
        "the projections differ from the log": report.verify.equal,
    }
    return [text for text, holds in checks.items() if not holds]


async def make_report(stack: Stack, tally: Tally, projected_us: int) -> Report:
    """Question the database, the fabric and the log about a run that has ended and been projected."""
    ports = cast(list[PortRow], await rows(stack.database, "ports"))
    states = dict.fromkeys(PAIRS, 0)
    for port in ports:
        states[f"{port.underlay}_{port.overlay}"] += 1
    proof = await prove(stack, ports)
    report = Report(
        requested=tally.requested,
        active=tally.active,
        failed=tally.failed,
        refused=tally.refused,
        deleted=tally.deleted,
        delete_refused=tally.delete_refused,
        skipped=tally.skipped,
        twice=tally.twice,
        live=len(await rows(stack.database, "instances", {"state": "active"})),
        addresses_held=len(await rows(stack.database, "addresses")),
        events=tally.events,
        seconds=round(tally.seconds, 3),
        projected_seconds=round((projected_us - tally.first_us) / 1e6, 3),
        spawns_per_second=round(tally.active / tally.seconds, 1),
        port_states=states,
        reachable_pairs_checked=proof.reachable_checked,
        reachable_pairs_ok=proof.reachable_ok,
        isolated_pairs_checked=proof.isolated_checked,
        isolated_pairs_ok=proof.isolated_ok,
        leftovers=proof.leftovers,
        verify=await verify(stack.log, stack.database),
        problems=[*tally.problems, *([proof.first_problem] if proof.first_problem else [])],
    )
    report.faults = faults_of(report)
    return report
