"""A rack of 40 hosts with 40 pods each fails: all of them drift and keep their addresses; the fabric delivers."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.drifting import Here, two_racks

pytestmark = [pytest.mark.servers, pytest.mark.processes, pytest.mark.timeout(180)]

HOSTS, PODS_PER_HOST = 40, 40
PODS = HOSTS * PODS_PER_HOST
RACK = [f"az1-h{number}" for number in range(1, HOSTS + 1)]
#: What stays when a port drifts (invariant 5).
KEPT = ("port", "name", "instance", "ip", "mac", "vrf", "vni", "network", "subnet", "gateway")


def write_trace(path: Path) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "creation_time", "deletion_time", "host"])
        rows.writerows([f"pod-{i}", i, "", RACK[i % HOSTS]] for i in range(PODS))


async def test_a_rack_fails_and_all_its_pods_drift() -> None:
    async with two_racks(HOSTS) as here:
        write_trace(here.place.folder / "trace.csv")
        await here.place.json("load", "--trace", "trace.csv", "--host-column", "host", timeout_s=60)
        before = await ports(here)
        assert Counter(row["host"] for row in before.values()) == dict.fromkeys(RACK, PODS_PER_HOST)

        report = await here.place.json("host", "fail", "--rack", "leaf2-leaf1", "--reason", "fire", timeout_s=90)
        assert sorted(report["hosts"]) == sorted(RACK)
        assert (report["instances"], report["drifted"]) == (PODS, PODS), report["moves"][:3]
        assert report["fabric"] == {"checked": PODS, "at_new_host": PODS, "at_old_host": 0, "first_problem": ""}

        after = await ports(here)
        assert {port: kept(row) for port, row in after.items()} == {port: kept(row) for port, row in before.items()}
        assert not {row["host"] for row in after.values()} & set(RACK)
        assert {(row["underlay"], row["overlay"]) for row in after.values()} == {("ACTIVE", "ACTIVE")}
        assert {row["generation"] for row in after.values()} == {2}
        await here.all_is_well()


async def ports(here: Here) -> dict[str, dict[str, Any]]:
    return {row["port"]: row for row in await here.place.json("ports")}


def kept(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in KEPT}
