"""What the server knows about the log as a whole: where it ends, what is gone from it, who has read how far."""

from typing import Any

import msgspec

from bus.errors import LogMismatch
from bus.jetstream.connection import Connection
from bus.jetstream.streams import CHECKPOINTS, LOG
from bus.log import StreamState


class _Checkpoint(msgspec.Struct):
    name: str
    position: int


async def stream_state(connection: Connection) -> StreamState:
    """The state of the log's stream. Raises LogUnavailable, and LogMismatch if there is none."""
    info = _checked(await connection.api(f"STREAM.INFO.{LOG}", {"deleted_details": True}))
    state, config = info["state"], info["config"]
    limits = {name: int(config.get(name) or 0) for name in ("max_age", "max_msgs", "max_bytes")}
    return StreamState(
        identity=f"{LOG} {info['created']}",
        first=int(state["first_seq"]),
        last=int(state["last_seq"]),
        deleted=frozenset(state.get("deleted") or ()),
        lost=frozenset((state.get("lost") or {}).get("msgs") or ()),
        expires=any(limit > 0 for limit in limits.values()),
    )


async def checkpoints(connection: Connection) -> dict[str, int]:
    """How far each worker says to be done, by the name of its checkpoint. Raises as ``stream_state`` does."""
    info = _checked(await connection.api(f"STREAM.INFO.{CHECKPOINTS}", {"subjects_filter": ">"}))
    found: dict[str, int] = {}
    for subject in info["state"].get("subjects") or ():
        message = await connection.ask(f"$JS.API.DIRECT.GET.{CHECKPOINTS}", {"last_by_subj": subject})
        one = msgspec.json.decode(message.data, type=_Checkpoint)
        found[one.name] = one.position
    return found


def _checked(info: Any) -> Any:
    if "error" in info:
        raise LogMismatch(f"{info['error']['description']}")
    return info
