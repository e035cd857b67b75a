"""What the leaves remember of each MAC: mobility sequence numbers and duplicate MACs (RFC 7432, sections 7.7 and 15).

A MAC that comes up below another leaf pair has moved: its sequence number rises by one. A move below the same pair is
none, as both leaves of a pair share the Ethernet segment. A MAC that moves too often within a while is a duplicate
(section 15.1): its routes are frozen until an operator clears it, or an instance of its own is given the MAC anew.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from bus.events import MacDuplicate
from workers.devices.simulated.host import HostDevice
from workers.devices.simulated.leaf import Entry, LeafDevice

#: (VNI, MAC): a MAC means something within one bridge domain only.
MacKey = tuple[int, str]


class DuplicateRule(NamedTuple):
    """A MAC with ``moves`` moves within ``window_us`` microseconds is a duplicate (RFC 7432: N and M)."""

    moves: int = 5
    window_us: int = 180_000_000


def parse_rule(text: str) -> DuplicateRule:
    """The rule that ``text`` ("5/180": moves and seconds) describes. Raises ValueError naming what is wrong."""
    moves, separator, seconds = text.partition("/")
    if not separator or not moves.isdecimal() or not seconds.isdecimal():
        raise ValueError(f"{text!r} is not MOVES/SECONDS, two whole numbers")
    if not 2 <= int(moves) <= 1000:
        raise ValueError(f"moves: {moves} is not between 2 and 1000")
    if not 1 <= int(seconds) <= 86_400:
        raise ValueError(f"seconds: {seconds} is not between 1 and 86400")
    return DuplicateRule(int(moves), int(seconds) * 1_000_000)


class Station(msgspec.Struct, frozen=True, tag=True):
    """What is remembered of one MAC in one VNI.

    ``sequences``: the newest number under which each leaf pair has advertised it. ``moved_us``: when it moved last.
    ``frozen_us``: when it was found to be a duplicate, 0 if it was not. ``port`` is whose MAC it was last.
    """

    vni: int
    mac: str
    port: str
    sequences: dict[str, int]
    moved_us: tuple[int, ...] = ()
    frozen_us: int = 0

    @property
    def key(self) -> MacKey:
        """What it is found by."""
        return self.vni, self.mac

    @property
    def sequence(self) -> int:
        """The newest number of all."""
        return max(self.sequences.values())

    @property
    def pair(self) -> str:
        """The leaf pair that has advertised it last."""
        return max(self.sequences, key=self.sequences.__getitem__)


class Uplink(NamedTuple):
    """One of the two ends of a host's bond."""

    leaf: LeafDevice
    interface: str


class Cabling(Protocol):
    """How hosts hang on leaves."""

    def uplinks(self, host: str) -> tuple[Uplink, Uplink]:
        """The two ends of the host's bond. Raises KeyError."""
        ...


def attached(uplinks: Sequence[Uplink], host: HostDevice, port: str) -> list[tuple[Uplink, int, Entry]]:
    """Below which ends of its host's bond the vNIC of ``port`` is attached: the VLAN there, and the leaf's entry."""
    vlan, untagged = host.vlan_of(port), host.sends_untagged(port)
    found: list[tuple[Uplink, int, Entry]] = []
    for uplink in uplinks if vlan or untagged else ():
        here = uplink.leaf.access_vlan(uplink.interface) if untagged else vlan
        entry = uplink.leaf.entry(uplink.interface, here)
        if entry is not None and uplink.interface not in uplink.leaf.trunk.shut:
            found.append((uplink, here, entry))
    return found


class Mobility:
    """The memory of all leaves, which they have from their hosts' frames and from each other's routes.

    ``now_us`` is the devices' clock, which whoever acts on them sets before. ``changed`` holds what a journal is to
    keep: what cannot be told again from the devices alone.
    """

    def __init__(self, cabling: Cabling, rule: DuplicateRule | None = None) -> None:
        self.rule = rule or DuplicateRule()
        self.now_us = 0
        self.changed: dict[MacKey, Station] = {}
        self._cabling = cabling
        self._stations: dict[MacKey, Station] = {}
        #: Below which pair each vNIC (host, port) is attached now, and under which keys.
        self._at: dict[tuple[str, str], tuple[MacKey, ...]] = {}
        self._count: dict[MacKey, int] = {}

    def get(self, vni: int, mac: str) -> Station | None:
        """What is remembered of ``mac`` in ``vni``."""
        return self._stations.get((vni, mac))

    def sequence(self, vni: int, mac: str, pair: str) -> int:
        """The sequence number under which the leaves of ``pair`` advertise the MAC."""
        station = self._stations.get((vni, mac))
        return station.sequences.get(pair, 0) if station else 0

    def stations(self) -> list[Station]:
        """All that is remembered, in a fixed order."""
        return [self._stations[key] for key in sorted(self._stations)]

    def duplicates(self, leaf: str, known: Collection[MacDuplicate] = ()) -> tuple[MacDuplicate, ...]:
        """The MACs that are duplicates and that ``leaf`` has advertised, but for the findings ``known``."""
        frozen = [station for _, station in sorted(self._stations.items()) if station.frozen_us]
        found = [_finding(station) for station in frozen if any(leaf in pair.split(" ") for pair in station.sequences)]
        return tuple(one for one in found if one not in known)

    def look(self, host: HostDevice, ports: Iterable[str]) -> None:
        """The leaves of ``host`` hear what has become of the vNICs of ``ports``."""
        uplinks = self._cabling.uplinks(host.host)
        for port in ports:
            vnic, at = host.vnics.get(port), (host.host, port)
            now = _keys(uplinks, host, port, vnic.mac) if vnic is not None else ()
            before = self._at.get(at, ())
            if now != before:
                self._leave([key for key in before if key not in now])
                self._at[at] = now
                for key in now:
                    if key not in before:
                        self._learn(key, port, pair_of(uplinks))
                if not now:
                    del self._at[at]

    def hear(self, host: str, port: str) -> None:
        """The leaves of ``host`` hear a frame of ``port``."""
        for key in self._at.get((host, port), ()):
            self._move(self._stations[key], port, pair_of(self._cabling.uplinks(host)))

    def clear(self, vni: int, mac: str) -> str:
        """The operator's corrective action (section 15.1): the MAC is no duplicate any more, and is heard where it is.

        Returns why it cannot be cleared, or ``""``.
        """
        station = self._stations.get((vni, mac))
        if station is None or not station.frozen_us:
            return f"MAC {mac} in VNI {vni} is not frozen"
        self._put(msgspec.structs.replace(station, moved_us=(), frozen_us=0))
        heard = [at for at, keys in self._at.items() if station.key in keys]
        pairs = {pair_of(self._cabling.uplinks(host)): port for host, port in sorted(heard, reverse=True)}
        if pairs and station.pair not in pairs:  # it moved on while nobody listened
            pair = min(pairs)
            self._put(_moved(self._stations[station.key], pairs[pair], pair, ()))
        return ""

    def restore(self, station: Station) -> None:
        """Remember what ``station`` says of the MAC."""
        self._stations[station.key] = station

    def take_changed(self) -> list[Station]:
        """What has changed since it was asked last."""
        changed, self.changed = list(self.changed.values()), {}
        return changed

    def _leave(self, keys: Iterable[MacKey]) -> None:
        for key in keys:
            self._count[key] -= 1
            if not self._count[key]:
                del self._count[key]

    def _learn(self, key: MacKey, port: str, pair: str) -> None:
        elsewhere = self._count.get(key, 0)
        self._count[key] = elsewhere + 1
        old = self._stations.get(key)
        if old is None or (old.port != port and not elsewhere):  # an address that was given out anew has not moved
            self._stations[key] = Station(*key, port, {pair: 0})
        else:
            self._move(old, port, pair)

    def _move(self, old: Station, port: str, pair: str) -> None:
        if old.frozen_us or old.pair == pair:
            return
        moved_us = (*(us for us in old.moved_us if self.now_us - us < self.rule.window_us), self.now_us)
        moved = _moved(old, port, pair, moved_us)
        is_duplicate = len(moved_us) >= self.rule.moves
        self._put(msgspec.structs.replace(moved, frozen_us=max(self.now_us, 1)) if is_duplicate else moved)

    def _put(self, station: Station) -> None:
        self._stations[station.key] = self.changed[station.key] = station


def _moved(old: Station, port: str, pair: str, moved_us: tuple[int, ...]) -> Station:
    sequences = {**old.sequences, pair: old.sequence + 1}
    return msgspec.structs.replace(old, port=port, sequences=sequences, moved_us=moved_us)


def _keys(uplinks: Sequence[Uplink], host: HostDevice, port: str, mac: str) -> tuple[MacKey, ...]:
    """What the leaves hear the vNIC of ``port`` as: the same in both, unless they map its VLAN to different VNIs."""
    vnis = [entry.vni for _, _, entry in attached(uplinks, host, port)]
    return tuple((vni, mac) for vni in dict.fromkeys(vnis))


def _finding(station: Station) -> MacDuplicate:
    return MacDuplicate(
        vni=station.vni,
        mac=station.mac,
        port=station.port,
        sequence=station.sequence,
        detected_us=station.frozen_us,
    )


def pair_of(uplinks: Iterable[Uplink]) -> str:
    """The leaves of an Ethernet segment, in order."""
    return " ".join(sorted(uplink.leaf.leaf for uplink in uplinks))
