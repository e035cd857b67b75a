"""Runs one scenario: faults and requests, then calm, then everything is deleted; judged all along."""

import asyncio
import hashlib
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from bus.envelope import Envelope, Recorded
from bus.events import AnyEvent, Event, InstanceDeleteRequested
from bus.subjects import name_of
from driftline.invariants import Violation
from driftline.simulator.loop import now_us, run
from driftline.simulator.scenario import Scenario, draw
from driftline.simulator.settling import Settling
from driftline.simulator.site import Site
from driftline.simulator.stage import Stage

_encode = msgspec.json.Encoder().encode


class Failure(msgspec.Struct, frozen=True):
    """What was wrong. ``number`` is the invariant's, 0 if something else broke; ``port`` and ``position``: where."""

    number: int
    text: str
    port: str = ""
    position: int = 0
    at_s: float = 0.0


class Outcome(msgspec.Struct, kw_only=True):
    """What came of one run. Counts are by kind of fault, event, FSM edge ("A → B") and invariant."""

    seed: int
    theme: str
    layout: str
    events: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    faults: dict[str, int] = {}
    kinds: dict[str, int] = {}
    edges: dict[str, int] = {}
    invariants: dict[int, int] = {}
    digest: str = ""
    failure: Failure | None = None


class Run(msgspec.Struct):
    """An outcome and the log that led to it."""

    outcome: Outcome
    records: list[Recorded]


def simulate(seed: int, themes: Sequence[str] = ()) -> Outcome:
    """Run the scenario of ``seed``, as ``draw`` does."""
    return play(draw(seed, themes)).outcome


def play(scenario: Scenario) -> Run:
    """Run ``scenario`` to its end or to the first failure."""
    return run(_play(scenario), scenario.seed)


async def _play(scenario: Scenario) -> Run:
    site = Site(scenario)
    failure = await _failure(site)
    return Run(_outcome(site, failure), site.store.records)


async def _failure(site: Site) -> Failure | None:
    """Let the scenario happen. Whatever goes wrong on the way, also in the core's own code, is the failure."""
    happening = asyncio.ensure_future(_happen(site))
    try:
        await asyncio.wait({happening, site.failed}, return_when=asyncio.FIRST_COMPLETED)
        if site.failed.done():
            await site.failed
        await happening
    except Exception as error:  # noqa: BLE001  # a crash of the core is a finding, not the end of the campaign
        return _failure_of(error)
    finally:
        happening.cancel()
        site.failed.cancel()
    return None


def _failure_of(error: Exception) -> Failure:
    at_s = asyncio.get_running_loop().time()
    where = "; ".join(getattr(error, "__notes__", []))
    if isinstance(error, Violation):
        return Failure(
            error.number, f"{error.text} ({where})" if where else error.text, error.port, error.position, at_s
        )
    return Failure(0, f"{type(error).__name__}: {error} ({_raised_at(error)}; {where})", at_s=at_s)


def _raised_at(error: BaseException) -> str:
    """The file and line where it was raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"


async def _happen(site: Site) -> None:
    """Faults and requests; calm; an audit of everything; deletion of everything."""
    for process in site.processes.values():
        process.start()
    stage = Stage(site)
    loop = asyncio.get_running_loop()
    for action in site.scenario.actions:
        if action.at_s > loop.time():
            await asyncio.sleep(action.at_s - loop.time())
        stage.perform(action)
    await asyncio.sleep(1.0)
    settling = Settling(site)
    site.heal()
    await settling.until_quiet()
    await settling.audit()
    _delete_all(site)
    await settling.until_deleted()


def _delete_all(site: Site) -> None:
    for row in list(site.mirror.views.rows("instances").values()):
        if not row.cleaned and row.state not in ("refused", "deleted") and not row.delete_request:
            event: AnyEvent = InstanceDeleteRequested(instance=row.instance)
            number = f"end-{row.instance}"
            site.publish(Envelope(id=number, event=event, correlation=number, actor="publisher", time_us=now_us()))


def _outcome(site: Site, failure: Failure | None) -> Outcome:
    records = site.store.records
    loop = asyncio.get_running_loop()
    return Outcome(
        seed=site.seed,
        theme=site.scenario.theme,
        layout=site.scenario.layout,
        events=len(records),
        steps=site.steps,
        virtual_s=round(loop.time(), 6),
        faults=dict(sorted(site.counts.items())),
        kinds=_by_name(type(r.event) for r in records),
        edges={f"{one} → {other}": count for (one, other), count in sorted(site.auditor.edges.items())},
        invariants=dict(sorted(site.auditor.exercised.items())),
        digest=_digest(site),
        failure=failure,
    )


def _by_name(types: Iterable[type[Event]]) -> dict[str, int]:
    return dict(sorted(Counter(name_of(kind) for kind in types).items()))


def _digest(site: Site) -> str:
    """A hash of the whole log, with times, and of what the devices hold at the end."""
    digest = hashlib.sha256()
    for r in site.store.records:
        digest.update(_encode(r))
    digest.update(_encode(list(site.fabric.states())))
    digest.update(f"{asyncio.get_running_loop().time():.9f} {sorted(site.counts.items())}".encode())
    return digest.hexdigest()[:16]
