"""``driftline``: the commands, and how errors reach a person: one line on stderr and a non-zero exit."""

import sys

import click

from bus.errors import BusError
from driftline.cli import (
    blocks,
    cloud,
    clusters,
    demo,
    hosts,
    load,
    network,
    operations,
    path,
    policy,
    ports,
    projections,
    radius,
    reconcile,
    requests,
    routes,
    run,
    scenario,
    schema,
    simulate,
    tail,
    verify,
    vpcs,
)
from driftline.errors import NotDone, UsageError
from driftline.scenario import ScenarioError
from driftline.trace import TraceError
from driftline.world import WorldError
from projections.errors import ProjectionError
from workers.devices.protocol import DevicesUnavailable

#: Exit codes: the person's fault, ours or the world's, and interrupted (128 + SIGINT).
EXIT_USAGE, EXIT_FAILED, EXIT_INTERRUPTED = 2, 1, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="driftline")
def cli() -> None:
    """The event-sourced control plane of a data-centre network, on NATS JetStream."""


for command in (
    demo.demo,
    run.up,
    run.worker,
    run.world,
    requests.spawn,
    requests.delete,
    requests.drift,
    operations.bulk,
    operations.release,
    operations.operation,
    hosts.host,
    hosts.hosts,
    reconcile.reconcile,
    cloud.cloud,
    ports.ports,
    ports.port_states,
    ports.timeline,
    ports.networks,
    radius.radius_of,
    ports.reach,
    network.network,
    path.trace_path,
    routes.routes,
    routes.clear_mac,
    policy.policies,
    policy.policy,
    clusters.clusters,
    clusters.cluster,
    clusters.ingress,
    tail.tail,
    tail.quarantine,
    load.load,
    simulate.simulate,
    scenario.scenario,
    verify.verify,
    projections.projections,
    schema.schema,
    vpcs.vpc,
    vpcs.vpcs,
    vpcs.direct_connect,
    blocks.blocks,
    blocks.release_block,
):
    cli.add_command(command)


def main() -> None:
    """The entry point of ``driftline``."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(_complain("interrupted", EXIT_INTERRUPTED))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        sys.exit(_complain(error.format_message(), EXIT_USAGE))
    except (UsageError, WorldError, TraceError, ScenarioError) as error:
        sys.exit(_complain(str(error), EXIT_USAGE))
    except (NotDone, BusError, ProjectionError, DevicesUnavailable) as error:
        sys.exit(_complain(str(error), EXIT_FAILED))
    except KeyboardInterrupt:
        sys.exit(_complain("interrupted", EXIT_INTERRUPTED))


def _complain(text: str, code: int) -> int:
    click.echo(f"driftline: {' '.join(text.split())}", err=True)
    return code
