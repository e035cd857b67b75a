"""Containers (2017): ports in bulk and the asynchronous API, by the command line against real servers."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.drifting import Here, two_racks

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.asyncio(loop_scope="module")]

A, B = "az1-h1", "az1-h4"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Here]:
    async with two_racks(3) as one:
        yield one


async def bulk(here: Here, operation: str, *items: dict[str, Any], code: int = 0, more: tuple[str, ...] = ()) -> Any:
    """Ask for these ports, and wait."""
    path = here.place.folder / f"{operation}.json"
    path.write_text(json.dumps(items))
    return await here.place.json("bulk", path, "--id", operation, *more, code=code)


async def test_pods_find_the_ports_that_were_made_for_them_and_the_rest_is_given_back(here: Here) -> None:
    items = [{"instance": f"web-{n}", "host": host, "label": "prod-env"} for n, host in enumerate((A, B, A))]
    report = await bulk(here, "op1", *items, more=("--atomic",))
    assert report["request"]["state"] == "done"
    assert [item["state"] for item in report["items"]] == ["allocated"] * 3
    before = await here.log.last_position()
    await bulk(here, "op1", *items, more=("--atomic",))  # again: nothing more comes of it
    assert await here.log.last_position() == before

    for name in ("web-0", "web-1"):
        await here.place.run("spawn", name, "--id", name, "--label", "prod-env")
    assert (await here.place.json("reach", "web-0", "web-1"))["reachable"]
    addresses = {item["port"]: item["ip"] for item in report["items"]}
    assert (await here.port("web-1")).ip == addresses["web-1-0"]
    assert (await here.port("web-1")).host == B

    released = await here.place.json("release", "op1")
    assert released["request"]["state"] == "done"
    stands = await here.place.json("operation", "op1", "--wait")
    assert [item["state"] for item in stands["items"]] == ["allocated", "allocated", "released"]
    await here.all_is_well()


async def test_all_or_none_names_the_first_that_cannot_be_had(here: Here) -> None:
    items = ({"instance": "api-0", "host": A, "label": "prod-env"}, {"instance": "api-1", "host": A, "label": "none"})
    report = await bulk(here, "op2", *items, code=1, more=("--atomic",))
    request = report["request"]
    assert (request["state"], request["field"], request["value"]) == ("refused", "label", "none")
    assert request["reason"] == "api-1: no network carries this label"
    assert await here.place.json("ports", "--name", "api-0") == []


async def test_nobody_has_to_wait(here: Here) -> None:
    ended = await here.place.run("spawn", "later", "--label", "prod-env", "--no-wait")
    report = await here.place.json("operation", ended.stdout.strip(), "--wait")
    assert (report["request"]["kind"], report["request"]["state"]) == ("instance.spawn_requested", "done")
    assert report["seconds"] > 0


async def test_bad_input_is_named_and_never_published(here: Here) -> None:
    before = await here.log.last_position()
    path = here.place.folder / "bad.json"
    path.write_text("{")
    assert "is no JSON" in await here.place.refused("bulk", path)
    path.write_text("[]")
    assert (await here.place.refused("bulk", path)).startswith("items: [] does not fit")
    path.write_text('[{"instance": "a.b", "host": "h1"}]')
    assert "instance" in await here.place.refused("bulk", path)
    path.write_text('[{"instance": "a", "host": "h1", "labl": "prod-env"}]')
    assert (await here.place.refused("bulk", path)).startswith("items[0]: labl: there is no such field; there are inst")
    assert await here.place.refused("operation", "nothing") == "ID: there is no request nothing"
    assert await here.log.last_position() == before
    assert "unknown operation (operation: op9)" in await here.place.refused("release", "op9")
