"""What commands share: server options, output for people and for programs, and the event loop."""

import functools
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import structlog
import uvloop
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from driftline.errors import UsageError
from driftline.reading import Reading
from driftline.stack import Options

F = TypeVar("F", bound=Callable[..., Any])
PIPE_WIDTH = 180
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def server_options(default_level: str = "warning") -> Callable[[F], F]:
    """Options of every command that needs servers; they arrive as ``options: Options`` and ``as_json: bool``."""

    def decorate(command: F) -> F:
        @click.option("--nats", envvar="DRIFTLINE_NATS", default="", metavar="URL", help="A NATS server that runs.")
        @click.option(
            "--postgres", envvar="DRIFTLINE_POSTGRES", default="", metavar="DSN", help="A PostgreSQL that runs."
        )
        @click.option(
            "--data",
            envvar="DRIFTLINE_DATA",
            type=click.Path(path_type=Path, file_okay=False),
            help="Keep embedded servers' data in this folder, and reuse it. Default: a temporary one.",
        )
        @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr.")
        @click.option("--log-level", type=click.Choice(list(LEVELS)), default=default_level, show_default=True)
        @functools.wraps(command)
        def with_options(*, nats: str, postgres: str, data: Path | None, log_level: str, **rest: Any) -> Any:
            configure_logging(log_level)
            return command(options=Options(nats=nats, postgres=postgres, data=data), **rest)

        return with_options  # type: ignore[return-value]  # click replaces the signature

    return decorate


def reading_options(command: F) -> F:
    """``--as-of`` and ``--log`` beside ``server_options``; arrive as ``reading: Reading`` and ``as_json: bool``."""

    @click.option("--as-of", default="", metavar="SEQ|TIME", help="As it was then: a position, ISO 8601, or 10m ago.")
    @click.option(
        "--log",
        "log_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Read this recording, not a live log.",
    )
    @server_options()
    @functools.wraps(command)
    def with_reading(*, options: Options, as_of: str, log_file: Path | None, **rest: Any) -> Any:
        if log_file is not None and (options.nats or options.postgres or options.data):
            raise UsageError(
                f"--log {log_file}: a recording needs no servers; give neither --nats, --postgres nor --data"
            )
        with late_progress("indexing the log") as progress:
            return command(reading=Reading(options=options, as_of=as_of, file=log_file, progress=progress), **rest)

    return with_reading  # type: ignore[return-value]  # click replaces the signature


#: Of every command that writes a recording.
force_option = click.option("--force", is_flag=True, help="Replace the file of the recording if there is one.")


def device_options(command: F) -> F:
    """``server_options`` of what asks the devices: they keep no past, so ``--as-of`` and ``--log`` are refused."""

    @click.option("--as-of", default="", hidden=True)
    @click.option("--log", "log_file", default="", hidden=True)
    @server_options()
    @functools.wraps(command)
    def with_devices(*, as_of: str, log_file: str, **rest: Any) -> Any:
        for option, value in (("--as-of", as_of), ("--log", log_file)):
            if value:
                raise UsageError(
                    f"{option} {value}: this asks the devices, and they keep no past; `driftline ports --as-of`, "
                    "and `driftline history` of a host or leaf, say what was so"
                )
        return command(**rest)

    return with_devices  # type: ignore[return-value]  # click replaces the signature


def _tell_retry(details: RetryDetails) -> None:
    """One short line: what is tried again may be hundreds of events."""
    structlog.get_logger("retry").warning(
        "trying again",
        what=details.name,
        reason=str(details.caused_by),
        tries=details.retry_num,
        in_s=round(details.wait_for, 2),
    )


def configure_logging(level: str) -> None:
    """Structured logs on stderr: coloured lines for a terminal, JSON lines otherwise."""
    terminal = sys.stderr.isatty()
    set_on_retry_hooks([_tell_retry])
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=LEVELS[level], stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's work on uvloop."""
    uvloop.run(work)


def people() -> Console:
    """Where tables go."""
    # A pipe has no width; wrapped tables are no use to grep.
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def progress_console() -> Console:
    """Where progress goes, so that stdout stays clean."""
    return Console(stderr=True, highlight=False)


@contextmanager
def late_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """What is told how far something is, (done, of how many), and shows a bar from the first time on."""
    with ExitStack() as exits:
        console = progress_console()
        bars = Progress(console=console, transient=True, disable=not console.is_terminal)
        tasks: list[TaskID] = []

        def progress(done: int, until: int) -> None:
            if not tasks:
                exits.enter_context(bars)
                tasks.append(bars.add_task(what))
            bars.update(tasks[0], completed=done, total=until)

        yield progress


def print_json(document: object) -> None:
    """The one JSON document of a ``--json`` command."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def printable(value: object) -> Text:
    """``value`` as plain text: what a publisher wrote is neither markup nor control codes for the terminal."""
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value)))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people; numbers to the right."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    people().print(table)
