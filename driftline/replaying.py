"""Replaying a recording: into an empty log, or through another version of the code."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from bus.decoding import Raw
from bus.jetstream.restoring import restore
from bus.log import RawLog
from bus.recording import RecordedLog
from driftline.errors import UsageError
from driftline.reading import Reading
from driftline.stack import Options, open_bus
from projections.refold import Progress
from workers.worker import Worker


def workers_of(name: str, known: Mapping[str, Worker], patch: str | None) -> list[Worker]:
    """The workers to replay: ``name``, or ``all``; ``patch``: ``FILE.py:NAME`` takes the place of the one it replaces.

    Raises UsageError.
    """
    if name != "all" and name not in known:
        raise UsageError(f"--worker {name}: choose from {', '.join(known)}")
    if patch and not Path(patch).is_dir():
        return [_worker_in(patch)]
    return list(known.values()) if name == "all" else [known[name]]


def replayed_by(folder: Path, reading: Reading, worker: str, most: int, *, as_json: bool) -> int:
    """Run the same check with the program in ``folder``, another checkout; returns its exit code."""
    if not (folder / "driftline" / "cli").is_dir():
        raise UsageError(f"--patched {folder}: there is no driftline in it")
    options = reading.options
    paths = {"--log": reading.file, "--data": options.data}
    given = {option: str(path.absolute()) for option, path in paths.items() if path is not None}
    given |= {option: text for option, text in (("--nats", options.nats), ("--postgres", options.postgres)) if text}
    command = ["replay", "--check", "--worker", worker, "--most", str(most), *chain.from_iterable(given.items())]
    command += ["--json"] if as_json else []
    program = "from driftline.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(folder.absolute())}
    return subprocess.run(
        [sys.executable, "-c", program, *command], env=environment, cwd=folder, check=False
    ).returncode


def _worker_in(patch: str) -> Worker:
    path, _, name = patch.rpartition(":")
    if not path or not Path(path).is_file():
        raise UsageError(f"--patched {patch}: neither a folder nor FILE.py:NAME of a file that exists")
    spec = importlib.util.spec_from_file_location("patched_worker", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--patched {patch}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"--patched {patch}: {type(error).__name__}: {error}") from error
    worker = getattr(module, name, None)
    if not isinstance(worker, Worker):
        raise UsageError(f"--patched {patch}: {name} in {path} is no Worker")
    return worker


async def load(log: RecordedLog, options: Options, progress: Progress) -> int:
    """Write what was recorded into an empty log, each message at its position. Returns how many were written.

    If the log has the beginning of the recording, from a load that was interrupted, the rest is written. Raises
    UsageError when it has anything else, or when the recording is not of a whole log: ids name positions, and a stream
    of driftline's has no holes. LogUnavailable.
    """
    raws: list[Raw] = []
    async for batch in log.read_raw(0, await log.last_position()):
        raws += batch.raws
    if raws and raws[-1].position != len(raws):
        raise UsageError("the recording is a part of a log: a log has no holes, so read it with --log instead")
    async with open_bus(options) as bus:
        last = await bus.log.last_position()
        if last and (last >= len(raws) or not await _begins(bus.log, raws[:last])):
            raise UsageError(f"the log is not empty, it ends at position {last}: a recording goes into an empty one")
        return await restore(bus.connection, raws[last:], progress)


async def _begins(log: RawLog, raws: Sequence[Raw]) -> bool:
    """Whether ``log`` holds just these messages, whenever they were stored."""
    async for batch in log.read_raw(0, len(raws)):
        for raw in batch.raws:
            expected = raws[raw.position - 1]
            if (raw.subject, raw.data) != (expected.subject, expected.data):
                return False
    return True
