"""The books on this machine are listed with what they are of, and removed whole, but not under anybody's hands."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bus.memory import MemoryLog
from driftline.book import open_book
from driftline.book.shelf import alone, kept, known_last, path_of, remove
from driftline.cli.main import cli
from driftline.errors import NotDone, UsageError
from tests.story import Story


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRIFTLINE_CACHE", str(tmp_path / "a #1?"))  # what means something in a URI
    return tmp_path / "a #1?" / "books"


async def make_book(identity: str) -> int:
    story = Story().world().spawn("i1")
    log = MemoryLog(identity=identity)
    await story.append_to(log)
    (await open_book(log)).close()
    return story.position


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def books(*words: str) -> Any:
    return json.loads(CliRunner().invoke(cli, ["books", *words, "--json"], catch_exceptions=False).stdout)


async def test_they_are_listed_and_removed(folder: Path) -> None:
    assert books() == {"folder": str(folder), "books": []}
    position = await make_book("one")
    await make_book("other")
    write(Path(f"{path_of('one')}.views.123"), b"half of a state, by one who was killed")
    found = {one["log"]: one for one in books()["books"]}
    assert {name: one["position"] for name, one in found.items()} == {"one": position, "other": position}
    assert all(one["bytes"] > 10_000 and one["used_us"] > 1e15 for one in found.values())
    shown = CliRunner().invoke(cli, ["books"]).stdout
    assert found["one"]["book"] in shown
    assert books("remove", found["one"]["book"])["books"] == [found["one"]]
    assert (known_last("one"), known_last("other")) == (0, position)
    assert books("remove", "--all")["books"] == [found["other"]]
    assert files(folder) == []


async def test_what_was_used_last_comes_first() -> None:
    for identity in ("one", "other", "one"):
        await make_book(identity)
    assert [one.log for one in kept()] == ["one", "other"]


@pytest.mark.parametrize(
    ("words", "says"),
    [((), "BOOK or --all: give one of them"), (("x", "--all"), "give one of them"), (("x",), "BOOK x: there is none")],
)
def test_bad_input_is_refused(words: tuple[str, ...], says: str) -> None:
    answer = CliRunner().invoke(cli, ["books", "remove", *words])
    assert isinstance(answer.exception, UsageError)
    assert says in str(answer.exception)


async def test_a_book_that_is_open_stays(folder: Path) -> None:
    await make_book("one")
    log = MemoryLog(identity="one")
    await Story().world().spawn("i1").append_to(log)
    (name,) = [one.book for one in kept()]
    book = await open_book(log)
    with pytest.raises(NotDone, match="is open in another driftline"):
        remove(name)
    assert book.rows("hosts")
    book.close()
    remove(name)
    assert files(folder) == []


async def test_a_torn_book_can_be_removed(folder: Path) -> None:
    await make_book("one")
    write(path_of("one"), b"torn" * 5000)
    (one,) = kept()
    assert (one.log, one.position) == ("", 0)
    assert "(torn)" in CliRunner().invoke(cli, ["books"]).stdout
    remove(one.book)
    assert files(folder) == []


def test_who_waited_for_a_book_that_was_removed_meanwhile_waits_for_the_new_one(folder: Path) -> None:
    path = path_of("one")
    inside, seen = threading.Event(), list[bool]()

    def wait() -> None:
        with alone(path):
            seen.append(Path(f"{path}.lock").exists())
            inside.set()

    with alone(path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not inside.wait(0.2)
        Path(f"{path}.lock").unlink()
    waiting.join(10)
    assert seen == [True]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DRIFTLINE_CACHE", str(tmp_path / "file"))
    with pytest.raises(NotDone, match=r"the folder of books .*file/books: Not a directory; \$DRIFTLINE_CACHE"):
        path_of("one")
    assert kept() == []
