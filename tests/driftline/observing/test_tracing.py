"""One spawn is one trace across all workers, each span a child of the one that led to it."""

from collections.abc import Iterator, Sequence

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from bus.envelope import request
from bus.events import InstanceActive, InstanceFailed
from driftline.observing.observer import Observing
from driftline.observing.tracing import Tracing, traceparent_of
from tests.workers.fakes import FakeDevices
from tests.workers.site import ROLES, Site, running, spawn, world
from workers import runner as runner_module
from workers.effects import AnyEffect, PlugVnic
from workers.runner import Role, Runner

#: The context that a publisher's own program would have been in.
UPSTREAM = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = int(UPSTREAM.split("-")[1], 16)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "CHECKPOINT_EVERY_S", 0.001)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    exporter.shutdown()


async def site(answer: object = None) -> Site:
    place = Site(devices=FakeDevices(answer) if answer is not None else None)  # type: ignore[arg-type]
    await place.ask(world())
    return place


def traced(place: Site, spans: InMemorySpanExporter, roles: Sequence[Role] = ROLES) -> Runner:
    """A runner as a process of its own would have it."""
    observing = Observing("test", has_workers=True, has_projector=False, tracing=Tracing(SimpleSpanProcessor(spans)))
    log, watch = observing.workers(place.log)
    return Runner(log, place.checkpoints, place.devices, roles, clock=place.clock, watch=watch)


def told(spans: InMemorySpanExporter, story: str) -> list[ReadableSpan]:
    """The spans of one story, in the order in which they began."""
    found = [s for s in spans.get_finished_spans() if (s.attributes or {}).get("driftline.correlation") == story]
    return sorted(found, key=lambda span: span.start_time or 0)


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def parents(found: list[ReadableSpan]) -> dict[str, set[str]]:
    """The names of the spans that those of each name are children of."""
    names = {span_id(span): span.name for span in found}
    result: dict[str, set[str]] = {}
    for span in found:
        result.setdefault(span.name, set()).add(names[span.parent.span_id] if span.parent is not None else "")
    return result


#: Figure 10 as a tree: each span's parent is the span in which its cause was decided, or the effect that it came of.
FIGURE_10 = {
    "nova instance.spawn_requested": {""},
    "compute instance.scheduled": {"nova instance.spawn_requested"},
    "ipam port.create_requested": {"compute instance.scheduled"},
    "cnc port.allocated": {"ipam port.create_requested"},
    "compute port.allocated": {"ipam port.create_requested"},
    "compute PlugVnic": {"compute port.allocated"},
    "ovs-agent port.plugged": {"compute PlugVnic"},
    "ovs-agent InstallFlows": {"ovs-agent port.plugged"},
    "compute port.plugged": {"compute PlugVnic"},
    "ipam port.bind_requested": {"compute port.plugged"},
    "cnc port.bound": {"ipam port.bind_requested"},
    "cnc LeafVlan": {"cnc port.bound"},
}


@pytest.mark.parametrize("processes", [1, len(ROLES)])
async def test_one_spawn_is_one_trace_across_all_workers(spans: InMemorySpanExporter, processes: int) -> None:
    place = await site()
    each = [ROLES] if processes == 1 else [[role] for role in ROLES]
    async with running(*(traced(place, spans, roles) for roles in each)):
        first = await place.log.last_position() + 1
        await place.ask([spawn(0)])
        await place.until(InstanceActive, 1)
    found = told(spans, f"q{first}")
    assert len({span.context.trace_id for span in found if span.context}) == 1
    assert [span.name for span in found if span.parent is None] == ["nova instance.spawn_requested"]
    tree = parents(found)
    assert {name: tree.get(name) for name in FIGURE_10} == FIGURE_10
    assert {span.resource.attributes["service.name"] for span in found} == {role.worker.name for role in ROLES}
    await the_log_tells_the_same(place, found, f"q{first}")


async def the_log_tells_the_same(place: Site, found: list[ReadableSpan], story: str) -> None:
    """What each span led to names that span in the log, and its worker says so."""
    said = [r for r in await place.records() if r.correlation == story and r.cause]
    contexts = {traceparent_of(span.context): span for span in found if span.context}
    assert said
    for r in said:
        span = contexts[str(r.traceparent)]
        assert span.resource.attributes["service.name"] == r.actor


async def test_a_publishers_trace_goes_on(spans: InMemorySpanExporter) -> None:
    place = await site()
    async with running(traced(place, spans)):
        await place.log.append([request(spawn(0), id="mine", traceparent=UPSTREAM)])
        await place.until(InstanceActive, 1)
    found = told(spans, "mine")
    assert {span.context.trace_id for span in found if span.context} == {TRACE_ID}
    (root,) = [span for span in found if span.name == "nova instance.spawn_requested"]
    assert root.parent is not None
    assert f"{root.parent.span_id:016x}" == UPSTREAM.split("-")[2]


async def test_workers_that_do_not_trace_carry_the_context_on() -> None:
    place = await site()
    async with running(place.runner()):
        await place.log.append([request(spawn(0), id="mine", traceparent=UPSTREAM)])
        await place.until(InstanceActive, 1)
    said = [r for r in await place.records() if r.correlation == "mine"]
    assert {r.traceparent for r in said} == {UPSTREAM}


async def test_a_story_that_is_not_sampled_has_no_spans_and_its_context_goes_on(spans: InMemorySpanExporter) -> None:
    left_out = UPSTREAM.removesuffix("01") + "00"
    place = await site()
    async with running(traced(place, spans)):
        await place.log.append([request(spawn(0), id="mine", traceparent=left_out)])
        await place.until(InstanceActive, 1)
    assert told(spans, "mine") == []
    said = [r for r in await place.records() if r.correlation == "mine"]
    assert {r.traceparent for r in said} == {left_out}


async def test_a_sampler_leaves_out_whole_stories(spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    place = await site()
    async with running(traced(place, spans)):
        await place.ask([spawn(0)])
        await place.until(InstanceActive, 1)
    assert spans.get_finished_spans() == ()
    contexts = {r.traceparent for r in await place.records() if r.cause} - {msgspec.UNSET}
    assert contexts
    assert all(str(context).endswith("-00") for context in contexts)


async def test_nothing_is_told_of_traces_when_nobody_traces() -> None:
    place = await site()
    async with running(place.runner()):
        await place.ask([spawn(0)])
        await place.until(InstanceActive, 1)
    assert {r.traceparent for r in await place.records()} == {msgspec.UNSET}


async def test_what_one_story_does_for_another_is_told_there_with_a_link(spans: InMemorySpanExporter) -> None:
    """The second spawn waits for the leaf interfaces that the first has asked for."""
    place = await site()
    async with running(traced(place, spans)):
        first = await place.log.last_position() + 1
        await place.ask([spawn(0, "h0"), spawn(1, "h0")])
        await place.until(InstanceActive, 2)
    for story in (f"q{first}", f"q{first + 1}"):
        found = told(spans, story)
        assert len({span.context.trace_id for span in found if span.context}) == 1
        assert {span.resource.attributes["service.name"] for span in found} == {role.worker.name for role in ROLES}
    linked = [span for span in told(spans, f"q{first + 1}") if span.links]
    others = {span_id(span) for span in told(spans, f"q{first}")}
    assert linked
    assert {link.context.span_id for span in linked for link in span.links} <= others


async def test_an_effect_that_failed_is_an_error_of_its_span(spans: InMemorySpanExporter) -> None:
    def refuse(effect: AnyEffect, tries: int) -> str:
        return "no power" if isinstance(effect, PlugVnic) else ""

    place = await site(refuse)
    async with running(traced(place, spans)):
        first = await place.log.last_position() + 1
        await place.ask([spawn(0)])
        await place.until(InstanceFailed, 1)
    (plug,) = [span for span in told(spans, f"q{first}") if span.name == "compute PlugVnic"]
    assert (plug.status.status_code, plug.status.description) == (StatusCode.ERROR, "no power")


async def test_what_is_no_context_is_none(spans: InMemorySpanExporter) -> None:
    place = await site()
    async with running(traced(place, spans)):
        await place.log.append([request(spawn(0), id="mine", traceparent="nonsense")])
        await place.until(InstanceActive, 1)
    found = told(spans, "mine")
    assert [span.name for span in found if span.parent is None] == ["nova instance.spawn_requested"]
