"""``driftline``: the commands, and how errors reach a person: one line on stderr and a non-zero exit."""

import gc
import sys
from importlib import import_module

import click

from bus.errors import BusError
from driftline.errors import NotDone, UsageError
from projections.errors import ProjectionError
from workers.errors import DevicesUnavailable

#: Every command: the module of ``driftline.cli`` that it is in, and its name there. A module is loaded when one of its
#: commands is used, because loading them all takes longer than most of them run.
COMMANDS = {
    "demo": ("demo", "demo"),
    "up": ("run", "up"),
    "worker": ("run", "worker"),
    "world": ("run", "world"),
    "spawn": ("requests", "spawn"),
    "delete": ("requests", "delete"),
    "drift": ("requests", "drift"),
    "bulk": ("operations", "bulk"),
    "release": ("operations", "release"),
    "operation": ("operations", "operation"),
    "host": ("hosts", "host"),
    "hosts": ("hosts", "hosts"),
    "reconcile": ("reconcile", "reconcile"),
    "cloud": ("cloud", "cloud"),
    "audit": ("audit", "audit"),
    "books": ("books", "books"),
    "record": ("record", "record"),
    "replay": ("record", "replay"),
    "history": ("history", "history_of"),
    "causes": ("history", "causes_of"),
    "diff": ("history", "diff"),
    "why": ("why", "why"),
    "bisect": ("bisect", "bisect"),
    "step": ("step", "step"),
    "ports": ("ports", "ports"),
    "port-states": ("ports", "port_states"),
    "timeline": ("ports", "timeline"),
    "networks": ("ports", "networks"),
    "radius": ("radius", "radius_of"),
    "reach": ("reach", "reach"),
    "network": ("network", "network"),
    "trace-path": ("path", "trace_path"),
    "routes": ("routes", "routes"),
    "clear-mac": ("routes", "clear_mac"),
    "policies": ("policy", "policies"),
    "policy": ("policy", "policy"),
    "clusters": ("clusters", "clusters"),
    "cluster": ("clusters", "cluster"),
    "ingress": ("clusters", "ingress"),
    "top": ("top", "top"),
    "tail": ("tail", "tail"),
    "quarantine": ("tail", "quarantine"),
    "load": ("load", "load"),
    "simulate": ("simulate", "simulate"),
    "scenario": ("scenario", "scenario"),
    "verify": ("verify", "verify"),
    "projections": ("projections", "projections"),
    "schema": ("schema", "schema"),
    "vpc": ("vpcs", "vpc"),
    "vpcs": ("vpcs", "vpcs"),
    "direct-connect": ("vpcs", "direct_connect"),
    "blocks": ("blocks", "blocks"),
    "release-block": ("blocks", "release_block"),
    "bench": ("bench", "bench"),
}

#: Exit codes: the person's fault, ours or the world's, and interrupted (128 + SIGINT).
EXIT_USAGE, EXIT_FAILED, EXIT_INTERRUPTED = 2, 1, 130


class Commands(click.Group):
    """The group of all commands, loaded one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"driftline.cli.{module}"), name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="driftline")
def cli() -> None:
    """The event-sourced control plane of a data-centre network, on NATS JetStream."""


def main() -> None:
    """The entry point of ``driftline``."""
    # Most of what is made here lives on (rows, indexes, modules): looking through all of it often costs a tenth. With
    # 50,000 new objects at a time a process stopped for 80 ms every other second (docs/performance.md).
    gc.set_threshold(5_000, 10, 1_000)
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(_complain("interrupted", EXIT_INTERRUPTED))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        sys.exit(_complain(error.format_message(), EXIT_USAGE))
    except UsageError as error:
        sys.exit(_complain(str(error), EXIT_USAGE))
    except (NotDone, BusError, ProjectionError, DevicesUnavailable) as error:
        sys.exit(_complain(str(error), EXIT_FAILED))
    except KeyboardInterrupt:
        sys.exit(_complain("interrupted", EXIT_INTERRUPTED))


def _complain(text: str, code: int) -> int:
    click.echo(f"driftline: {' '.join(text.split())}", err=True)
    return code
