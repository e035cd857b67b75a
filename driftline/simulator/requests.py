"""What users and operators ask for in a run, drawn from its chance."""

import random
from collections.abc import Iterable

from bus.events import (
    AnyEvent,
    HostAuditRequested,
    HostDrainRequested,
    HostFailRequested,
    HostReturnRequested,
    InstanceDeleteRequested,
    InstanceDriftRequested,
    LeafAuditRequested,
    LeafMacClearRequested,
    PortCreateRequested,
    SpawnRequested,
)
from bus.events.instance import Kind
from driftline.simulator.actions import Ask
from driftline.simulator.worlds import AZ, Place

#: (network, label): mostly right.
_SOURCES = (("n1", None), ("n1", None), ("n2", None), ("n3", None), (None, "prod"), (None, "prod"), (None, "test"))
#: Requests that are wrong: (network, label, host).
_WRONG = (("n9", None, None), (None, "none", None), ("n1", "prod", None), ("n1", None, "h9"))


class Requests:
    """Makes requests and remembers what it asked for, so that later ones are about something."""

    def __init__(self, chance: random.Random, place: Place) -> None:
        self.asked: list[Ask] = []
        #: Instances that were asked for, and when; a deleted one stays in.
        self.spawned: dict[str, float] = {}
        self._chance = chance
        self._place = place
        self._deleted: set[str] = set()
        self._names = 0

    def mixed(self, start_s: float, end_s: float, count: int, weights: dict[str, float]) -> None:
        """``count`` requests at random times; ``weights`` says how often each kind (a method's name) is asked for."""
        times = sorted(self._chance.uniform(start_s, end_s) for _ in range(count))
        for at_s in times:
            kind = self._chance.choices(list(weights), list(weights.values()))[0]
            getattr(self, kind)(at_s)

    def spawn(
        self,
        at_s: float,
        *,
        network: str | None = None,
        label: str | None = None,
        host: str | None = None,
        kind: Kind = "container",
        app: str = "",
    ) -> str:
        """One instance, anywhere or as told, a pod of ``app`` if that is given. Returns its id."""
        self._names += 1
        instance = f"i{self._names}"
        if network is None and label is None:
            network, label = self._chance.choice(_SOURCES)
        labels = {"app": "web", "pod": self._chance.choice("abcdefgh")} if self._chance.random() < 0.2 else {}
        labels = {"app": app, "pod": instance} if app else labels
        name = f"name-{self._names if self._chance.random() < 0.9 else 1}"
        event = SpawnRequested(
            instance=instance, name=name, az=AZ, network=network, label=label, host=host, labels=labels, kind=kind
        )
        self.ask(at_s, event)
        self.spawned[instance] = at_s
        return instance

    def bare(self, at_s: float) -> None:
        """A host of bare metal is wanted."""
        self.spawn(at_s, kind="bm")

    def pinned(self, at_s: float) -> None:
        """A spawn on a host of its own choice."""
        self.spawn(at_s, host=self._chance.choice(self._place.hosts))

    def burst(self, at_s: float) -> None:
        """Several instances of one network at once."""
        network = self._chance.choice(self._place.networks)
        for _ in range(self._chance.randint(3, 6)):
            self.spawn(at_s, network=network)

    def wrong(self, at_s: float) -> None:
        """A spawn that must be refused, or one of an id that is in use."""
        if self.spawned and self._chance.random() < 0.3:
            instance = self._chance.choice(list(self.spawned))
            event = SpawnRequested(instance=instance, name=f"again-{instance}", az=AZ, network="n1")
        else:
            self._names += 1
            network, label, host = self._chance.choice(_WRONG)
            name = f"i{self._names}"
            event = SpawnRequested(instance=name, name=name, az=AZ, network=network, label=label, host=host)
        self.ask(at_s, event)

    def delete(self, at_s: float) -> None:
        """One instance is to go: mostly one that is there."""
        instance = self._any(at_s)
        if instance is not None:
            self._deleted.add(instance)
            self.ask(at_s, InstanceDeleteRequested(instance=instance))

    def drift(self, at_s: float) -> None:
        """One instance died and is launched again, somewhere or on a certain host."""
        instance = self._any(at_s)
        if instance is not None:
            self.drift_of(at_s, instance)

    def drift_twice(self, at_s: float) -> None:
        """A drift of a drift: the second comes while the first is under way."""
        instance = self._any(at_s)
        if instance is not None:
            self.drift_of(at_s, instance)
            self.drift_of(at_s + self._chance.uniform(0, 0.6), instance)

    def drift_back(self, at_s: float) -> None:
        """There and back, to one host and at once to another."""
        instance = self._any(at_s)
        if instance is not None:
            first, second = self._chance.sample(self._place.hosts, 2)
            for number, host in enumerate((first, second, first)):
                self.drift_of(at_s + number * self._chance.uniform(0, 1.0), instance, host)

    def drift_and_delete(self, at_s: float) -> None:
        """A delete meets a drift, the one first or the other."""
        instance = self._any(at_s)
        if instance is not None:
            self._deleted.add(instance)
            gap_s = self._chance.uniform(-0.5, 0.8)
            self.drift_of(at_s + max(0.0, -gap_s), instance)
            self.ask(at_s + max(0.0, gap_s), InstanceDeleteRequested(instance=instance))

    def spawn_and_delete(self, at_s: float) -> None:
        """A delete while the spawn is under way."""
        instance = self.spawn(at_s)
        self._deleted.add(instance)
        self.ask(at_s + self._chance.uniform(0, 1.0), InstanceDeleteRequested(instance=instance))

    def drift_of(self, at_s: float, instance: str, host: str | None = None) -> None:
        """The instance is to be launched again, on ``host``, or on any or a random one."""
        if host is None and self._chance.random() < 0.5:
            host = self._chance.choice((*self._place.hosts, *self._place.hosts, "h9"))
        self.ask(at_s, InstanceDriftRequested(instance=instance, host=host, reason="it died"))

    def orphan(self, at_s: float) -> None:
        """A port that no instance owns: somebody asked for it in the name of one that never was."""
        self._names += 1
        name = f"ghost{self._names}"
        host, network = self._chance.choice(self._place.hosts), self._chance.choice(self._place.networks)
        event = PortCreateRequested(port=f"{name}-0", az=AZ, host=host, name=name, instance=name, network=network)
        self.ask(at_s, event, "compute")

    def fail_host(self, at_s: float, host: str | None = None) -> None:
        """An operator declares a host dead."""
        event = HostFailRequested(host=host or self._chance.choice(self._place.hosts), reason="smoke")
        self.ask(at_s, event, "operator")

    def drain_host(self, at_s: float, host: str | None = None) -> None:
        """An operator wants a host empty."""
        self.ask(at_s, HostDrainRequested(host=host or self._chance.choice(self._place.hosts)), "operator")

    def return_host(self, at_s: float, host: str | None = None) -> None:
        """An operator gives a host back."""
        self.ask(at_s, HostReturnRequested(host=host or self._chance.choice(self._place.hosts)), "operator")

    def clear_mac(self, at_s: float, leaf: str, vni: int, mac: str) -> None:
        """An operator clears a MAC, whether a leaf has frozen it or not."""
        self.ask(at_s, LeafMacClearRequested(leaf=leaf, az=AZ, vni=vni, mac=mac), "operator")

    def audit(self, at_s: float) -> None:
        """An operator has one device compared with the log."""
        if self._chance.random() < 0.5:
            event: AnyEvent = HostAuditRequested(host=self._chance.choice(self._place.hosts), az=AZ)
        else:
            event = LeafAuditRequested(leaf=self._chance.choice(self._place.leaves), az=AZ)
        self.ask(at_s, event, "operator")

    def _any(self, at_s: float) -> str | None:
        """An instance that was asked for a while ago, mostly one that is not deleted."""
        old = [name for name, since_s in self.spawned.items() if at_s - since_s > 2.0]
        alive = [name for name in old if name not in self._deleted]
        names = alive if alive and self._chance.random() < 0.9 else old
        return self._chance.choice(names) if names else None

    def ask(self, at_s: float, event: AnyEvent, actor: str = "publisher") -> None:
        """Have ``actor`` publish ``event`` at this time."""
        self.asked.append(Ask(at_s=at_s, event=event, request=f"q{len(self.asked) + 1}", actor=actor))


def in_order(asked: Iterable[Ask]) -> list[Ask]:
    """By time; what is asked at the same moment stays in order."""
    return sorted(asked, key=lambda ask: ask.at_s)
