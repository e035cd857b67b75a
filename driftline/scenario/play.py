"""Plays a scenario: step by step, each until everybody is done with it and all that was to come of it has come."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from bus.envelope import Envelope, Recorded
from bus.events import AnyEvent, Event, InstanceDeleteRequested, tag_of
from bus.subjects import publishers_of
from driftline.scenario.file import Fields, Keeps, RowCheck, ScenarioFile, Step, Trace
from projections.fold import Row
from projections.instances import ENDED, InstanceRow
from projections.views import Views
from workers.devices.simulated.fabric import Leftovers, SetHosts
from workers.devices.simulated.faults import FaultPlan, parse_faults
from workers.devices.simulated.reachability import Path
from workers.devices.simulated.tamper import Act
from workers.devices.simulated.wire import Ask

#: How long nothing may happen before a step counts as over, and how often to look, seconds.
QUIET_S, LOOK_S = 1.0, 0.1
#: How long the deletion of everything may take, seconds.
CLEANUP_S = 120.0


class Ground(Protocol):
    """Where a scenario is played: a control plane in virtual time, or one on real servers."""

    @property
    def records(self) -> Sequence[Recorded]:
        """The log so far."""
        ...

    async def publish(self, envelope: Envelope) -> None:
        """Append what somebody outside says."""
        ...

    async def set_hosts(self, change: SetHosts) -> None:
        """See ``SetHosts``. Raises ValueError."""
        ...

    async def tamper(self, acts: Sequence[Act]) -> None:
        """Do this to devices by hand. Raises ValueError."""
        ...

    async def set_faults(self, plan: FaultPlan) -> None:
        """From now on, devices fare as ``plan`` says."""
        ...

    async def trace(self, asks: Sequence[Ask]) -> Sequence[Path]:
        """Ask the fabric."""
        ...

    async def leftovers(self) -> Leftovers:
        """How much the devices hold."""
        ...

    async def is_done(self) -> bool:
        """Whether everybody is done with all that is on the log."""
        ...

    async def sleep(self, for_s: float) -> None:
        """Let time pass."""
        ...

    def now_s(self) -> float:
        """A clock, seconds."""
        ...

    def now_us(self) -> int:
        """The time of day, microseconds."""
        ...

    def judge(self, *, deleted: bool) -> str:
        """Which invariant does not hold, now that all is quiet (and everything was ``deleted``); empty for none."""
        ...


class Check(msgspec.Struct, frozen=True):
    """One thing that was to come of a step. ``why`` it did not, empty if it did."""

    what: str
    why: str = ""

    @property
    def holds(self) -> bool:
        """Whether it came."""
        return not self.why


class Told(msgspec.Struct, frozen=True):
    """One step as it went: what was published, all that followed, and the checks. ``lasted_s``: until all was quiet."""

    number: int
    say: str
    records: tuple[Recorded, ...]
    checks: tuple[Check, ...]
    lasted_s: float


class Played(msgspec.Struct, frozen=True):
    """A whole scenario. ``reach``: at its end, who reaches whom, and why not; ``cleanup``: what is left.

    ``records``: the whole log.
    """

    title: str
    about: str
    steps: tuple[Told, ...]
    instances: tuple[InstanceRow, ...]
    addresses: dict[str, str]
    reach: dict[str, dict[str, str]]
    cleanup: tuple[Check, ...] = ()
    records: tuple[Recorded, ...] = ()

    @property
    def failed(self) -> Check | None:
        """The first check that does not hold."""
        checks = (check for checks in (*(step.checks for step in self.steps), self.cleanup) for check in checks)
        return next((check for check in checks if not check.holds), None)


async def play(file: ScenarioFile, ground: Ground, told: Callable[[Told], None] = lambda step: None) -> Played:
    """Play ``file``, whose world ``ground`` has already. It ends with the first step of which a check does not hold."""
    player = _Player(ground)
    steps: list[Told] = []
    for number, step in enumerate(file.steps, 1):
        steps.append(await player.step(number, step))
        told(steps[-1])
        if any(not check.holds for check in steps[-1].checks):
            break
    instances = player.live()
    addresses = {row.instance: player.ip_of(row) for row in instances}
    reach = await player.matrix([row for row in instances if row.port])
    whole = len(steps) == len(file.steps) and all(check.holds for check in steps[-1].checks)
    cleanup = await player.clean_up(instances) if whole and file.cleanup else ()
    log = tuple(ground.records)
    return Played(file.title, file.about, tuple(steps), instances, addresses, reach, cleanup, log)


class _Player:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._views = Views()
        self._seen = 0
        self._said = 0

    async def step(self, number: int, step: Step) -> Told:
        """Do it, and wait for what is to come of it."""
        ground = self._ground
        self._read()
        before, start_s = self._seen, ground.now_s()
        kept = [(keep, self._values(keep)) for keep in step.keeps]
        await self._act(number, step)
        await ground.sleep(step.wait_s)
        await self._settle(lambda: self._lacks(step, before), start_s + max(step.within_s, step.wait_s))
        lasted_s = ground.now_s() - start_s - QUIET_S
        checks = [*self._events(step, before), *self._rows(step), *(self._kept(keep, was) for keep, was in kept)]
        checks += [await self._reach(*pair) for pair in step.reach]
        checks += [await self._unreachable(*pair) for pair in step.unreachable]
        checks += [await self._trace(trace) for trace in step.trace]
        wrong = ground.judge(deleted=False)
        checks += [Check("all invariants hold", wrong)]
        return Told(number, step.say, tuple(ground.records[before:]), tuple(checks), max(0.0, round(lasted_s, 1)))

    async def clean_up(self, instances: Iterable[InstanceRow]) -> tuple[Check, ...]:
        """Have everything deleted: nothing is left of it."""
        for row in instances:
            if not row.delete_request:
                await self._publish(f"cleanup-{row.instance}", InstanceDeleteRequested(instance=row.instance))
        await self._settle(lambda: bool(self.live()), self._ground.now_s() + CLEANUP_S)
        left = self.live()
        why = f"left: {', '.join(row.instance for row in left)}" if left else self._ground.judge(deleted=True)
        held = await self._ground.leftovers()
        return (Check("every instance is deleted, and nothing of it is left", why or _in_words(held)),)

    def live(self) -> tuple[InstanceRow, ...]:
        """The instances that hold something, by id."""
        self._read()
        rows: Iterable[InstanceRow] = self._views.rows("instances").values()
        alive = (row for row in rows if not row.cleaned and row.state not in ENDED)
        return tuple(msgspec.structs.replace(row) for row in sorted(alive, key=lambda row: row.instance))

    def ip_of(self, row: InstanceRow) -> str:
        """The address of an instance's port, empty if it has none."""
        port = self._views.row("ports", (row.port,))
        return port.ip if port is not None else ""

    async def matrix(self, rows: Sequence[InstanceRow]) -> dict[str, dict[str, str]]:
        """By source and target: why the one does not reach the other, empty if it does."""
        pairs = [(one, other) for one in rows for other in rows if one is not other]
        paths = await self._ground.trace([Ask(one.port, other.port) for one, other in pairs])
        answer: dict[str, dict[str, str]] = {row.instance: {} for row in rows}
        for (one, other), path in zip(pairs, paths, strict=True):
            answer[one.instance][other.instance] = path.reason
        return answer

    async def _act(self, number: int, step: Step) -> None:
        if step.hosts is not None:
            await self._ground.set_hosts(step.hosts)
        if step.faults is not None:
            await self._ground.set_faults(parse_faults(step.faults))
        if step.tamper:
            await self._ground.tamper(step.tamper)
        for index, event in enumerate(step.requests(), 1):
            await self._publish(f"step-{number}-{index}", event)

    async def _publish(self, name: str, event: AnyEvent) -> None:
        actor = publishers_of(type(event))[0]
        await self._ground.publish(
            Envelope(id=name, event=event, correlation=name, actor=actor, time_us=self._ground.now_us())
        )

    async def _settle(self, lacks: Callable[[], bool], until_s: float) -> None:
        """Until nothing lacks, everybody is done and the log is quiet; or until it is too late."""
        ground, quiet_since_s, last = self._ground, self._ground.now_s(), -1
        while ground.now_s() < until_s:
            await ground.sleep(LOOK_S)
            done = await ground.is_done()
            if not done or len(ground.records) != last or lacks():
                last, quiet_since_s = len(ground.records), ground.now_s()
            elif ground.now_s() - quiet_since_s >= QUIET_S:
                break
        self._read()

    def _read(self) -> None:
        records = self._ground.records
        for r in records[self._seen :]:
            self._views.evolve(r)
        self._seen = len(records)

    def _lacks(self, step: Step, before: int) -> bool:
        events = [r.event for r in self._ground.records[before:]]
        self._read()
        return not all(any(_is(event, wanted) for event in events) for wanted in step.expect) or not all(
            check.holds for check in self._rows(step)
        )

    def _events(self, step: Step, before: int) -> Iterable[Check]:
        events = [r.event for r in self._ground.records[before:]]
        for wanted in step.expect:
            found = any(_is(event, wanted) for event in events)
            yield Check(f"event {_shown(wanted)}", "" if found else _nearest(events, wanted))
        for unwanted in step.never:
            found = any(_is(event, unwanted) for event in events)
            yield Check(f"no event {_shown(unwanted)}", "it came" if found else "")

    def _rows(self, step: Step) -> Iterable[Check]:
        return [self._row(check) for check in step.rows]

    def _row(self, check: RowCheck) -> Check:
        found = self._find(check.table, check.where)
        what = f"{check.table} where {_shown(check.where)}" + (" is gone" if check.gone else f": {_shown(check.has)}")
        if check.gone:
            return Check(what, "it is there" if found else "")
        if len(found) != 1:
            return Check(what, f"there are {len(found)} such rows")
        wrong = {name: getattr(found[0], name) for name, value in check.has.items() if getattr(found[0], name) != value}
        return Check(what, f"it is {_shown(wrong)}" if wrong else "")

    def _find(self, table: str, where: Fields) -> list[Row]:
        rows: Iterable[Row] = self._views.rows(table).values()
        return [row for row in rows if all(getattr(row, name) == value for name, value in where.items())]

    def _values(self, keep: Keeps) -> list[Any]:
        return [[getattr(row, name) for name in keep.fields] for row in self._find(keep.table, keep.where)]

    def _kept(self, keep: Keeps, was: list[Any]) -> Check:
        now = self._values(keep)
        what = f"{keep.table} where {_shown(keep.where)} keeps {', '.join(keep.fields)}"
        return Check(what, "" if now == was and len(now) == 1 else f"it was {was}, it is {now}")

    async def _reach(self, source: str, target: str) -> Check:
        return await self._ask(
            f"{source} reaches {target}", source, Trace(source=source, to=target), lambda path: path.reason
        )

    async def _unreachable(self, source: str, target: str, because: str = "") -> Check:
        def judged(path: Path) -> str:
            return _stopped(path, because)

        what = f"{source} does not reach {target}" + (f", because: {because}" if because else "")
        return await self._ask(what, source, Trace(source=source, to=target), judged)

    async def _trace(self, trace: Trace) -> Check:
        def judged(path: Path) -> str:
            if trace.stopped:
                return _stopped(path, trace.stopped)
            if not path.reachable:
                return path.reason
            if trace.hops is not None and len(path.hops) != trace.hops:
                return f"{len(path.hops)} hops: {' → '.join(path.hops)}"
            missing = [part for part in trace.via if not any(part in hop for hop in path.hops)]
            return f"not via {missing[0]}: {' → '.join(path.hops)}" if missing else ""

        over = f" over {trace.hops} hops" if trace.hops is not None else ""
        via = f" via {', '.join(trace.via)}" if trace.via else ""
        does = f"does not reach, because: {trace.stopped}," if trace.stopped else "reaches"
        what = f"{trace.source} {does} {trace.to or trace.ip} with {trace.flow}{over}{via}"
        return await self._ask(what, trace.source, trace, judged)

    async def _ask(self, what: str, source: str, trace: Trace, judged: Callable[[Path], str]) -> Check:
        ports = {row.instance: row.port for row in self.live()}
        for name in filter(None, (source, trace.to)):
            if not ports.get(name):
                return Check(what, f"{name} has no port")
        (path,) = await self._ground.trace(
            [Ask(ports[source], ports[trace.to] if trace.to else "", trace.ip, trace.flow)]
        )
        return Check(what, judged(path))


def _stopped(path: Path, because: str) -> str:
    if path.reachable:
        return "it does"
    return "" if because in path.reason else f"not because of that, but: {path.reason}"


def _is(event: Event, wanted: Fields) -> bool:
    if tag_of(type(event)) != wanted["type"]:
        return False
    return all(msgspec.to_builtins(getattr(event, name)) == value for name, value in wanted.items() if name != "type")


def _nearest(events: Sequence[Event], wanted: Fields) -> str:
    """What came in its place."""
    alike = [event for event in events if tag_of(type(event)) == wanted["type"]]
    if alike:
        said = {name: getattr(alike[-1], name) for name in wanted if name != "type"}
        return f"it was {_shown(said)}"
    refusals = [event for event in events if hasattr(event, "reason") and hasattr(event, "field")]
    if refusals:
        return f"{tag_of(type(refusals[-1]))} came: {_shown(msgspec.to_builtins(refusals[-1]))}"
    return f"it did not come; {len(events)} others did"


def _shown(fields: Fields) -> str:
    kind = [str(fields["type"])] if "type" in fields else []
    return " ".join(kind + [f"{name}={value}" for name, value in fields.items() if name != "type"])


def _in_words(held: Leftovers) -> str:
    return (
        f"the devices still hold {_shown({k: v for k, v in msgspec.structs.asdict(held).items() if v})}" if held else ""
    )
