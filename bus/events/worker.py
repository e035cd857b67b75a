"""What workers say about themselves. Nobody decides on it: it is there so that a replay can be exact."""

from typing import Annotated

import msgspec

from bus.events.base import Event
from bus.events.identifiers import Token


class WorkerStarted(Event, tag="worker.started.v1", frozen=True, kw_only=True):
    """A worker began anew: it folded the log up to ``position``, and decides again on what lies above ``checkpoint``.

    ``hosts``: those it serves, none for all; ``subject``: the filter it reads the log with, empty for the whole log.
    What it says from then on follows from the log alone (``workers/replayed.py``).
    """

    worker: Token
    position: Annotated[int, msgspec.Meta(ge=0)]
    checkpoint: Annotated[int, msgspec.Meta(ge=0)]
    hosts: tuple[Token, ...] = ()
    subject: Annotated[str, msgspec.Meta(max_length=256)] = ""
