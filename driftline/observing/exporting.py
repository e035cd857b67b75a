"""Sends traces where they are to go: to a collector that speaks OTLP, to the standard error, or to a file of lines.

Loaded only where somebody traces.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult

from driftline.errors import UsageError
from driftline.observing.settings import FILE, TraceTarget
from driftline.observing.tracing import Tracing

#: How many spans wait at most to be sent; those above it are lost, and told to be.
QUEUE_MAX = 50_000
#: How long a collector has for one batch, with all tries, seconds.
EXPORT_S = 5.0


class _Hasty(SpanExporter):
    """``exporter``, until the process ends: then whoever does not take a batch is not asked to take the next ones."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.ending = False
        self._gave_up = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._gave_up:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        self._gave_up = self.ending and result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


@contextmanager
def tracing_to(target: TraceTarget) -> Iterator[Tracing]:
    """Traces that go to ``target``; at the end what has not been sent is sent. Raises UsageError for a bad file."""
    with _exporter(target) as exporter:
        hasty = _Hasty(exporter)
        processor = BatchSpanProcessor(hasty, max_queue_size=QUEUE_MAX)
        try:
            yield Tracing(processor)
        finally:
            hasty.ending = True
            processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it so


@contextmanager
def _exporter(target: TraceTarget) -> Iterator[SpanExporter]:
    match target.kind:
        case "otlp":
            yield OTLPSpanExporter(endpoint=target.place, timeout=EXPORT_S)
        case "console":
            yield ConsoleSpanExporter(out=sys.stderr, formatter=_line)
        case "file":
            with _opened(target.place) as file:
                yield ConsoleSpanExporter(out=file, formatter=_line)


def _opened(path: str) -> TextIO:
    try:
        return Path(path).open("a", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--traces {FILE}{path}: {error.strerror}") from error


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"
