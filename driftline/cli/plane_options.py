"""Options of the commands that run devices: how these fare, and whether the cloud is a real one."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from driftline.errors import UsageError
from workers.devices.aws.settings import AwsSettings
from workers.devices.simulated.faults import FaultPlan, parse_faults
from workers.devices.simulated.mobility import DuplicateRule, parse_rule

F = TypeVar("F", bound=Callable[..., Any])


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
