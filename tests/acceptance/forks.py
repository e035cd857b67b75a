"""Commands as processes that need not load the program each: forked off one that has loaded it, and does nothing else.

What a test starts is a process of its own all the same, with its own environment, folder, output and session, to be
looked at, signalled and killed like any other; but it begins where loading ends, which is most of what most commands
take. Run as a script, this is the process that is forked.
"""

import asyncio
import atexit
import gc
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TypedDict


class Order(TypedDict):
    """A command to be run: all paths absolute, ``environment`` the whole of it."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    stdout: str
    stderr: str


class Forked:
    """A command that was forked off, as far as ``asyncio.subprocess.Process`` is asked for it."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ending = asyncio.create_task(self._end(reader, writer))

    def send_signal(self, number: int) -> None:
        """Raises ProcessLookupError when it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError
        os.kill(self.pid, number)

    async def wait(self) -> int:
        """Its exit code, once it has ended; the negative number of the signal that ended it."""
        return await asyncio.shield(self._ending)

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        try:
            self.returncode = code = int(json.loads(await reader.readline()))
        finally:
            writer.close()
        return code


async def fork(order: Order) -> Forked:
    """Run a command."""
    reader, writer = await asyncio.open_unix_connection(_forker())
    writer.write(json.dumps(order).encode() + b"\n")
    pid = int(json.loads(await reader.readline()))
    return Forked(pid, reader, writer)


@cache
def _forker() -> str:
    """The socket of the process that is forked: one for this process, which it does not outlive."""
    path = f"{tempfile.mkdtemp(prefix='dl-forks-')}/socket"
    process = subprocess.Popen(
        [sys.executable, __file__, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    atexit.register(process.communicate)
    return path


# --- the process that is forked ---


def _load() -> None:
    commands = import_module("driftline.cli.main").COMMANDS
    lazy = ("bus.embedded", "bus.jetstream", "projections.postgres", "driftline.plane")
    for name in (*{f"driftline.cli.{module}" for module, _ in commands.values()}, *lazy):
        import_module(name)
    gc.collect()
    gc.freeze()


def _serve(path: str) -> None:
    """Fork for each order, until stdin ends: then this does not return. It returns in the children."""
    with selectors.DefaultSelector() as selector, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        selector.register(listening, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        os.write(1, b"ready\n")
        running: dict[int, tuple[int, socket.socket]] = {}
        while True:
            for key, _ in selector.select():
                if key.fd == 0:
                    shutil.rmtree(Path(path).parent)
                    os._exit(0)
                elif key.fd in running:
                    selector.unregister(key.fd)
                    _tell_end(key.fd, *running.pop(key.fd))
                else:
                    connection, _ = listening.accept()
                    order = _read_order(connection)
                    pid = os.fork()
                    if pid == 0:
                        _become(order, connection)
                        return
                    ended = os.pidfd_open(pid)
                    running[ended] = (pid, connection)
                    selector.register(ended, selectors.EVENT_READ)


def _read_order(connection: socket.socket) -> Order:
    with connection.makefile("rb") as lines:
        order: Order = json.loads(lines.readline())
    return order


def _tell_end(ended: int, pid: int, connection: socket.socket) -> None:
    os.close(ended)
    _, status = os.waitpid(pid, 0)
    with connection, suppress(BrokenPipeError, ConnectionResetError):  # who asked may be gone
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(order: Order, connection: socket.socket) -> None:
    """Make this process what a shell would have made of it."""
    os.setsid()
    for number, path, how in (
        (0, os.devnull, os.O_RDONLY),
        (1, order["stdout"], os.O_WRONLY | os.O_APPEND),
        (2, order["stderr"], os.O_WRONLY | os.O_APPEND),
    ):
        opened = os.open(path, how)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    tempfile.tempdir = None
    sys.argv = ["driftline", *order["arguments"]]
    connection.sendall(b"%d\n" % os.getpid())


def _main() -> None:
    sys.path.pop(0)  # where this file is
    _load()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _serve(sys.argv[1])
    import_module("driftline.cli.main").main()


if __name__ == "__main__":
    _main()
