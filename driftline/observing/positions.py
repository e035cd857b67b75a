"""Up to where each worker has read, wherever it runs: asked of the processes, again and again."""

from bus.jetstream import Connection
from driftline.observing.look import ProcessLook
from driftline.observing.process import look_at_all


class Positions:
    """Asks over ``connection``; remembers where those were that do not answer any more."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, int] = {}

    async def lags(self) -> dict[str, int]:
        """How many events each worker is behind the log now, by name. Raises LogUnavailable."""
        return self.taken((await look_at_all(self._connection)).looks)

    def taken(self, looks: list[ProcessLook]) -> dict[str, int]:
        """The same, of what processes have said.

        Of one that runs in several processes the last counts. One that does not answer is where it was when it did.
        """
        last = max((look.log_last or 0 for look in looks), default=0)
        behind: dict[str, int] = {}
        for look in looks:
            for one in look.workers:
                behind[one.worker] = max(look.lag(one.position) or 0, behind.get(one.worker, 0))
                self._known[one.worker] = one.position
        silent = {name: max(last - position, 0) for name, position in self._known.items() if name not in behind}
        return behind | silent
