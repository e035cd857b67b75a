"""``driftline bench limits``: every figure, in one document, on servers of its own."""

import pytest

from tests.acceptance.harness import site

pytestmark = [pytest.mark.servers, pytest.mark.processes]

FIGURES = [
    "encode",
    "decode",
    "append.nats_py.single",
    "append.nats_py.pipelined",
    "append.batch.20",
    "append.batch.100",
    "append.batches",
    "consume.nats_py.fetch",
    "consume.raw",
    "consume.decoded",
    "delivery",
    "rows.copy",
    "rows.insert",
    "rows.update",
    "log_alone",
]


async def test_all_that_driftline_stands_on_is_measured_in_one_run() -> None:
    async with site() as place:
        ended = await place.run(
            *("bench", "limits", "--events", "200", "--rows", "200", "--seconds", "30", "--json"),
            *("--batch", "20", "--batch", "100"),
        )
        figures = {one["name"]: one for one in ended.document["figures"]}
        assert list(figures) == FIGURES
        assert {one["count"] for one in figures.values()} == {200}
        assert all(one["per_second"] > 0 for one in figures.values())
        assert figures["delivery"]["median_ms"] > 0
        assert ended.stderr.count("/s\n") == len(FIGURES)
        assert "--batch" in await place.refused("bench", "limits", "--batch", "1001")
        await place.nothing_left()
