"""driftline's streams on the server: what they must be like, made if absent."""

from collections.abc import Awaitable, Callable
from typing import Any

from bus.errors import LogMismatch, LogUnavailable
from bus.subjects import ALL

LOG = "DRIFTLINE"
QUARANTINE = "DRIFTLINE_QUARANTINE"
CHECKPOINTS = "DRIFTLINE_CHECKPOINTS"
QUARANTINE_PREFIX = "quarantine"
CHECKPOINT_PREFIX = "checkpoint"
BEATS = "DRIFTLINE_BEATS"
BEAT_PREFIX = "beat"
#: A host that was not heard for so long is silent, whatever it said then, nanoseconds.
BEAT_AGE_NS = 600 * 10**9
#: Within this time a message id is recognised by the server, nanoseconds.
DUPLICATE_WINDOW_NS = 120 * 10**9

#: The oldest server that will do: those before it take no message ids in atomic batches (nats-server #7391).
SERVER_OLDEST = (2, 12, 1)

STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058

Api = Callable[[str, dict[str, object] | None], Awaitable[Any]]

_EVERY: dict[str, object] = {
    "storage": "file",
    "retention": "limits",
    "discard": "old",
    "max_age": 0,
    "max_msgs": -1,
    "max_bytes": -1,
    "allow_direct": True,
}
_APPEND_ONLY: dict[str, object] = {
    **_EVERY,
    "max_msgs_per_subject": -1,
    "deny_delete": True,
    "deny_purge": True,
    "duplicate_window": DUPLICATE_WINDOW_NS,
}
STREAMS: tuple[dict[str, object], ...] = (
    {"name": LOG, "subjects": [ALL], "allow_atomic": True, **_APPEND_ONLY},
    {"name": QUARANTINE, "subjects": [f"{QUARANTINE_PREFIX}.>"], **_APPEND_ONLY},
    {"name": CHECKPOINTS, "subjects": [f"{CHECKPOINT_PREFIX}.>"], "max_msgs_per_subject": 1, **_EVERY},
    {
        **_EVERY,
        "name": BEATS,
        "subjects": [f"{BEAT_PREFIX}.>"],
        "max_msgs_per_subject": 1,
        "max_age": BEAT_AGE_NS,
    },
)


def check_server(version: tuple[int, int, int]) -> None:
    """Raise LogMismatch if a server of ``version`` cannot keep the log; (0, 0, 0): one that does not say."""
    if (0, 0, 0) < version < SERVER_OLDEST:
        found, oldest = (".".join(map(str, one)) for one in (version, SERVER_OLDEST))
        raise LogMismatch(f"nats-server {found} is too old, driftline needs {oldest} or newer")


async def ensure_stream(api: Api, wanted: dict[str, object], replicas: int) -> None:
    """Make the stream unless it is there.

    Raises:
        LogMismatch: it is there with another configuration, or another stream has its subjects.
        LogUnavailable: the server cannot make it.
    """
    name = wanted["name"]
    answer = await api(f"STREAM.INFO.{name}", None)
    if _err_code(answer) == STREAM_NOT_FOUND:
        answer = await api(f"STREAM.CREATE.{name}", {**wanted, "num_replicas": replicas})
        if _err_code(answer) == STREAM_NAME_IN_USE:  # somebody was quicker, perhaps with other settings
            answer = await api(f"STREAM.INFO.{name}", None)
    error = answer.get("error")
    if error is not None:
        fault = LogMismatch if error["code"] == 400 else LogUnavailable
        raise fault(f"stream {name}: {error['description']} (error {error.get('err_code')})")
    for field, value in wanted.items():
        # The server leaves fields at their zero value out.
        if answer["config"].get(field, type(value)()) != value:
            raise LogMismatch(f"stream {name}: {field} is {answer['config'].get(field)!r}, driftline needs {value!r}")


def _err_code(answer: Any) -> int:
    return int(answer.get("error", {}).get("err_code", 0))
