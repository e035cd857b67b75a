"""What a person said about a load, and what that comes to in the world that there is."""

import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec

from driftline.errors import UsageError
from driftline.loadtest.exercise import IN_FLIGHT, Limits, Places
from driftline.loadtest.profile import Instances, Phase, Shape, named, takes
from driftline.loadtest.report import Asked
from driftline.trace import Target, TraceRow
from projections.world import World
from workers.devices.simulated.faults import FaultPlan


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said about a load. ``instances``: in each zone."""

    profile: str
    instances: int | None
    rows: list[TraceRow]
    trace: str
    rate: float
    lives_s: float
    size: int
    scope: str
    seed: int
    target: Target | None
    limits: Limits
    speed: float | None
    measure_limit: bool | None
    out: Path | None
    html: Path | None
    chaos: str
    chaos_every_s: float
    apart: bool
    timeout_s: float


def asked(known: World, wanted: Load, phases: Sequence[Phase], faults: FaultPlan, *, world: str, servers: str) -> Asked:
    """What is asked for by all of that, for who holds one run against another; ``world`` and ``servers`` as there."""
    used = takes(wanted.profile)
    measured = [phase for phase in phases if not (isinstance(phase, Instances) and phase.fill)]
    flat_out = all(isinstance(phase, Instances) and not phase.timed for phase in measured)
    return Asked(
        profile=wanted.profile,
        instances=total(known, wanted),
        zones=len(zones(known)),
        hosts=len(known.hosts),
        flat_out=flat_out,
        rate=wanted.rate if "rate" in used else None,
        lives_s=wanted.lives_s if "lives_s" in used else None,
        size=wanted.size if "size" in used else None,
        scope=wanted.scope if "scope" in used else None,
        speed=wanted.speed,
        in_flight=wanted.limits.in_flight or (IN_FLIGHT if flat_out else None),
        for_s=wanted.limits.for_s,
        chaos=f"random, one in {wanted.chaos_every_s:g} s" if wanted.chaos == "random" else wanted.chaos,
        faults="" if faults == FaultPlan() else msgspec.json.encode(faults).decode(),
        seed=wanted.seed,
        target=(wanted.target.network or wanted.target.label or "") if wanted.target else "",
        trace=wanted.trace,
        world=world,
        servers=servers,
        apart=wanted.apart,
    )


def zones(known: World) -> list[str]:
    """The zones that have hosts."""
    return sorted({host.az for host in known.hosts.values()})


def total(known: World, wanted: Load) -> int:
    """How many instances are asked for, in all zones."""
    return len(wanted.rows) or (wanted.instances or 0) * len(zones(known))


def phases_of(known: World, wanted: Load) -> list[Phase]:
    """What the profile makes of it. Raises UsageError where it cannot."""
    shape = Shape(
        instances=total(known, wanted),
        rate=wanted.rate,
        lives_s=wanted.lives_s,
        size=wanted.size,
        scope=wanted.scope,
        seed=wanted.seed,
        rows=wanted.rows,
        flat_out=wanted.speed is None,
    )
    return named(wanted.profile)(shape, known)


def places_of(known: World, wanted: Load) -> Places:
    """Where the instances go. Raises UsageError for a network or a label that there is not."""
    return Places(
        azs=zones(known),
        targets=_targets(known, wanted.target),
        prefix=new_prefix(),
        host_azs={name: host.az for name, host in known.hosts.items()},
    )


def new_prefix() -> str:
    """A prefix for the names of one run: ids of instances are unique for ever, so each run needs its own."""
    return f"r{uuid.uuid4().hex[:6]}-"


def _targets(world: World, given: Target | None) -> list[Target]:
    """Where ports come from: what was given, if the world has it, else every label, or every network, in turn."""
    if given is None:
        labelled = [Target(label=label) for label in sorted(world.by_label)]
        return labelled or [Target(network=network) for network in sorted(world.networks)]
    if given.network and given.label:
        raise UsageError("only one of --network and --label can be given")
    if given.network and given.network not in world.networks:
        raise UsageError(f"--network: {given.network} is no network of the world")
    if given.label and given.label not in world.by_label:
        raise UsageError(f"--label: no network carries {given.label}")
    return [given]
