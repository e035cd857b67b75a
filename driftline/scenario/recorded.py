"""The log of a scenario that was played, as a recording that all questions can be asked of."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bus.decoding import Raw
from bus.envelope import Envelope, Recorded, encode
from bus.recording import Header, write_recording
from bus.subjects import subject_of


def record(path: Path, title: str, records: Sequence[Recorded]) -> None:
    """Write the log to ``path``; its times are the scenario's own. Raises OSError."""
    raws = list(_raws(records))
    header = Header(identity=f"scenario {title}", recorded_us=raws[-1].stored_us, log_last=raws[-1].position)
    write_recording(path, header, raws)


def _raws(records: Sequence[Recorded]) -> Iterator[Raw]:
    stored_us = 0
    for r in records:
        stored_us = max(stored_us, r.stored_us or r.time_us)  # a log's own time never goes back
        envelope = Envelope(
            id=r.id,
            event=r.event,  # type: ignore[arg-type]  # it came from a log
            cause=r.cause,
            correlation=r.correlation,
            actor=r.actor,
            time_us=r.time_us,
        )
        yield Raw(r.position, subject_of(r.event), encode(envelope), stored_us)
