"""The audit of real servers asks the projections how far they are, of whatever version they are."""

import pytest

from bus.embedded import EmbeddedServer
from driftline.auditing import PROJECTIONS, account
from driftline.stack import Options, open_stack
from projections.errors import SchemaMismatch
from projections.postgres import connect, snapshot
from projections.refold import no_progress
from projections.writer import prepare
from tests.projections.test_generations_int import NEWER
from tests.story import Story


async def test_projections_of_another_version_do_not_hold_up_an_audit(
    nats_server: EmbeddedServer, postgres_dsn: str
) -> None:
    async with open_stack(Options(nats=nats_server.url, postgres=postgres_dsn)) as stack:
        story = Story().world()
        await stack.log.append(story.envelopes)
        async with connect(postgres_dsn, edition=NEWER) as newer:
            await prepare(newer, await stack.log.identity())
        with pytest.raises(SchemaMismatch):
            async with snapshot(stack.database):
                pass
        accounts = await account(stack, stack.database, [], no_progress)
        assert accounts.complete
        assert [(one.name, one.position) for one in accounts.readers if one.name == PROJECTIONS] == [(PROJECTIONS, 0)]
        assert accounts.events == story.position


async def test_projections_of_another_log_are_a_finding_whatever_their_version(
    nats_server: EmbeddedServer, postgres_dsn: str
) -> None:
    async with open_stack(Options(nats=nats_server.url, postgres=postgres_dsn)) as stack:
        async with connect(postgres_dsn, edition=NEWER) as newer:
            await prepare(newer, "another log")
        accounts = await account(stack, stack.database, [], no_progress)
        assert [one.what for one in accounts.findings] == ["another log"]
