"""The bus as the channel over which a fabric in another process is reached."""

from collections.abc import AsyncIterator

from bus.errors import CallFailed, NoReply, NoResponder
from bus.jetstream import Connection, rpc
from workers.devices.simulated.wire import Handler


class BusChannel:
    """Implements ``workers.devices.simulated.wire.Channel``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def serve(self, subject: str, handler: Handler) -> None:
        await rpc.serve(self._connection, subject, handler)

    async def call(self, subject: str, data: bytes, timeout_s: float) -> AsyncIterator[bytes]:
        try:
            async for answer in rpc.call(self._connection, subject, data, timeout_s):
                yield answer
        except (NoResponder, CallFailed) as error:
            raise ConnectionError(str(error)) from error
        except NoReply as error:
            raise TimeoutError(str(error)) from error
