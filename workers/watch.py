"""What is told of what workers do, for metrics and traces. ``Watch`` itself does not listen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from bus.envelope import Envelope
from workers.effects import Result
from workers.machine import Machine, Output, Planned

#: What a machine made of one event: None where there was nothing to decide.
Step = tuple[Machine, Output | None]


class Running(Protocol):
    """A runner, as far as it can be looked at from outside."""

    @property
    def position(self) -> int:
        """Up to where it has taken in the log."""
        ...

    @property
    def machines(self) -> Sequence[Machine]:
        """Its workers; others after it has folded anew."""
        ...

    def effects_under_way(self) -> Mapping[str, int]:
        """How many effects are being performed or wait for their slot, by worker."""
        ...


class Watch:
    """Whoever listens overrides what it wants to hear. It may change nothing but the trace that a thing is told in."""

    def began(self, runner: Running) -> None:
        """``runner`` begins, or begins anew: what was not appended yet is forgotten, and decided again."""

    def steps(self, steps: Iterator[Step]) -> Iterator[Step]:
        """The steps of one batch. Each is done when it is asked for."""
        return steps

    def decided(self, machine: Machine, output: Output) -> Output:
        """``machine`` has decided something, which is about to be appended and performed."""
        return output

    def settled(
        self, machine: Machine, planned: Planned, result: Result, envelopes: list[Envelope], now_us: int
    ) -> list[Envelope]:
        """An effect has its outcome, which is about to be appended."""
        return envelopes

    def retrying(self, failed: Iterable[tuple[Machine, Planned]]) -> None:
        """These effects have failed, and are about to be tried again."""


#: The one that does not listen.
UNWATCHED = Watch()
