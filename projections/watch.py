"""What is told of what a projector does, for metrics. ``ProjectionWatch`` itself does not listen."""

from collections.abc import Set
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from bus.log import Batch
from projections.fold import Touched
from projections.views import Views


class Projecting(Protocol):
    """A projector, as far as it can be looked at from outside."""

    @property
    def position(self) -> int:
        """The last position whose rows are committed."""
        ...

    @property
    def views(self) -> Views:
        """What is folded; others after it has folded anew."""
        ...

    @property
    def is_away(self) -> bool:
        """Whether PostgreSQL or the log was away when it was last asked."""
        ...


class ProjectionWatch:
    """Whoever listens overrides what it wants to hear; it may change nothing."""

    def began(self, projector: Projecting) -> None:
        """``projector`` has folded the past, or has folded it anew."""

    def folded(self, batch: Batch) -> None:
        """``batch`` is in the views."""

    def cut(self, touched: Set[Touched]) -> None:
        """These rows are about to be written."""

    def committing(self) -> AbstractContextManager[None]:
        """What lasts as long as one transaction, with all its tries."""
        return nullcontext()


#: The one that does not listen.
UNWATCHED = ProjectionWatch()
