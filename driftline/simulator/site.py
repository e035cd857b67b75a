"""All there is in a run: log, devices, processes, and the judge who looks after each step."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from bus.envelope import Envelope, Recorded
from driftline.invariants import Auditor, Violation
from driftline.parts import all_workers, cables_of
from driftline.simulator.bus import CALM, Store
from driftline.simulator.devices import Machinery, WatchedFabric
from driftline.simulator.draft import HEALTHY
from driftline.simulator.loop import dice, now_us
from driftline.simulator.mirror import Mirror
from driftline.simulator.process import NO_HABIT, Process
from driftline.simulator.scenario import Scenario
from workers.devices.simulated.device import CableDevice
from workers.devices.simulated.fabric import CableHost, Performed, SetHosts
from workers.effects import AnyEffect


class Site:
    """The world of one run. ``failed`` ends the run with its exception as soon as something is wrong."""

    def __init__(self, scenario: Scenario) -> None:
        self.seed = scenario.seed
        self.scenario = scenario
        self.counts: Counter[str] = Counter()
        self.steps = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.auditor = Auditor()
        self.mirror = Mirror(dice(self.seed, "mirror"))
        self.store = Store(dice(self.seed, "log"), self._landed)
        self.store.counts = self.counts
        self.fabric = WatchedFabric(self._reached)
        self.devices = Machinery(self.fabric, self.counts)
        self.processes: dict[str, Process] = {process.name: process for process in self._processes()}
        self._asked = 0
        self._cable()

    def fail(self, error: BaseException | None, where: str) -> None:
        """The run is over: ``error`` happened."""
        if error is not None and not self.failed.done():
            error.add_note(f"in {where}")
            self.failed.set_exception(error)

    def judge(self) -> None:
        """Check what holds at every moment."""
        if self.failed.done():
            return
        self.steps += 1
        try:
            self.auditor.always(self.fabric)
        except Violation as violation:
            self.fail(violation, "always")

    def publish(self, envelope: Envelope) -> None:
        """Append what somebody outside says."""
        self.store.append([envelope])

    def set_hosts(self, change: SetHosts) -> None:
        """Hosts lose or get power or their connection, and with them the processes that run on them."""
        for names, kind in (
            (change.power_off, "host without power"),
            (change.cut_off, "host cut off"),
            (change.power_on, "host with power again"),
            (change.reconnect, "host reconnected"),
        ):
            self.counts[kind] += len(names)
        self.devices.set_hosts(change)
        for process in self.processes.values():
            if process.hosts is None:
                continue
            host = self.fabric.host(next(iter(process.hosts)))
            process.client.cut = process.hands.cut = host.cut_off
            process.hold(not host.powered)
        self.store.wake()
        self.judge()

    def named(self, name: str) -> Sequence[Process]:
        """The process of this name; all of them if it is empty."""
        return [self.processes[name]] if name else list(self.processes.values())

    def run_twin(self, process: Process, for_s: float) -> None:
        """Have a second process of the same worker run for a while."""
        twin = process.twin()
        if twin.name in self.processes:
            return

        def end() -> None:
            if self.processes.pop(twin.name, None) is not None:
                twin.stop()

        self.counts["twin"] += 1
        self.processes[twin.name] = twin
        twin.start()
        asyncio.get_running_loop().call_later(for_s, end)

    def heal(self) -> None:
        """No more faults: all devices, hosts and connections are well. What is on its way stays on its way."""
        self.devices.set_faults(HEALTHY)
        hosts = self.scenario.place.hosts
        for process in self.processes.values():
            process.client.faults, process.habit = CALM, NO_HABIT
            process.hands.unavailable = process.hands.leftovers = 0.0
        self.set_hosts(SetHosts(power_on=hosts, reconnect=hosts))

    def _processes(self) -> list[Process]:
        layout, hosts = self.scenario.layout, self.scenario.place.hosts
        workers = all_workers().values()
        local = [worker for worker in workers if worker.per_host]
        processes = [Process(self, worker) for worker in workers if not worker.per_host]
        if layout == "shared":
            return processes + [Process(self, worker) for worker in local]
        for worker in local:
            for host in [host for host in hosts if self.scenario.place.runs(worker.name, host)]:
                subject = f"dl.*.*.*.{host}.>" if layout == "filtered" else ""
                processes.append(Process(self, worker, frozenset({host}), subject))
        return processes

    def _cable(self) -> None:
        events = self.scenario.place.events
        cables = [cable for event in events for cable in cables_of(event)]
        for cable in sorted(cables, key=lambda one: isinstance(one, CableHost)):  # hosts hang on leaves
            self.fabric.cable(cable)
        for number, event in enumerate(events, start=1):
            self.publish(Envelope(id=f"world-{number}", event=event, actor="operator", time_us=now_us()))

    def _landed(self, r: Recorded) -> None:
        if self.failed.done():
            return
        try:
            self.auditor.take([r])
            self.mirror.take(r)
            for cable in cables_of(r.event):
                if isinstance(cable, CableDevice):
                    self.fabric.cable(cable)
        except Exception as error:  # noqa: BLE001  # whatever it is, the run ends with it
            self.fail(error, f"event {r.position}")
        self.judge()

    def _reached(self, effect: AnyEffect, came: Performed) -> None:
        self.judge()
