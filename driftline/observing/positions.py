"""Up to where each worker has read, wherever it runs: asked of the processes, again and again."""

from bus.jetstream import Connection
from driftline.observing.look import ProcessLook
from driftline.observing.process import look_at_all


class Positions:
    """Asks over ``connection``; remembers where those were that do not answer any more."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, int] = {}

    async def lags(self, last: int) -> dict[str, int]:
        """How many events each worker is behind a log that ends at ``last``, or later, by name. Raises LogUnavailable.

        Position ``last`` is what the caller has seen itself; a process that has seen more is behind that.
        """
        return self.taken((await look_at_all(self._connection)).looks, last)

    def taken(self, looks: list[ProcessLook], last: int) -> dict[str, int]:
        """The same, of what processes have said.

        Of one that runs in several processes the slowest counts. One that does not answer is where it was when it did.
        """
        end = max([last, *(look.log_last for look in looks if look.log_last is not None)])
        behind: dict[str, int] = {}
        positions: dict[str, int] = {}
        for look in looks:
            for one in look.workers:
                lag = look.lag(one.position)  # None for a process that NATS did not answer
                known = max(end - one.position, 0) if lag is None else lag
                behind[one.worker] = max(known, behind.get(one.worker, 0))
                positions[one.worker] = min(one.position, positions.get(one.worker, one.position))
        self._known |= positions
        silent = {name: max(end - position, 0) for name, position in self._known.items() if name not in behind}
        return behind | silent
