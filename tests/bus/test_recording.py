"""A recording holds the log as it was, whatever was in it."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.decoding import Raw
from bus.envelope import encode
from bus.recording import Header, ReadOnly, RecordingBroken, open_recording, write_recording
from bus.subjects import subject_of
from tests.bus.given import gather, plugged

RAWS = st.lists(
    st.tuples(
        st.integers(1, 40), st.text(max_size=5), st.binary(max_size=30) | st.just(b'{"id": "x"}'), st.integers(0, 99)
    )
).map(lambda many: [Raw(*one) for one in sorted({one[0]: one for one in many}.values())])


def header(last: int = 50) -> Header:
    return Header(identity="a log", recorded_us=1, log_last=last)


@given(raws=RAWS, name=st.sampled_from(["log.jsonl", "log.jsonl.gz"]))
def test_what_was_recorded_is_read(raws: list[Raw], name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("recording") / name
    write_recording(path, header(), raws)
    log = open_recording(path)
    assert log._messages == raws
    assert (log.header.identity, log.header.messages) == ("a log", len(raws))
    assert list(path.parent.iterdir()) == [path]


async def test_it_is_a_log_with_its_holes_that_takes_nothing(tmp_path: Path) -> None:
    raws = [Raw(p, subject_of(plugged(p).event), encode(plugged(p)), p * 10) for p in (3, 7, 8)]
    write_recording(tmp_path / "a", header(last=9), raws)
    log = open_recording(tmp_path / "a")
    assert await log.last_position() == 9
    assert [r.position for r in await gather(log.read(0, 99))] == [3, 7, 8]
    assert [r.position for r in await gather(log.read(3, 7))] == [7]
    assert [(r.time_us, r.stored_us) for r in await gather(log.read(7, 8))] == [(7, 80)]
    with pytest.raises(ReadOnly):
        await log.append([plugged(1)])
    with pytest.raises(ReadOnly):
        await log.append_raw("dl.x", b"")


async def test_other_content_is_another_log(tmp_path: Path) -> None:
    for name, positions in (("a", (1, 2)), ("b", (1,)), ("c", (1, 2))):
        write_recording(tmp_path / name, header(), [Raw(p, "s", b"{}", 0) for p in positions])
    one, other, same = [await open_recording(tmp_path / name).identity() for name in "abc"]
    assert one == same != other


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_recording(path, header(), [])
    with pytest.raises(FileExistsError, match="it exists already"):
        write_recording(path, header(), [Raw(1, "s", b"{}", 0)])
    assert open_recording(path).header.messages == 0
    write_recording(path, header(), [Raw(1, "s", b"{}", 0)], force=True)
    assert open_recording(path).header.messages == 1
    with pytest.raises(FileExistsError, match="it is no file"):
        write_recording(tmp_path, header(), [], force=True)


def test_who_comes_while_we_write_is_not_overwritten(tmp_path: Path) -> None:
    class Slow(list[Raw]):
        def __iter__(self) -> Iterator[Raw]:
            (tmp_path / "a").write_text("another's")
            return super().__iter__()

    with pytest.raises(FileExistsError):
        write_recording(tmp_path / "a", header(), Slow())
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a", "another's")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "line 1: Input data was truncated"),
        (b"pod,host\n", "line 1: JSON is malformed"),
        (b'{"driftline_log": 9, "identity": "", "recorded_us": 0, "log_last": 0}\n', "format 9 is newer"),
        (b'{"identity": "", "recorded_us": 0, "log_last": 0, "messages": 1}\n', "cut off"),
        (
            b'{"identity": "", "recorded_us": 0, "log_last": 0}\n' + 2 * b'{"position": 2, "subject": "a"}\n',
            "line 3: position 2 comes after 2",
        ),
        (b'{"identity": "", "recorded_us": 0, "log_last": 0}\n{"position": "x"}\n', r"line 2: .*position"),
        (gzip.compress(b'{"identity": ""', mtime=0)[:-9], "cannot be read to its end"),
    ],
)
def test_what_is_no_recording_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(RecordingBroken, match=says) as refused:
        open_recording(path)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecordingBroken, match="No such file"):
        open_recording(tmp_path / "none")
