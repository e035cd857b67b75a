"""What devices answer gets to the machine whole. How the performer tries again: ``tests/workers/test_runner.py``."""

import asyncio
from typing import Any, NamedTuple, cast

import pytest

from bus.events import HostDifference
from tests.workers.devices.world import RED_1, Port, audit_host, plug, wired
from workers.appender import Appender
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.fabric import SetHosts
from workers.effects import AnyEffect, Result
from workers.machine import Machine, Planned
from workers.performer import Performer

A = Port("a", "h1", RED_1, 5)


class Name(NamedTuple):
    name: str


class Settled:
    """In the place of a machine and of its appender: keeps the results."""

    worker = Name("agent")

    def __init__(self) -> None:
        self.results: list[tuple[str, Result]] = []

    def settle(self, planned: Planned, result: Result, now_us: int) -> list[Any]:
        self.results.append((type(planned.effect).__name__, result))
        return []

    def done(self, position: int, count: int = 1) -> None:
        pass

    def put(self, *settled: object) -> None:
        pass


async def results(devices: SimulatedDevices, effects: list[AnyEffect]) -> list[tuple[str, Result]]:
    settled = Settled()
    async with asyncio.TaskGroup() as tasks:
        performer = Performer(devices, cast(Appender, settled), tasks, lambda: 17)
        performer.submit(cast(Machine, settled), [Planned(effect, 1, "cause", "") for effect in effects])
    return settled.results


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.performer.ATTEMPTS", 2)


async def test_what_an_audit_found_is_in_its_result() -> None:
    found = (HostDifference("flows", "a", 1, missing=False),)

    assert await results(SimulatedDevices(wired(A)), [audit_host("h1", {"a": 1}, {}), plug(A)]) == [
        ("AuditHost", Result("", 17, found)),
        ("PlugVnic", Result("", 17, ())),
    ]


async def test_an_audit_of_a_silent_host_is_given_up() -> None:
    devices = SimulatedDevices(wired(A))
    devices.set_hosts(SetHosts(cut_off=("h1",)))

    assert await results(devices, [audit_host("h1", {}, {})]) == [
        ("AuditHost", Result("host h1: cut off from the control plane", 17, ()))
    ]
