"""A leaf: which VLAN each interface carries, the VNI it is mapped to, and the anycast gateways (Figure 10, step 11).

A VLAN means one bridge domain on the whole leaf, so it maps to one VNI over all interfaces (RFC 7348, RFC 8365).
"""

from typing import TypeVar

import msgspec

from bus.events import LEAF_CAPACITY
from bus.events.device import DeviceTable
from workers import tables
from workers.devices.simulated.blocks import BlockEntry, BlockTable
from workers.devices.simulated.trunk import Trunk
from workers.effects import AnyEffect, BlockRoute, LeafVlan, ShutInterface, TrunkVlan

K = TypeVar("K")
L = TypeVar("L")

#: How many (interface, VLAN) entries a leaf holds unless told otherwise.
DEFAULT_CAPACITY = LEAF_CAPACITY


class Entry(msgspec.Struct, frozen=True):
    """One VLAN on one interface. ``gateway``: anycast address and prefix length of the VNI, in ``vrf``."""

    vni: int
    vrf: str
    gateway: str


class LeafState(msgspec.Struct, frozen=True, tag=True):
    """All that a leaf holds, for a journal or a dump: (interface, VLAN, entry) and (interface, VLAN, epoch).

    ``trunk``, ``shut`` and ``trunk_epochs`` are what ``Trunk.state`` gives.
    """

    leaf: str
    entries: list[tuple[str, int, Entry]]
    epochs: list[tuple[str, int, int]]
    trunk: list[int] = []
    shut: list[str] = []
    trunk_epochs: dict[str, int] = {}
    blocks: dict[str, BlockEntry] = {}
    block_epochs: dict[str, int] = {}


class Vni(msgspec.Struct):
    """A VNI that some interface of the leaf carries. ``gateways`` counts the entries that ask for each address."""

    vrf: str
    gateways: dict[str, int] = {}

    @property
    def entries(self) -> int:
        """How many (interface, VLAN) entries map to this VNI."""
        return sum(self.gateways.values())


class LeafDevice:
    """One leaf. ``interfaces`` is {interface: {VLAN: entry}}; read it, change it through ``apply``.

    ``vtep`` is its VXLAN tunnel address, ``capacity`` the size of its table of (interface, VLAN) entries, ``trunk``
    what it does for provider networks.
    """

    def __init__(self, leaf: str, vtep: str, capacity: int = DEFAULT_CAPACITY, az: str = "") -> None:
        self.leaf = leaf
        self.az = az
        self.vtep = vtep
        self.capacity = capacity
        self.size = 0
        self.trunk = Trunk()
        self.blocks = BlockTable()
        self.interfaces: dict[str, dict[int, Entry]] = {}
        self.vnis: dict[int, Vni] = {}
        self._on_vlan: dict[int, dict[str, Entry]] = {}
        self._epochs: dict[tuple[str, int], int] = {}

    def apply(self, effect: AnyEffect) -> str:
        """Bring the leaf to what ``effect`` wishes. Returns why it could not, then no entry changed; or ``""``.

        An epoch older than the last one taken for the interface and VLAN succeeds without a change.
        """
        match effect:
            case LeafVlan():
                return self._carry(effect)
            case TrunkVlan(vlan=vlan, epoch=epoch, present=present):
                return self._trunk(vlan, epoch, present=present)
            case ShutInterface(interface=interface, epoch=epoch, shut=shut):
                self.trunk.set_shut(interface, epoch, shut=shut)
                return ""
            case BlockRoute():
                return self.blocks.perform(effect)
            case _:
                return f"leaf {self.leaf}: a leaf cannot perform {type(effect).__name__}"

    def _carry(self, effect: LeafVlan) -> str:
        key = effect.interface, effect.vlan
        if effect.epoch < self._epochs.get(key, 0):
            return ""
        # Also when it is then refused: an older wish that arrives late must not land in place of a newer one.
        self._epochs[key] = effect.epoch
        if not effect.present:
            self.drop(*key)
            return ""
        return self.put(*key, Entry(effect.vni, effect.vrf, effect.gateway))

    def _trunk(self, vlan: int, epoch: int, *, present: bool) -> str:
        carried = self._on_vlan.get(vlan, {}) if present else {}
        for interface, entry in carried.items():
            return f"leaf {self.leaf}: VLAN {vlan} is VNI {entry.vni} on {interface}, it cannot be a provider network's"
        self.trunk.carry(vlan, epoch, present=present)
        return ""

    def put(self, interface: str, vlan: int, entry: Entry) -> str:
        """Carry ``entry``, whatever the epoch. Returns why the leaf cannot, then no entry changed; or ``""``."""
        error = self._refusal(interface, vlan, entry)
        if not error:
            self.drop(interface, vlan)
            self._add(interface, vlan, entry)
        return error

    def drop(self, interface: str, vlan: int) -> None:
        """Carry ``vlan`` on ``interface`` no more, whatever the epoch."""
        entry = self.entry(interface, vlan)
        if entry is None:
            return
        self.size -= 1
        _pop(self.interfaces, interface, vlan)
        _pop(self._on_vlan, vlan, interface)
        gateways = self.vnis[entry.vni].gateways
        gateways[entry.gateway] -= 1
        if not gateways[entry.gateway]:
            del gateways[entry.gateway]
        if not gateways:  # no interface carries it any more
            del self.vnis[entry.vni]

    def entry(self, interface: str, vlan: int) -> Entry | None:
        """What ``vlan`` is mapped to on ``interface``; None if the interface does not carry it."""
        vlans = self.interfaces.get(interface)
        return None if vlans is None else vlans.get(vlan)

    def table(self, name: DeviceTable) -> dict[str, str]:
        """What the leaf holds of this table (``workers.tables``)."""
        match name:
            case "trunk":
                return tables.trunk(self.trunk.vlans, self.trunk.shut)
            case "blocks":
                return self.blocks.table()
            case _:
                return {}

    def drop_row(self, name: DeviceTable, key: str) -> None:
        """Hold this entry of the table no more, whatever the epoch."""
        what, _, value = key.partition(" ")
        if name == "blocks":
            del self.blocks.entries[key]
        elif what == "vlan":
            self.trunk.vlans.discard(int(value))
        else:
            self.trunk.shut.discard(value)

    def access_vlan(self, interface: str) -> int:
        """The VLAN of untagged frames on ``interface``: the one that it carries. 0 if it carries none, or several."""
        vlans = self.interfaces.get(interface, {})
        return next(iter(vlans)) if len(vlans) == 1 else 0

    def state(self) -> LeafState:
        """All that the leaf holds, in the order of names."""
        entries = [
            (interface, vlan, vlans[vlan])
            for interface, vlans in sorted(self.interfaces.items())
            for vlan in sorted(vlans)
        ]
        epochs = [(interface, vlan, epoch) for (interface, vlan), epoch in sorted(self._epochs.items())]
        return LeafState(self.leaf, entries, epochs, *self.trunk.state(), *self.blocks.state())

    def restore(self, state: LeafState) -> None:
        """Hold what ``state`` says and nothing else."""
        self.size, self.interfaces, self.vnis, self._on_vlan = 0, {}, {}, {}
        for interface, vlan, entry in state.entries:
            self._add(interface, vlan, entry)
        self._epochs = {(interface, vlan): epoch for interface, vlan, epoch in state.epochs}
        self.trunk.restore(state.trunk, state.shut, state.trunk_epochs)
        self.blocks.restore(state.blocks, state.block_epochs)

    def _refusal(self, interface: str, vlan: int, entry: Entry) -> str:
        """Why the leaf cannot carry ``entry``, or ``""``. What it would replace does not stand in its way."""
        if vlan in self.trunk.vlans:
            return f"leaf {self.leaf}: VLAN {vlan} is a provider network's, it cannot be VNI {entry.vni}"
        carried = self._on_vlan.get(vlan, {})
        old = carried.get(interface)
        if old is None and self.size >= self.capacity:
            return f"leaf {self.leaf}: table full, all {self.capacity} entries are taken"
        other = next((name for name in carried if name != interface), None)  # the others agree with each other
        if other is not None and carried[other].vni != entry.vni:
            return f"leaf {self.leaf}: VLAN {vlan} is VNI {carried[other].vni} on {other}, it cannot be VNI {entry.vni}"
        vni = self.vnis.get(entry.vni)
        alone = vni is not None and old is not None and old.vni == entry.vni and vni.entries == 1
        if vni is not None and vni.vrf != entry.vrf and not alone:
            return f"leaf {self.leaf}: VNI {entry.vni} is in VRF {vni.vrf}, it cannot be in VRF {entry.vrf}"
        return ""

    def _add(self, interface: str, vlan: int, entry: Entry) -> None:
        self.size += 1
        self.interfaces.setdefault(interface, {})[vlan] = entry
        self._on_vlan.setdefault(vlan, {})[interface] = entry
        gateways = self.vnis.setdefault(entry.vni, Vni(entry.vrf)).gateways
        gateways[entry.gateway] = gateways.get(entry.gateway, 0) + 1


def _pop(table: dict[K, dict[L, Entry]], outer: K, inner: L) -> None:
    """Remove ``table[outer][inner]``, and the inner dict once it is empty."""
    del table[outer][inner]
    if not table[outer]:
        del table[outer]
