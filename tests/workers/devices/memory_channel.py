"""A ``Channel`` within the process, which can be told to lose answers and minds the size of messages."""

from collections.abc import AsyncIterator

from bus.errors import NoReply, NoResponder
from workers.devices.simulated.wire import Handler

#: What a NATS server takes in one message by default, bytes.
MAX_PAYLOAD = 1024 * 1024


class MemoryChannel:
    """Serves as soon as it is told to.

    ``answers``: how many answers of each call arrive before it ends with ``lost`` (None: all). ``calls`` counts them.
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.answers: int | None = None
        self.lost: Exception = NoReply("no reply in time")
        self.calls = 0

    async def serve(self, subject: str, handler: Handler) -> None:
        self.handlers[subject] = handler

    async def call(self, subject: str, data: bytes, timeout_s: float) -> AsyncIterator[bytes]:
        self.calls += 1
        assert len(data) <= MAX_PAYLOAD
        if subject not in self.handlers:
            raise NoResponder(f"nobody serves {subject}")
        count = 0
        async for answer in self.handlers[subject](data):
            if count == self.answers:
                raise self.lost
            assert len(answer) <= MAX_PAYLOAD
            yield answer
            count += 1
