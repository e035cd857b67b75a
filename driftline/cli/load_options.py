"""Options of ``driftline load`` that do not go together."""

from pathlib import Path

import click
from click.core import ParameterSource

from driftline.errors import UsageError
from driftline.loadtest.profile import SOME_TAKE, found, takes


def check_use(context: click.Context, profile: str) -> None:
    """Raise UsageError for a number that was given and that ``profile`` does not look at."""
    for name in sorted(SOME_TAKE - takes(profile)):
        if _given(context, name):
            users = [other for other in found() if name in takes(other)]
            raise UsageError(f"--{name.removesuffix('_s')}: {profile} makes no use of it, only {', '.join(users)}")


def check_random(context: click.Context, chaos: str, for_s: float | None) -> None:
    """Raise UsageError where random chaos has no end, or what is said of it is said of no random chaos."""
    if chaos == "random" and for_s is None:
        raise UsageError("--chaos random: say with --for until when, seconds")
    if chaos != "random" and _given(context, "chaos_every_s"):
        raise UsageError("--chaos-every: only with --chaos random")
    if not chaos and _given(context, "chaos"):
        raise UsageError("--chaos '': no fault is named")


def check_trace(context: click.Context, trace: Path | None) -> None:
    """Raise UsageError for the name of a column that was given without a ``trace``."""
    for name in ("name_column", "created_column", "deleted_column", "host_column"):
        if trace is None and _given(context, name):
            raise UsageError(f"--{name.replace('_', '-')}: only with --trace, whose columns it names")


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE
