"""A control plane in virtual time: the real workers, runners and folds, on the simulator's log and modelled fabric.

Nothing waits for a real clock, so a host's minute of silence passes in a moment.
"""

import asyncio
from collections.abc import Callable, Sequence

from bus.envelope import Envelope, Recorded
from bus.events import HostAdded
from driftline.invariants import Violation
from driftline.scenario.file import ScenarioFile
from driftline.scenario.play import Played, Told, play
from driftline.simulator import loop
from driftline.simulator.scenario import Scenario
from driftline.simulator.site import Site
from driftline.simulator.worlds import Place
from workers.devices.simulated.fabric import Leftovers, SetHosts
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.reachability import Path, trace
from workers.devices.simulated.tamper import Act, device_of
from workers.devices.simulated.wire import Ask


class VirtualGround:
    """Implements ``driftline.scenario.play.Ground`` on a site of the simulator, with no faults but the scenario's."""

    def __init__(self, file: ScenarioFile) -> None:
        hosts = tuple(event.host for event in file.world if isinstance(event, HostAdded))
        place = Place(events=file.world, hosts=hosts, networks=(), labels=())
        self._site = Site(Scenario(seed=0, theme=file.title, layout="shared", place=place, actions=()))
        for process in self._site.processes.values():
            process.start()

    @property
    def records(self) -> Sequence[Recorded]:
        return self._site.store.records

    async def publish(self, envelope: Envelope) -> None:
        self._site.publish(envelope)

    async def set_hosts(self, change: SetHosts) -> None:
        self._site.set_hosts(change)

    async def tamper(self, acts: Sequence[Act]) -> None:
        for act in acts:
            self._site.auditor.excuse(device_of(act))
        self._site.devices.tamper(acts)

    async def set_faults(self, plan: FaultPlan) -> None:
        self._site.devices.set_faults(plan)

    async def trace(self, asks: Sequence[Ask]) -> Sequence[Path]:
        return [trace(self._site.fabric, ask.src_port, ask.dst_port, dst_ip=ask.dst_ip, flow=ask.flow) for ask in asks]

    async def leftovers(self) -> Leftovers:
        return self._site.fabric.leftovers()

    async def is_done(self) -> bool:
        site = self._site
        if site.failed.done():
            await site.failed
        busy = site.store.in_flight or site.devices.busy
        return not busy and all(process.checkpoint >= site.store.last for process in site.processes.values())

    async def sleep(self, for_s: float) -> None:
        await asyncio.sleep(for_s)

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def now_us(self) -> int:
        return loop.now_us()

    def close(self) -> None:
        """Nobody waits for what breaks from now on."""
        self._site.failed.cancel()

    def judge(self, *, deleted: bool) -> str:
        try:
            self._site.auditor.always(self._site.fabric)
            if deleted:
                self._site.auditor.once_deleted(self._site.fabric)
        except Violation as violation:
            return str(violation)
        return ""


def play_virtually(file: ScenarioFile, told: Callable[[Told], None] = lambda step: None) -> Played:
    """Play ``file`` in virtual time. Raises Violation when an invariant breaks on the way."""

    async def happen() -> Played:
        ground = VirtualGround(file)
        try:
            return await play(file, ground, told)
        finally:
            ground.close()

    return loop.run(happen(), seed=0)
