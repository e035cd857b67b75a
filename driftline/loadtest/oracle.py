"""What judges a run: all that can be checked about it. A run that is fast and wrong has failed."""

from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from driftline.auditing import account
from driftline.channel import BusChannel
from driftline.current import rows, wait_projected
from driftline.invariants.live import audit as audit_invariants
from driftline.ledger import Entry
from driftline.proof import Proof, prove
from driftline.stack import Stack
from projections.drifts import DriftRow
from projections.port_rows import PortRow
from projections.port_states import PAIRS
from projections.runner import Projector
from projections.spawns import SpawnRow
from projections.verify import Verdict, verify
from workers.devices.simulated.remote import RemoteDevices


class Invariants(msgspec.Struct, frozen=True, kw_only=True):
    """The 24 invariants over the whole log and the devices. ``violation``: the first, empty if all hold."""

    scope: str
    exercised: dict[int, int]
    violation: str


class Accounted(msgspec.Struct, frozen=True, kw_only=True):
    """Every event of the log and every request of the run, accounted for. ``findings``: what was lost, or is amiss."""

    events: int
    requests: int
    holes: int
    findings: list[str]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """All that was looked at. ``live``: instances that are active now."""

    live: int
    addresses_held: int
    port_states: dict[str, int]
    proof: Proof
    verify: Verdict
    invariants: Invariants
    audit: Accounted
    spawns: list[SpawnRow]
    drifts: list[DriftRow]


async def judge(
    stack: Stack,
    projector: Projector | None,
    entries: Sequence[Entry],
    on_check: Callable[[str], None] = lambda name: None,
) -> Judged:
    """Look at the projections, the fabric, the log and the devices. ``entries``: what the run published.

    ``projector``: None if it runs elsewhere. Raises LogUnavailable, DatabaseUnavailable, DevicesUnavailable, NotDone.
    """
    on_check("checking the invariants")  # first: it waits until all is at rest
    fabric = RemoteDevices(BusChannel(stack.connection))
    found = await audit_invariants(stack.log, fabric.dump, lambda done, until: None)
    await wait_projected(stack, projector, await stack.log.last_position())
    on_check("asking the fabric")
    ports = cast(list[PortRow], await rows(stack.database, "ports"))
    states = dict.fromkeys(PAIRS, 0)
    for port in ports:
        states[f"{port.underlay}_{port.overlay}"] += 1
    proof = await prove(stack, ports)
    on_check("folding the log anew, comparing")
    verdict = await verify(stack.log, stack.database)
    on_check("accounting for every event")
    accounts = await account(stack, stack.database, entries, lambda done, until: None)
    broken = found.violation
    return Judged(
        live=len(await rows(stack.database, "instances", {"state": "active"})),
        addresses_held=len(await rows(stack.database, "addresses")),
        port_states=states,
        proof=proof,
        verify=verdict,
        invariants=Invariants(
            scope=found.scope,
            exercised={one.number: one.exercised for one in found.invariants},
            violation=f"{broken.invariant} at position {broken.position}: {broken.text}" if broken else "",
        ),
        audit=Accounted(
            events=accounts.events,
            requests=len(entries),
            holes=len(accounts.holes),
            findings=[f"{one.what}: {one.text}" for one in accounts.findings],
        ),
        spawns=cast(list[SpawnRow], await rows(stack.database, "spawns")),
        drifts=cast(list[DriftRow], await rows(stack.database, "drifts")),
    )
