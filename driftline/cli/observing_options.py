"""Options of the commands whose processes can be observed: where metrics are served, and where traces go."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from driftline.observing.settings import Settings, parse_address, parse_target

F = TypeVar("F", bound=Callable[..., Any])


def observing_options(command: F) -> F:
    """``--metrics`` and ``--traces``; arrive as ``observed: Settings``."""

    @click.option(
        "--metrics",
        envvar="DRIFTLINE_METRICS",
        default="",
        metavar="HOST:PORT",
        help="Serve /metrics (Prometheus), /healthz and /readyz there, e.g. 127.0.0.1:9464.",
    )
    @click.option(
        "--traces",
        envvar="DRIFTLINE_TRACES",
        default="",
        metavar="WHERE",
        help="Send OpenTelemetry traces to a collector (http://127.0.0.1:4318), to file:PATH, or to the console.",
    )
    @functools.wraps(command)
    def with_settings(*, metrics: str, traces: str, **rest: Any) -> Any:
        return command(observed=Settings(metrics=parse_address(metrics), traces=parse_target(traces)), **rest)

    return with_settings  # type: ignore[return-value]  # click replaces the signature
