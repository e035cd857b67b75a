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

from driftline.errors import UsageError
from driftline.reading import Reading
from driftline.stack import Options
from workers.devices.aws.settings import AwsSettings
from workers.devices.simulated.faults import FaultPlan, parse_faults
from workers.devices.simulated.mobility import DuplicateRule, parse_rule

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


def faults_option(command: F) -> F:
    """``--faults``; arrives as ``faults: FaultPlan``."""

    def parse(context: click.Context, parameter: click.Parameter, text: str) -> FaultPlan:
        try:
            return parse_faults(text)
        except ValueError as error:
            raise UsageError(f"--faults: {str(error).removeprefix('faults: ')}") from error

    text = "Device latency (s) and failures, e.g. 'LeafVlan:latency=0.05;broken:az1-leaf1=power;hung:az1-leaf2=30'."
    return click.option("--faults", default="", callback=parse, metavar="PLAN", help=text)(command)


def duplicates_option(command: F) -> F:
    """``--duplicate-mac``; arrives as ``duplicates: DuplicateRule``."""

    def parse(context: click.Context, parameter: click.Parameter, text: str) -> DuplicateRule:
        try:
            return parse_rule(text)
        except ValueError as error:
            raise UsageError(f"--duplicate-mac: {error}") from error

    text = "A MAC that moves between leaf pairs so often within so many seconds is a duplicate (RFC 7432, 15.1)."
    return click.option(
        "--duplicate-mac", "duplicates", default="5/180", show_default=True, callback=parse, metavar="N/M", help=text
    )(command)


def aws_options(command: F) -> F:
    """``--aws-region`` and ``--aws-endpoint``; arrive as ``aws: AwsSettings | None``."""

    @click.option(
        "--aws-region", envvar="DRIFTLINE_AWS_REGION", default="", help="The cloud is this region of Amazon's."
    )
    @click.option("--aws-endpoint", envvar="DRIFTLINE_AWS_ENDPOINT", default="", metavar="URL", help="… at this URL.")
    @click.option("--aws-cluster", default="driftline", show_default=True, help="… with this in every tag.")
    @functools.wraps(command)
    def with_aws(*, aws_region: str, aws_endpoint: str, aws_cluster: str, **rest: Any) -> Any:
        if aws_endpoint and not aws_region:
            raise UsageError(f"--aws-endpoint {aws_endpoint}: give --aws-region as well")
        settings = AwsSettings(region=aws_region, endpoint=aws_endpoint, cluster=aws_cluster)
        return command(aws=settings if aws_region else None, **rest)

    return with_aws  # type: ignore[return-value]  # click replaces the signature


def configure_logging(level: str) -> None:
    """Structured logs on stderr: coloured lines for a terminal, JSON lines otherwise."""
    terminal = sys.stderr.isatty()
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
