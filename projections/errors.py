"""What can go wrong while projecting, split by who is at fault."""


class ProjectionError(Exception):
    """Base of all errors of the projections."""


class DatabaseUnavailable(ProjectionError):
    """PostgreSQL cannot be reached or cannot answer now. What was being written may or may not have been committed."""


class SchemaMismatch(ProjectionError):
    """The database holds tables of another version of the projections: they are to be rebuilt from the log."""


class NotProjected(SchemaMismatch):
    """The database holds no projections yet: no projector has run on it."""


class CheckpointMoved(ProjectionError):
    """Somebody else has written the checkpoint: another projector works on the same database."""


class CommitsLost(ProjectionError):
    """PostgreSQL shows an earlier position than it has confirmed: a crash took commits with it.

    That is what ``synchronous_commit = off`` allows, and a failover to a replica. The tables are whole, only older.
    """


class NotSwapped(ProjectionError):
    """The generations cannot change places now; the live one is as it was."""


class ShadowDiffers(ProjectionError):
    """What was built beside the live tables is not what the log says. It is never swapped in."""


class RebuildBusy(ProjectionError):
    """Somebody else is building a generation on this database."""


class NoGeneration(ProjectionError):
    """There is no generation of this name or state."""


class ProjectorStopped(ProjectionError):
    """The projector has stopped before it reached the position that was waited for."""


class FoldError(ProjectionError):
    """A fold raised. Folds are total by contract, so this is a bug in the fold and never the event's fault."""

    def __init__(self, position: int, id: str) -> None:
        super().__init__(f"the fold of event {id} at position {position} failed")
        self.position = position
        self.id = id
