"""Checkpoints, beats and the quarantine, each in a stream of its own."""

import hashlib
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec
import structlog

from bus.envelope import Rejected
from bus.errors import LogMismatch, LogUnavailable
from bus.jetstream.acks import Acks
from bus.jetstream.connection import Connection
from bus.jetstream.streams import (
    BEAT_PREFIX,
    BEATS,
    CHECKPOINT_PREFIX,
    CHECKPOINTS,
    QUARANTINE,
    QUARANTINE_PREFIX,
)

NAME_MAX = 200
WRONG_LAST_SEQUENCE = (10071, 10164)


class _Checkpoint(msgspec.Struct):
    name: str
    position: int


class _Beat(msgspec.Struct):
    agent: str
    hosts: list[str]
    time_us: int


_REJECTED = msgspec.json.Decoder(Rejected)


#: How much of a rejected message is kept, bytes.
DATA_MAX = 64 * 1024

log = structlog.get_logger("bus")


class JetStreamCheckpoints:
    """Implements ``bus.log.Checkpoints``: the last message of a subject per name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._acks = Acks(connection)

    async def load(self, name: str) -> int:
        subject = _subject(CHECKPOINT_PREFIX, name)
        found = await self._connection.ask(f"$JS.API.DIRECT.GET.{CHECKPOINTS}", {"last_by_subj": subject})
        if (found.headers or {}).get("Status") == "404":
            return 0
        try:
            return msgspec.json.decode(found.data, type=_Checkpoint).position
        except msgspec.MsgspecError as error:  # not ours; a checkpoint that is too old costs time only
            log.warning("a checkpoint that is none", subject=subject, reason=str(error))
            return 0

    async def save(self, name: str, position: int) -> None:
        data = msgspec.json.encode(_Checkpoint(name, position))
        await _put(self._connection, self._acks, _subject(CHECKPOINT_PREFIX, name), data)


class JetStreamBeats:
    """Implements ``bus.log.Beats``: the last message of a subject per agent, forgotten after BEAT_AGE_NS."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._acks = Acks(connection)
        self._told: set[str] = set()  # the subjects of what could not be understood

    async def beat(self, agent: str, hosts: Iterable[str], time_us: int) -> None:
        data = msgspec.json.encode(_Beat(agent, list(hosts), time_us))
        await _put(self._connection, self._acks, _subject(BEAT_PREFIX, agent), data)

    async def heard(self) -> dict[str, int]:
        info = await self._connection.api(f"STREAM.INFO.{BEATS}", {"subjects_filter": f"{BEAT_PREFIX}.>"})
        if "error" in info:
            raise LogMismatch(f"stream {BEATS}: {info['error']['description']}")
        heard: dict[str, int] = {}
        for subject in info["state"].get("subjects") or ():
            found = await self._connection.ask(f"$JS.API.DIRECT.GET.{BEATS}", {"last_by_subj": subject})
            if not found.data:  # forgotten meanwhile
                continue
            beat = self._understood(subject, found.data)
            if beat is None:
                continue
            for host in beat.hosts:
                heard[host] = max(beat.time_us, heard.get(host, 0))
        return heard

    def _understood(self, subject: str, data: bytes) -> _Beat | None:
        """The beat in ``data``. What is none is told of once and holds up nobody: whoever may publish can say it."""
        try:
            return msgspec.json.decode(data, type=_Beat)
        except msgspec.MsgspecError as error:
            if subject not in self._told:
                self._told.add(subject)
                log.warning("a beat that is none", subject=subject, reason=str(error))
            return None


class JetStreamQuarantine:
    """Implements ``bus.log.Quarantine``: one message per rejected position.

    Of a large message the first DATA_MAX bytes are kept: all of it, in base64, would be larger than a message may be,
    and the log has it whole.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._acks = Acks(connection)

    async def put(self, rejected: Sequence[Rejected]) -> None:
        await self._connection.ready()
        await self._acks.open()
        async with self._acks.expect(len(rejected)) as replies:
            for one, (reply, _) in zip(rejected, replies, strict=True):
                headers = {"Nats-Msg-Id": str(one.position), "Nats-Expected-Last-Subject-Sequence": "0"}
                subject = f"{QUARANTINE_PREFIX}.{one.position}"
                kept = msgspec.structs.replace(one, data=one.data[:DATA_MAX])
                await self._connection.publish(subject, msgspec.json.encode(kept), reply, headers)
            acks = await self._acks.collect(replies)
        for one, ack in zip(rejected, acks, strict=True):
            if ack.error is not None and ack.error.err_code not in WRONG_LAST_SEQUENCE:
                raise LogUnavailable(f"quarantine of position {one.position}: {ack.error.description}")

    async def list(self) -> list[Rejected]:
        info = await self._connection.api(f"STREAM.INFO.{QUARANTINE}")
        if "error" in info:
            raise LogMismatch(f"stream {QUARANTINE}: {info['error']['description']}")
        kept: list[Rejected] = []
        for sequence in range(1, int(info["state"]["last_seq"]) + 1):
            found = await self._connection.ask(f"$JS.API.DIRECT.GET.{QUARANTINE}", {"seq": sequence})
            if found.data:
                try:
                    kept.append(_REJECTED.decode(found.data))
                except msgspec.MsgspecError as error:  # somebody else put it there
                    log.warning("no entry of the quarantine", sequence=sequence, reason=str(error))
        return sorted(kept, key=lambda one: one.position)


async def _put(connection: Connection, acks: Acks, subject: str, data: bytes) -> None:
    """Publish one message and wait until it is stored. Raises LogUnavailable."""
    await connection.ready()
    await acks.open()
    async with acks.expect(1) as replies:
        await connection.publish(subject, data, replies[0][0])
        (ack,) = await acks.collect(replies)
    if ack.error is not None:
        raise LogUnavailable(f"{subject}: {ack.error.description}")


def _subject(prefix: str, name: str) -> str:
    token = quote(name, safe="").replace(".", "%2E")
    if len(token) > NAME_MAX:  # many hosts in one name
        token = hashlib.sha256(name.encode()).hexdigest()
    return f"{prefix}.{token}"
