"""Traces of what workers do, in OpenTelemetry's terms: one story (one spawn) is one trace across all workers.

Each decision is a span, from when its cause was taken in until what was decided is on disk; each effect is one, from
the wish to its outcome. The context travels in the envelope (``traceparent``), and what a worker appends names the span
that it was decided in, so the next worker's span is that one's child.

A request that brings no context begins a trace, whose id is made of the story's correlation: whoever begins it, it is
the same. What is said in another story than its cause's goes into that story's trace, with a link to the cause.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bus.envelope import Envelope, Recorded
from bus.log import Appended, Batch, Log
from bus.subjects import name_of
from workers.effects import Result
from workers.machine import Machine, Output, Planned
from workers.watch import Running, Step, Watch

#: How many stories are remembered, for what is said in them because of another one.
STORIES_MAX = 50_000

_PROPAGATOR = TraceContextTextMapPropagator()


class _StoryIds(RandomIdGenerator):
    """Random ids for spans; that of a trace is made of the story that it tells."""

    story = ""

    def generate_trace_id(self) -> int:
        return int.from_bytes(hashlib.blake2b(self.story.encode(), digest_size=16).digest(), "big")

    def is_trace_id_random(self) -> bool:
        return False


class Tracing:
    """What the spans of this process go to. Each worker is a service of its own, wherever it runs.

    ``processor`` gets them all. Which stories are sampled is said by OTEL_TRACES_SAMPLER, all of them by default, when
    they begin: no sampler is asked again about one that was left out.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self._processor = processor
        self._ids = _StoryIds()
        self._tracers: dict[str, Tracer] = {}

    def start(
        self,
        worker: str,
        name: str,
        story: str,
        parent: str | UnsetType,
        *,
        kind: SpanKind,
        started_ns: int,
        links: Sequence[Link] = (),
    ) -> Span:
        """A span of ``worker``, a child of the context ``parent``, or where there is none the first of ``story``."""
        self._ids.story = story
        return self._tracer(worker).start_span(
            f"{worker} {name}",
            context_of(parent),
            kind,
            {"driftline.correlation": story},
            links,
            started_ns,
        )

    def workers(self, inner: Watch) -> "TracedWorkers":
        """What the workers of a runner are watched with, and what it works on; ``inner`` is told of all as well."""
        return TracedWorkers(self, inner)

    def _tracer(self, worker: str) -> Tracer:
        found = self._tracers.get(worker)
        if found is None:
            resource = Resource.create({"service.namespace": "driftline", "service.name": worker})
            provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
            provider.add_span_processor(self._processor)
            found = self._tracers[worker] = provider.get_tracer("driftline")
        return found


def context_of(traceparent: str | UnsetType) -> Context:
    """The context that ``traceparent`` says; an empty one if it says none, or is not as W3C has it."""
    if traceparent is UNSET:
        return Context()
    return _PROPAGATOR.extract({"traceparent": traceparent}, Context())


def traceparent_of(context: SpanContext) -> str:
    """``context`` as W3C Trace Context writes it."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def _linked(traceparent: str | UnsetType) -> list[Link]:
    context = get_current_span(context_of(traceparent)).get_span_context()
    return [Link(context)] if context.is_valid else []


def _left_out(traceparent: str | UnsetType) -> bool:
    """Whether a story is not sampled: it needs no spans, and its context goes on as it is."""
    return traceparent is not UNSET and traceparent.endswith("-00")


class _Open:
    """A span of a decision, and how many of its events are not on disk yet."""

    __slots__ = ("left", "span")

    def __init__(self, span: Span, left: int) -> None:
        self.span = span
        self.left = left


class TracedWorkers(Watch):
    """Watches the workers of one runner, and with ``log`` what they read and append. ``inner`` is told of all as well.

    Each process has one: it remembers which of its decisions are not on disk yet.
    """

    def __init__(self, tracing: Tracing, inner: Watch) -> None:
        self._tracing = tracing
        self._inner = inner
        self._taken: dict[int, Recorded] = {}
        self._taken_ns = 0
        self._stories: OrderedDict[str, str] = OrderedDict()
        self._open: dict[str, _Open] = {}

    def log(self, log: Log) -> Log:
        """``log``, for the runner that is watched."""
        return _TracedLog(log, self)

    def began(self, runner: Running) -> None:
        for one in self._open.values():
            one.span.set_status(Status(StatusCode.ERROR, "not appended: decided anew from the log"))
            one.span.end()
        self._open.clear()
        self._inner.began(runner)

    def steps(self, steps: Iterator[Step]) -> Iterator[Step]:
        return self._inner.steps(steps)

    def take(self, records: Iterable[Recorded]) -> None:
        """Remember what is about to be decided on, and the newest context of each story."""
        self._taken = {r.position: r for r in records}
        self._taken_ns = time.time_ns()
        for r in records:
            if r.traceparent is not UNSET:
                self._stories[r.correlation] = r.traceparent
                self._stories.move_to_end(r.correlation)
        while len(self._stories) > STORIES_MAX:
            self._stories.popitem(last=False)

    def decided(self, machine: Machine, output: Output) -> Output:
        output = self._inner.decided(machine, output)
        told_in = {one.traceparent for one in output.envelopes} | {one.traceparent for one in output.effects}
        if all(map(_left_out, told_in)):
            return output
        cause = self._taken.get(output.position)
        spans: dict[str, _Open] = {}
        envelopes = []
        for envelope in output.envelopes:
            one = self._span(spans, machine, cause, envelope.correlation, envelope.traceparent)
            one.left += 1
            self._open[envelope.id] = one
            envelopes.append(replace(envelope, traceparent=traceparent_of(one.span.get_span_context())))
        effects = []
        for planned in output.effects:
            one = self._span(spans, machine, cause, planned.correlation, planned.traceparent)
            effects.append(msgspec.structs.replace(planned, traceparent=traceparent_of(one.span.get_span_context())))
        for one in spans.values():
            if not one.left:
                one.span.end()
        return Output(envelopes, effects, output.position)

    def _span(
        self, spans: dict[str, _Open], machine: Machine, cause: Recorded | None, story: str, told_in: str | UnsetType
    ) -> _Open:
        """The span of this decision in ``story``, begun if it is the first that is said there."""
        if story in spans:
            return spans[story]
        parent, links = told_in, []
        if cause is not None and cause.correlation != story:
            parent = self._stories.get(story, UNSET)
            links = _linked(cause.traceparent)
        span = self._tracing.start(
            machine.worker.name,
            name_of(type(cause.event)) if cause is not None else "decide",
            story,
            parent,
            kind=SpanKind.CONSUMER,
            started_ns=self._taken_ns or time.time_ns(),
            links=links,
        )
        if cause is not None and span.is_recording():
            span.set_attributes({"driftline.position": cause.position, "driftline.cause": cause.id})
        one = spans[story] = _Open(span, 0)
        return one

    def on_disk(self, envelopes: Iterable[Envelope]) -> None:
        """These have been appended."""
        for envelope in envelopes:
            one = self._open.pop(envelope.id, None)
            if one is not None:
                one.left -= 1
                if not one.left:
                    one.span.end()

    def settled(
        self, machine: Machine, planned: Planned, result: Result, envelopes: list[Envelope], now_us: int
    ) -> list[Envelope]:
        envelopes = self._inner.settled(machine, planned, result, envelopes, now_us)
        if _left_out(planned.traceparent):
            return envelopes
        span = self._tracing.start(
            machine.worker.name,
            type(planned.effect).__name__,
            planned.correlation,
            planned.traceparent,
            kind=SpanKind.CLIENT,
            started_ns=result.started_us * 1000,
        )
        if span.is_recording():
            span.set_attributes({"driftline.position": planned.position, "driftline.device": planned.effect.device})
        if result.error:
            span.set_status(Status(StatusCode.ERROR, result.error))
        span.end(now_us * 1000)
        told_in = traceparent_of(span.get_span_context())
        return [replace(envelope, traceparent=told_in) for envelope in envelopes]

    def retrying(self, failed: Iterable[tuple[Machine, Planned]]) -> None:
        self._inner.retrying(failed)


class _TracedLog:
    """Implements ``bus.log.Log`` over another one, for one runner."""

    def __init__(self, log: Log, workers: TracedWorkers) -> None:
        self._log = log
        self._workers = workers

    async def append(self, envelopes: Sequence[Envelope]) -> list[Appended]:
        appended = await self._log.append(envelopes)
        self._workers.on_disk(envelopes)
        return appended

    async def last_position(self) -> int:
        return await self._log.last_position()

    async def identity(self) -> str:
        return await self._log.identity()

    def read(self, after: int, until: int, subject: str = "") -> AsyncIterator[Batch]:
        return self._log.read(after, until, subject)

    async def follow(self, after: int, subject: str = "") -> AsyncGenerator[Batch, None]:
        async for batch in self._log.follow(after, subject):
            self._workers.take(batch.records)
            yield batch
