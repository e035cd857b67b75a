"""``driftline schema``: the wire format for publishers in any language."""

import click

from bus.subjects import ROLES, publish_permissions
from driftline.cli.common import print_json
from driftline.errors import UsageError
from driftline.schema import json_schema


@click.command()
@click.option("--permissions", type=click.Choice(ROLES), help="Print what this role may publish, for a NATS account.")
@click.option("--host", default="*", show_default=True, help="With --permissions: narrow a host's agent to its host.")
@click.option("--json", "as_json", is_flag=True, help="Accepted for uniformity: the output is JSON anyway.")
def schema(permissions: str | None, host: str, as_json: bool) -> None:
    """Print the JSON Schema of the wire format, generated from the code."""
    if not permissions:
        print_json(json_schema())
        return
    try:
        print_json(publish_permissions(permissions, host))
    except ValueError as error:
        raise UsageError(f"--{error}") from error
