"""The invariants of a system that runs: the whole log is audited, then the fabric is asked what it holds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

import msgspec

from bus.log import Log
from driftline.invariants.auditor import Auditor
from driftline.invariants.table import INVARIANTS, Invariant, Violation
from driftline.parts import cables_of
from workers.devices.simulated.blocks import BlockEntry
from workers.devices.simulated.device import CableDevice, DeviceState
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.host import Flow, HostState, Vnic
from workers.devices.simulated.leaf import Entry, LeafState
from workers.errors import DevicesUnavailable
from workers.policy_rules import HeldPolicy

#: How long the log must stand still before what is not as it should be counts as a violation, seconds.
STILL_S = 5.0
#: How long to wait for a system to be quiet, seconds.
PATIENCE_S = 30.0
_POLL_S = 0.5

Dump = Callable[[], Awaitable[dict[str, Any]]]
Told = Callable[[int, int], None]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One invariant. ``exercised``: how often it was put to the test; ``ok`` is None where it was not checked."""

    number: int
    title: str
    when: str
    applies: bool
    exercised: int
    ok: bool | None
    gap: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The first violation."""

    invariant: int
    text: str
    position: int
    port: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. ``scope``: how far it could be looked: the log alone, the devices too, or a system at rest."""

    position: int
    scope: Literal["log", "devices", "quiet"]
    note: str
    violation: Found | None
    invariants: list[Checked]
    edges: dict[str, int]


async def audit(log: Log, dump: Dump, told: Told, patience_s: float = PATIENCE_S, still_s: float = STILL_S) -> Report:
    """Audit the log, the devices, and once the system is quiet all of it. Raises LogUnavailable."""
    live = _Live(log, dump, told, still_s)
    try:
        await live.look(patience_s)
    except Violation as violation:
        return live.report(violation)
    return live.report(None)


def fabric_of(auditor: Auditor, dump: dict[str, Any], further: Iterable[CableDevice] = ()) -> Fabric:
    """What a fabric elsewhere holds, cabled as the log says. ``dump`` is a ``Fabric.dump``.

    ``further``: the devices besides hosts and leaves.
    """
    fabric = Fabric()
    blocks = msgspec.convert(dump.get("blocks", {}), dict[str, dict[str, BlockEntry]])
    for host in auditor.hosts.values():
        for leaf in host.leaves:
            fabric.add_leaf(leaf, "")
        fabric.add_host(host.name, *host.leaves, host.interface, bare=host.is_bare)
    for name in {*dump["hosts"], *blocks} & {*fabric.hosts}:
        held = dump["hosts"].get(name, {"vnics": {}, "flows": {}, "trunk": []})
        vnics, flows = msgspec.convert((held["vnics"], held["flows"]), tuple[dict[str, Vnic], dict[str, Flow]])
        policies = msgspec.convert(held.get("policies", {}), dict[str, HeldPolicy])
        fabric.restore(HostState(name, vnics, flows, held["trunk"], policies=policies, blocks=blocks.get(name, {})))
    trunks = dump.get("trunks", {})
    for name in {*dump["leaves"], *trunks, *blocks} & {*fabric.leaves}:
        entries = [
            (interface, int(vlan), msgspec.convert(entry, Entry))
            for interface, vlans in dump["leaves"].get(name, {}).items()
            for vlan, entry in vlans.items()
        ]
        trunk = trunks.get(name, {"vlans": [], "shut": []})
        fabric.restore(LeafState(name, entries, [], trunk["vlans"], trunk["shut"], blocks=blocks.get(name, {})))
    for cable in further:
        fabric.add_device(cable)
        fabric.restore(DeviceState(cable.device, dump.get("devices", {}).get(cable.device, {})))
    return fabric


class _Live:
    """One audit of a running system."""

    def __init__(self, log: Log, dump: Dump, told: Told, still_s: float) -> None:
        self._log, self._dump, self._told, self._still_s = log, dump, told, still_s
        self._auditor = Auditor(keep=False)
        self._further: dict[str, CableDevice] = {}
        self._read = 0
        self._scope: Literal["log", "devices", "quiet"] = "log"
        self._note = ""

    async def look(self, patience_s: float) -> None:
        """Look as far as possible. Raises Violation."""
        until = time.monotonic() + patience_s
        await self._catch_up()
        try:
            await self._once_quiet(until)
        except DevicesUnavailable as error:
            self._note = f"the log alone was checked, no fabric answers: {error}"

    def report(self, violation: Violation | None) -> Report:
        """What was found."""
        found = None
        if violation is not None:
            found = Found(
                invariant=violation.number, text=violation.text, position=violation.position, port=violation.port
            )
        return Report(
            position=self._read,
            scope=self._scope,
            note=self._note,
            violation=found,
            invariants=[self._checked(invariant, violation) for invariant in INVARIANTS],
            edges={f"{old} → {new}": count for (old, new), count in sorted(self._auditor.edges.items())},
        )

    def _checked(self, invariant: Invariant, violation: Violation | None) -> Checked:
        exercised = self._auditor.exercised[invariant.number]
        ok: bool | None = True if exercised else None
        if violation is not None and violation.number == invariant.number:
            ok = False
        return Checked(
            number=invariant.number,
            title=invariant.title,
            when=invariant.when,
            applies=invariant.applies,
            exercised=exercised,
            ok=ok,
            gap=invariant.gap,
        )

    async def _catch_up(self) -> bool:
        """Take what is new in the log. Returns whether anything was."""
        last = await self._log.last_position()
        if last <= self._read:
            return False
        async for batch in self._log.read(self._read, last):
            self._auditor.take(batch.records)
            cables = [cable for r in batch.records for cable in cables_of(r.event)]
            self._further |= {cable.device: cable for cable in cables if isinstance(cable, CableDevice)}
            self._told(batch.last, last)
        self._read = last
        return True

    async def _once_quiet(self, until: float) -> None:
        """Look at the devices until all is as it should be at rest, or the log stands still and it is not."""
        moved_at = time.monotonic()
        while True:
            problem = await self._at_rest()
            if problem is None:
                self._scope, self._note = "quiet", ""
                return
            still = time.monotonic() - moved_at >= self._still_s
            if still and isinstance(problem, Violation):
                self._scope = "quiet"
                raise problem
            if time.monotonic() >= until:
                self._note = f"the system did not come to rest: {problem}"
                return
            await asyncio.sleep(_POLL_S)
            if await self._catch_up():
                moved_at = time.monotonic()

    async def _at_rest(self) -> Violation | str | None:
        """Why the system is not at rest, or is and not as it should be; None if all is well."""
        dump = await self._dump()
        if await self._log.last_position() > self._read:  # the devices may be ahead of what was read
            return "events come in all the time"
        # In threads: over 100,000 ports each takes seconds, and what is judged may run in this process.
        fabric = await asyncio.to_thread(fabric_of, self._auditor, dump, self._further.values())
        await asyncio.to_thread(self._auditor.always, fabric)
        self._scope = "devices"
        if self._auditor.pending:
            return f"{self._auditor.pending} requests have no outcome yet"
        try:
            await asyncio.to_thread(self._auditor.once_quiet, fabric)
        except Violation as violation:
            return violation
        return None
