"""Leaves that are broken on purpose, in a fabric that is reached over NATS."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest_asyncio

from bus.jetstream import Connection
from driftline.channel import BusChannel
from driftline.loadtest.leaves import BrokenLeaves
from tests.workers.devices.world import CABLES, RED_1, leaf_vlan
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.remote import serve_fabric


@pytest_asyncio.fixture
async def devices(connection: Connection) -> AsyncIterator[SimulatedDevices]:
    """Served until the test ends."""
    devices = SimulatedDevices()
    devices.cable(CABLES)
    serving = asyncio.create_task(serve_fabric(devices, BusChannel(connection)))
    yield devices
    serving.cancel()
    await asyncio.wait([serving])


async def said(devices: SimulatedDevices, *leaves: str) -> list[str]:
    """What each leaf answers when it is configured: nothing if it takes that."""
    async with aclosing(devices.apply([leaf_vlan(leaf, "e1", RED_1) for leaf in leaves])) as groups:
        outcomes = sorted([outcome async for group in groups for outcome in group])
    return [outcome.error for outcome in outcomes]


async def test_each_broken_leaf_says_why_it_is_and_whole_again_nothing(
    connection: Connection, devices: SimulatedDevices
) -> None:
    leaves = BrokenLeaves(connection, FaultPlan(broken={"l3": "no power"}))
    async with leaves.broken(["l1"], "its pair failed"):
        async with leaves.broken(["l2", "l1"], "chaos"):
            assert await said(devices, "l1", "l2", "l3") == ["l1: chaos", "l2: chaos", "l3: no power"]
        assert await said(devices, "l1", "l2", "l3") == ["l1: its pair failed", "", "l3: no power"]
        async with leaves.broken(["l2"], "chaos"):
            assert await said(devices, "l1", "l2") == ["l1: its pair failed", "l2: chaos"]
    assert await said(devices, "l1", "l2", "l3") == ["", "", "l3: no power"]
