"""Performs the actions of a scenario on a site."""

import random
from collections.abc import Sequence

from bus.envelope import Envelope
from bus.events import (
    CLOUD,
    AnyEvent,
    InstanceDeleteRequested,
    InstanceDriftRequested,
    PortBindRequested,
    PortBound,
    PortDeleteRequested,
    PortOverlayRemoved,
    PortOverlayReported,
    PortPlugFailed,
    PortPlugged,
    PortUnbound,
    PortUnderlayRemoved,
    PortUnderlayReported,
    PortUnplugged,
    SpawnRequested,
)
from bus.events.device import DeviceTable
from bus.subjects import name_of
from driftline.simulator.actions import (
    AnyAction,
    Ask,
    Copy,
    Crash,
    Forge,
    RunTwin,
    SetBus,
    SetDevices,
    SetHabit,
    SetHands,
    SetPower,
    Tamper,
    Trick,
)
from driftline.simulator.loop import dice, now_us
from driftline.simulator.site import Site
from driftline.simulator.worlds import AZ
from projections.port_rows import PortRow
from workers.claims import Claim
from workers.cloud_effects import EnsureEni
from workers.devices.simulated.fabric import Fabric
from workers.devices.simulated.tamper import (
    Act,
    AddEntry,
    AddFlow,
    AddVnic,
    DropEntry,
    DropFlow,
    DropPolicy,
    DropRow,
    DropVnic,
    device_of,
)

#: Who reports what is not so.
FORGER = "forger"
_REQUESTS = (SpawnRequested, InstanceDeleteRequested, InstanceDriftRequested)


class Stage:
    """Where actions happen. What an action picks from is what there is when it happens."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._chance: random.Random = dice(site.seed, "stage")

    def perform(self, action: AnyAction) -> None:
        """Do it now."""
        match action:
            case Ask():
                self._ask(action)
            case Tamper(trick=trick, pick=pick):
                self._tamper(trick, pick)
            case Copy():
                self._copy(action)
            case Forge(pick=pick, kind=kind, host=host):
                self._forge(pick, kind, host)
            case SetDevices(plan=plan):
                self._site.devices.set_faults(plan)
                self._site.counts["leaf broken"] += len(plan.broken)
            case SetPower(change=change):
                self._site.set_hosts(change)
            case _:
                self._disturb(action)

    def _disturb(self, action: Crash | RunTwin | SetHabit | SetBus | SetHands) -> None:
        """What happens to processes."""
        for process in self._site.named(action.process):
            match action:
                case Crash(down_s=down_s):
                    process.crash(down_s)
                case RunTwin(for_s=for_s):
                    self._site.run_twin(process, for_s)
                case SetHabit(habit=habit):
                    process.habit = habit
                case SetBus(faults=faults):
                    process.client.faults = faults
                case SetHands(unavailable=unavailable, leftovers=leftovers):
                    process.hands.unavailable, process.hands.leftovers = unavailable, leftovers
        self._site.store.wake()

    def _ask(self, action: Ask) -> None:
        number = action.request
        self._site.publish(
            Envelope(id=number, event=action.event, correlation=number, actor=action.actor, time_us=now_us())
        )

    def _copy(self, action: Copy) -> None:
        store = self._site.store
        said = [r for r in store.records if not action.of or name_of(type(r.event)) == action.of]
        r = said[int(action.pick * len(said))] if said else None
        if r is None or r.actor == FORGER:  # a forgery said again could be of a claim that there is by then
            return
        envelope = store.copy(r)
        if action.anew and isinstance(r.event, _REQUESTS):
            envelope = Envelope(
                id=f"again-{envelope.id}",
                event=r.event,
                correlation=f"again-{envelope.id}",
                actor="publisher",
                time_us=now_us(),
            )
        if store.inject(envelope):
            self._site.counts["copied"] += 1

    def _forge(self, pick: float, kind: int, host: str) -> None:
        ports = list(self._site.mirror.views.rows("ports").values())
        if not ports:
            return
        port: PortRow = ports[int(pick * len(ports))]
        reports = _reports(port, host)
        envelope = Envelope(
            id=f"forged-{self._site.store.copy_id()}",
            event=reports[kind % len(reports)],
            correlation="forged",
            actor=FORGER,
            time_us=now_us(),
        )
        if self._site.store.inject(envelope):
            self._site.counts["forged"] += 1

    def _leak(self) -> None:
        """A call of our account that nobody remembers has made an ENI under our tag."""
        if CLOUD not in self._site.fabric.devices_of("cloud"):
            return
        self._site.auditor.excuse(CLOUD)
        number = self._site.counts["tampered: leak eni"] = self._site.counts["tampered: leak eni"] + 1
        port = f"ghost{number}-0"
        effect = EnsureEni(
            device=CLOUD,
            port=port,
            az=AZ,
            epoch=1,
            subnet="s1",
            vpc="v1",
            ip=f"10.9.0.{number}",
            secondary_ips=(),
            generation=1,
        )
        self._site.fabric.perform(effect)

    def _tamper(self, trick: Trick, pick: float) -> None:
        if trick == "leak eni":
            self._leak()
            return
        acts = self._acts(trick)
        if not acts:
            return
        act = acts[int(pick * len(acts))]
        self._site.auditor.excuse(device_of(act))
        try:
            self._site.devices.tamper([act])
        except ValueError:  # a leaf cannot carry what is added
            return
        self._site.counts[f"tampered: {trick}"] += 1
        self._site.judge()

    def _acts(self, trick: Trick) -> list[Act]:
        """All that could be done now, in a fixed order."""
        fabric = self._site.fabric
        hosts = [fabric.host(name) for name in fabric.hosts]
        leaves = [fabric.leaf(name) for name in fabric.leaves]
        match trick:
            case "drop vnic":
                return [DropVnic(host.host, port) for host in hosts for port in sorted(host.vnics)]
            case "drop flow":
                return [DropFlow(host.host, port) for host in hosts for port in sorted(host.flows)]
            case "drop policy":
                return [DropPolicy(host.host, port) for host in hosts for port in sorted(host.policies)]
            case "drop entry":
                return [
                    DropEntry(leaf.leaf, interface, vlan)
                    for leaf in leaves
                    for interface, vlans in sorted(leaf.interfaces.items())
                    for vlan in sorted(vlans)
                ]
            case "add vnic":
                ip, mac = "10.9.9.9", "fa:16:0a:09:09:09"
                return [AddVnic(host.host, f"odd{n}-0", mac, ip, 24, "10.9.9.1") for n, host in enumerate(hosts)]
            case "add flow":
                mac = "fa:16:0a:09:09:09"
                return [AddFlow(host.host, f"odd{n}-0", mac, 4000) for n, host in enumerate(hosts)]
            case "leak eni":
                return []
            case "drop row":
                return _rows(fabric)
            case "add entry":
                pairs = [fabric.uplinks(host.host) for host in hosts]
                return [
                    AddEntry(uplink.leaf.leaf, uplink.interface, 4001, 4001, "odd", "10.9.9.1/24")
                    for pair in pairs
                    for uplink in pair
                ]


def _reports(port: PortRow, host: str) -> list[AnyEvent]:
    """What could be said of a claim that is not the port's."""
    generation = port.generation + 1 if host == port.host else port.generation
    say: Claim = {"port": port.port, "az": port.az, "host": host, "generation": generation}
    return [
        PortPlugged(**say, received_us=1),
        PortPlugFailed(**say, reason="forged"),
        PortUnderlayReported(**say, status="ACTIVE", detected_us=1),
        PortUnderlayReported(**say, status="ERROR", detected_us=1, reason="forged"),
        PortBindRequested(**say),
        PortBound(**say, vlan=port.vlan, vni=port.vni),
        PortUnplugged(**say),
        PortDeleteRequested(**say),
        PortUnderlayRemoved(**say),
        PortOverlayReported(**say, status="ACTIVE"),
        PortOverlayReported(**say, status="ERROR", reason="forged"),
        PortUnbound(**say, vlan=port.vlan, vni=port.vni),
        PortOverlayRemoved(**say),
    ]


def _rows(fabric: Fabric) -> list[Act]:
    """Every entry of every table of every device."""
    where: list[tuple[Sequence[str], DeviceTable]] = [
        (fabric.hosts, "blocks"),
        (fabric.leaves, "trunk"),
        (fabric.leaves, "blocks"),
        (fabric.devices_of("router"), "gateways"),
        (fabric.devices_of("border"), "border"),
    ]
    return [DropRow(name, table, key) for names, table in where for name in names for key in fabric.table(name, table)]
