"""Taking the protocol's bytes apart, with a short way for subscriptions that only want bytes.

nats-py makes four objects and two tasks' turns of each message: three quarters of what reading a log cost. Here a
message for a ``Take`` is found, cut out and handed over at once; everything else goes the way that nats-py gave it.

The protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol (MSG and HMSG; all else is one line).
"""

from collections.abc import Callable
from typing import Any

from nats.errors import ProtocolError
from nats.protocol.parser import MAX_CONTROL_LINE_SIZE, Parser

#: Takes one message: subject, reply, headers and payload, in the order in which they came. Must not wait.
Take = Callable[[bytes, bytes, bytes, bytes], None]

_CRLF = b"\r\n"


class QuickParser(Parser):
    """nats-py's parser. ``takers``: who takes the messages of a subscription whole, by its id."""

    def __init__(self, client: Any) -> None:
        self.takers: dict[bytes, Take] = {}
        super().__init__(client)

    def reset(self) -> None:
        super().reset()
        self._rest = b""

    async def parse(self, data: bytes = b"") -> None:
        """Take in what the server has sent. Raises ProtocolError."""
        data = self._rest + data if self._rest else data
        self._rest = b""
        at = 0
        while (end := data.find(_CRLF, at)) >= 0:
            if not data.startswith((b"MSG", b"HMSG"), at):
                await super().parse(data[at : end + 2])
                at = end + 2
                continue
            parts = data[at:end].split()
            start = end + 2
            body, stop = _extent(parts, start)
            if stop + 2 > len(data):
                break
            reply = parts[3] if len(parts) == (6 if parts[0] == b"HMSG" else 5) else b""
            headers, payload = data[start:body], data[body:stop]
            at = stop + 2
            take = self.takers.get(parts[2])
            if take is not None:
                take(parts[1], reply, headers, payload)
            else:
                await self.nc._process_msg(int(parts[2]), parts[1], reply, payload, headers or None)
        self._rest = data[at:]
        if len(self._rest) > MAX_CONTROL_LINE_SIZE and _CRLF not in self._rest:
            raise ProtocolError("nats: a control line that does not end")


def _extent(parts: list[bytes], start: int) -> tuple[int, int]:
    """Where the payload of a message begins and ends, if its headers begin at ``start``."""
    try:
        total = int(parts[-1])
        return start + (int(parts[-2]) if parts[0] == b"HMSG" else 0), start + total
    except (ValueError, IndexError):
        raise ProtocolError("nats: malformed MSG") from None
