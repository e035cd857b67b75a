"""What a host holds, told as plainly as can be and independently of ``workers.devices.simulated``: the tests' judge.

A generation that is over is an element of a set, not a number to compare with; an audit is a difference of sets.
"""

from typing import NamedTuple

from workers.devices.simulated.fabric import SetHosts
from workers.devices.simulated.tamper import AddFlow, AddVnic, DropFlow, DropVnic
from workers.effects import AuditHost, InstallFlows, PlugVnic, RemoveFlows, ResyncFlows, ResyncHost, UnplugVnic

#: (part, port, generation)
Thing = tuple[str, str, int]
#: (part, port, generation, missing), as in ``HostDifference``.
Found = set[tuple[str, str, int, bool]]


class PlainVnic(NamedTuple):
    generation: int
    mac: str
    ip: str


class PlainFlow(NamedTuple):
    generation: int
    mac: str
    vlan: int


class PlainHost:
    """``touched``: the ports whose flows were put in anew by the last effect."""

    def __init__(self) -> None:
        self.vnics: dict[str, PlainVnic] = {}
        self.flows: dict[str, PlainFlow] = {}
        self.cookies: dict[str, int] = {}
        self.touched: set[str] = set()
        self.over: set[Thing] = set()
        self.cookie = 0
        self.cleaned = 0
        self.powered = True
        self.reachable = True

    def do(self, effect: object, part: float = 1.0) -> tuple[bool, Found]:
        """Whether ``effect`` was performed, and what was found."""
        self.touched = set()
        if not (self.powered and self.reachable):
            return False, set()
        match effect:
            case PlugVnic(port=port, generation=generation):
                return self._plug(port, PlainVnic(generation, effect.mac, effect.ip)), set()
            case InstallFlows(port=port, generation=generation):
                return self._install(port, PlainFlow(generation, effect.mac, effect.vlan), effect.cookie), set()
            case UnplugVnic(port=port, generation=generation):
                self._take("vnic", port, generation)
            case RemoveFlows(port=port, generation=generation):
                self._take("flows", port, generation)
            case ResyncHost():
                return True, self._clean(effect, part)
            case ResyncFlows():
                return True, self._renew(effect, part)
            case AuditHost():
                return True, self._compare(effect)
        return True, set()

    def meddle(self, act: object) -> None:
        match act:
            case AddVnic():
                self.vnics[act.port] = PlainVnic(act.generation, act.mac, act.ip)
            case AddFlow():
                self.flows[act.port], self.cookies[act.port] = PlainFlow(act.generation, act.mac, act.vlan), 0
            case DropVnic():
                self.vnics.pop(act.port, None)
            case DropFlow():
                self.flows.pop(act.port, None)

    def switch(self, change: SetHosts) -> None:
        self.powered = bool(change.power_on) or (self.powered and not change.power_off)
        self.reachable = bool(change.reconnect) or (self.reachable and not change.cut_off)

    def _plug(self, port: str, vnic: PlainVnic) -> bool:
        if ("vnic", port, vnic.generation) in self.over:
            return False
        self._end("vnic", port, vnic.generation - 1)
        self.vnics[port] = vnic
        return True

    def _install(self, port: str, flow: PlainFlow, cookie: int) -> bool:
        if {("vnic", port, flow.generation), ("flows", port, flow.generation)} & self.over:
            return False
        if port not in self.vnics or self.vnics[port].generation != flow.generation:
            return False
        self._end("flows", port, flow.generation - 1)
        self.cookie = max(cookie, self.cookie)
        self.cookies[port] = self.cookie
        if self.flows.get(port) != flow:
            self.flows[port] = flow
            self.touched.add(port)
        return True

    def _take(self, part: str, port: str, generation: int) -> None:
        self._end(part, port, generation)
        held: dict[str, PlainVnic] | dict[str, PlainFlow] = self.vnics if part == "vnic" else self.flows
        if port in held and held[port].generation in range(generation + 1):
            del held[port]

    def _end(self, part: str, port: str, generation: int) -> None:
        self.over |= {(part, port, g) for g in range(1, generation + 1)}

    def _held(self) -> set[Thing]:
        vnics = {("vnic", port, vnic.generation) for port, vnic in self.vnics.items()}
        return vnics | {("flows", port, flow.generation) for port, flow in self.flows.items()}

    def _clean(self, effect: ResyncHost, part: float) -> Found:
        if effect.epoch <= self.cleaned:
            return set()
        concerned = sorted({port for _, port, _ in self._held()} | set(effect.keep))
        ports = concerned[: int(len(concerned) * part)]
        gone = {
            (kind, port, generation)
            for kind, port, generation in self._held()
            if port in ports and (port not in effect.keep or generation < effect.keep[port])
        }
        for kind, port, generation in gone:
            self._take(kind, port, generation)
        for port in set(ports) & set(effect.keep):
            self._end("vnic", port, effect.keep[port] - 1)
            self._end("flows", port, effect.keep[port] - 1)
        if part == 1:
            self.cleaned = effect.epoch
        return {(*thing, False) for thing in gone}

    def _renew(self, effect: ResyncFlows, part: float) -> Found:
        if effect.epoch < self.cookie:
            return set()
        self.cookie = effect.epoch
        for port in sorted(effect.flows)[: int(len(effect.flows) * part)]:
            wish = PlainFlow(effect.flows[port].generation, effect.flows[port].mac, effect.flows[port].vlan)
            if port in self.flows and self.flows[port].generation > wish.generation:
                self.cookies[port] = effect.epoch
            else:
                self._install(port, wish, effect.epoch)
        stale = {port for port in self.flows if self.cookies[port] != effect.epoch} if part == 1 else set()
        return {("flows", port, self.flows.pop(port).generation, False) for port in stale}

    def _compare(self, effect: AuditHost) -> Found:
        """On the trunk is what flows use, as long as nobody meddles with the trunk itself."""
        wished = {("vnic", *item) for item in effect.vnics.items()}
        wished |= {("flows", port, wish.generation) for port, wish in effect.flows.items()}
        wrong = {
            ("flows", port, wish.generation)
            for port, wish in effect.flows.items()
            if self.flows.get(port) != PlainFlow(wish.generation, wish.mac, wish.vlan)
        }
        newest = {(kind, port): generation for kind, port, generation in wished}
        without_right = {thing for thing in self._held() - wished if thing[2] < newest.get(thing[:2], 1 << 63)}
        return {(*thing, True) for thing in (wished - self._held()) | wrong} | {
            (*thing, False) for thing in without_right
        }
