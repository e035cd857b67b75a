"""Bad input to the commands about drifts and hosts: one line that names the field and the value; nothing happens."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from tests.acceptance.drifting import Here, two_racks

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

A, B = "az1-h1", "az1-h4"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with two_racks(3) as one:
        await one.spawned("web-1", A)
        yield one


async def complaints(here: Here, commands: Mapping[str, str]) -> dict[str, str]:
    """What each of the commands says, on its one line."""
    said = await asyncio.gather(*[here.place.refused(*command.split()) for command in commands.values()])
    return dict(zip(commands, said, strict=True))


async def test_what_makes_no_sense_is_never_published(here: Here) -> None:
    before = await here.log.last_position()
    said = await complaints(
        here,
        {
            "drift nobody": "drift nobody",
            "drift host": "drift web-1 --host bad*host",
            "drift timeout": "drift web-1 --timeout 0",
            "fail nothing": "host fail",
            "fail nohost": f"host fail {A} nohost",
            "fail rack": "host fail --rack leaf1-leaf3",
            "fail timeout": f"host fail {A} --timeout soon",
            "drain nohost": "host drain nohost",
            "drain nothing": "host drain",
            "return nohost": "host return nohost",
            "return nothing": "host return",
            "host what": "host burn az1-h1",
            "reconcile host": "reconcile --host nohost",
            "reconcile leaf": "reconcile --leaf noleaf",
            "reconcile both": f"reconcile --host {A} --leaf leaf1",
            "reconcile timeout": "reconcile --timeout -1",
            "timeline": "timeline nobody",
        },
    )
    assert said["drift nobody"] == said["timeline"] == "instance: there is none with the id or name nobody"
    assert said["drift host"].startswith("host: 'bad*host' does not fit")
    for command, value in (("drift timeout", "0"), ("fail timeout", "'soon'"), ("reconcile timeout", "-1")):
        assert "'--timeout'" in said[command]
        assert value in said[command]
    for command in ("fail", "drain", "return"):
        assert said[f"{command} nothing"] == "HOST: give at least one, or --rack"
        assert said.get(f"{command} nohost") == "HOST: nohost is no host of the world"
    assert said["fail rack"].startswith("--rack: leaf1-leaf3 is no pair of leaves with hosts; there are leaf1-leaf2,")
    assert "'burn'" in said["host what"]
    assert said["reconcile host"] == "--host: nohost is no host of the world"
    assert said["reconcile leaf"] == "--leaf: noleaf is no leaf that a host hangs on"
    assert "--host and --leaf" in said["reconcile both"]
    assert await here.log.last_position() == before


async def test_a_drift_that_cannot_be_granted_changes_nothing(here: Here) -> None:
    await here.spawned("gone", B)
    await here.deleted("gone")
    before = await here.port("web-1")
    said = await complaints(
        here,
        {
            "unknown": "drift web-1 --host nohost",
            "zone": "drift web-1 --host az2-h1",
            "same": f"drift web-1 --host {A}",
            "deleted": "drift gone",
        },
    )
    assert said == {
        "unknown": "web-1 drift refused: unknown host (host: nohost)",
        "zone": "web-1 drift refused: the host is in az2, not in az1 (host: az2-h1)",
        "same": f"web-1 drift refused: the instance is on this host already (host: {A})",
        "deleted": "gone drift refused: the instance is deleted (instance: gone)",
    }
    ended = await (await here.place.start("drift", "web-1", "--host", "nohost", "--json")).ended()
    assert (ended.code, ended.complaint) == (1, said["unknown"])
    assert [ended.document[name] for name in ("kind", "field", "value")] == ["drift_refused", "host", "nohost"]
    assert await here.port("web-1") == before
    assert [drift.outcome for drift, _ in await here.drifts("web-1")] == ["refused"] * 4
    await here.all_is_well()


async def test_hosts_that_are_not_in_the_state_for_it(here: Here) -> None:
    assert f"{B} refused: the host is up and not being drained" in await here.place.refused("host", "return", B)
    await here.place.run("host", "fail", B)
    said = await complaints(
        here,
        {
            "fail": f"host fail {B}",
            "drift": f"drift web-1 --host {B}",
            "spawn": f"spawn web-2 --network net1 --host {B}",
        },
    )
    assert said["fail"] == f"{B} refused: the host is down already; drain it to move what is on it"
    assert said["drift"] == f"web-1 drift refused: the host is down (host: {B})"
    assert said["spawn"] == f"web-2 refused: the host is down (host: {B})"
    await here.place.run("host", "drain", "az1-h5")
    assert "az1-h5 refused: the host is being drained already" in await here.place.refused("host", "drain", "az1-h5")
    await here.place.run("host", "return", B, "az1-h5")
    await here.all_is_well()


async def test_a_command_that_does_not_wait_long_enough_says_what_goes_on(here: Here) -> None:
    await here.faults("PlugVnic:latency=2")
    said = await here.place.refused("drift", "web-1", "--timeout", "0.3")
    assert said.startswith("web-1: no outcome within 0.3 s; the request is on the log at position ")
    row = await here.port("web-1")
    slow = await here.place.refused("host", "drain", row.host, "--timeout", "0.5")
    assert slow == "0 of 1 instances have ended their drift within 0.5 s; the rest goes on"
    await here.faults()
