"""``verify --invariants``: the log of a running system and what its fabric says."""

from typing import Any

from bus.envelope import Envelope
from bus.events import AzAdded, HostBlockAnnounced, HostBlockAssigned
from bus.memory import MemoryLog
from driftline.invariants.live import Report, audit, fabric_of
from tests.driftline.test_invariants_tale import Tale
from workers.devices.simulated.device import CableDevice
from workers.effects import BlockRoute, BorderEntry
from workers.errors import DevicesUnavailable


async def report_on(tale: Tale, dump: dict[str, Any] | None) -> Report:
    log = MemoryLog()
    told = [
        Envelope(id=r.id, event=r.event, cause=r.cause, correlation=r.correlation, actor=r.actor, time_us=r.time_us)  # type: ignore[arg-type]
        for r in tale.auditor._records or ()
    ]
    await log.append(told)

    async def answer() -> dict[str, Any]:
        if dump is None:
            raise DevicesUnavailable("nobody")
        return dump

    return await audit(log, answer, lambda done, until: None, patience_s=0.5, still_s=0.0)


async def test_a_system_at_rest_is_audited_whole() -> None:
    tale = Tale()
    tale.live()
    report = await report_on(tale, tale.fabric.dump())
    assert (report.scope, report.violation, report.position) == ("quiet", None, tale.position)
    assert [i.number for i in report.invariants if not i.applies] == []


async def test_the_first_violation_on_a_device_is_named() -> None:
    tale = Tale()
    port = tale.live()
    dump = tale.fabric.dump()
    del dump["hosts"]["h1"]["flows"][port]
    report = await report_on(tale, dump)
    assert report.violation is not None
    found = report.violation
    assert (found.invariant, found.port, found.position) == (4, port, tale.position)
    assert [i.number for i in report.invariants if i.ok is False] == [4]


async def test_without_a_fabric_the_log_alone_is_audited_and_that_is_said() -> None:
    tale = Tale()
    tale.live()
    report = await report_on(tale, None)
    assert (report.scope, report.violation) == ("log", None)
    assert "no fabric" in report.note


async def test_a_system_in_which_something_is_under_way_is_not_judged_as_one_at_rest() -> None:
    tale = Tale()
    tale.spawn()
    report = await report_on(tale, tale.fabric.dump())
    assert (report.scope, report.violation) == ("devices", None)
    assert "1 requests have no outcome" in report.note


CIDR = "10.9.0.0/29"


def route(device: str, kind: str) -> BlockRoute:
    """The device knows the way to a block of h1."""
    return BlockRoute(
        device=device,
        az="az1",
        cidr=CIDR,
        kind=kind,
        host="h1",
        vrf="prod",
        gateway="10.9.0.1",
        epoch=1,
        present=True,
    )


BORDER = CableDevice("border-az1", "border", {"az": "az1", "region": "r1"})


def entry(kind: str, one: str, other: str) -> BorderEntry:
    """The border holds this."""
    return BorderEntry(device="border-az1", az="az1", kind=kind, one=one, other=other, epoch=1, present=True)


def test_the_dump_of_a_fabric_makes_an_equal_one() -> None:
    tale = Tale()
    tale.live()
    tale.fabric.apply(route("h1", "own-vxlan"))
    tale.fabric.apply(route("l1", "accept"))
    tale.fabric.add_device(BORDER)
    tale.fabric.apply(
        BorderEntry(device="border-az1", az="az1", epoch=1, present=True, kind="vrfs", one="prod", other="tools")
    )
    dump = tale.fabric.dump()
    assert sorted(dump["blocks"]) == ["h1", "l1"]
    assert fabric_of(tale.auditor, dump, [BORDER]).dump() == dump


async def test_a_block_and_a_border_are_audited_in_a_system_that_runs() -> None:
    tale = Tale()
    tale.say(AzAdded(az="az1", region="r1"))
    tale.say(
        HostBlockAssigned(
            host="h1",
            az="az1",
            network="n9",
            subnet="s9",
            vpc="prod",
            vrf="prod",
            model="host-local-vxlan",
            cidr=CIDR,
            gateway="10.9.0.1",
        )
    )
    tale.say(HostBlockAnnounced(host="h1", az="az1", cidrs=(CIDR,)))
    tale.fabric.apply(route("h1", "own-vxlan"))
    report = await report_on(tale, tale.fabric.dump())
    assert report.violation is None

    tale.fabric.add_device(BORDER)
    tale.fabric.apply(
        BorderEntry(device="border-az1", az="az1", epoch=1, present=True, kind="line", one="r1", other="r2")
    )
    report = await report_on(tale, tale.fabric.dump())
    assert report.violation is not None
    assert (report.violation.invariant, "border-az1 has lines" in report.violation.text) == (21, True)
