"""What a device holds about blocks of addresses: its own, tunnels to those of others, announcements that it accepts."""

import msgspec

from workers import tables
from workers.effects import BlockRoute


class BlockEntry(msgspec.Struct, frozen=True):
    """One block. ``kind``: see ``bus.events.RouteKind``; ``host`` is whose it is."""

    kind: str
    host: str
    vrf: str
    gateway: str


class BlockTable:
    """The blocks that one host or leaf knows, by CIDR. An older epoch than the last one taken changes nothing."""

    def __init__(self) -> None:
        self.entries: dict[str, BlockEntry] = {}
        self._epochs: dict[str, int] = {}

    def perform(self, effect: BlockRoute) -> str:
        """Bring the block to what ``effect`` wishes."""
        if effect.epoch >= self._epochs.get(effect.cidr, 0):
            self._epochs[effect.cidr] = effect.epoch
            self.entries.pop(effect.cidr, None)
            if effect.present:
                self.entries[effect.cidr] = BlockEntry(effect.kind, effect.host, effect.vrf, effect.gateway)
        return ""

    def own(self) -> dict[str, BlockEntry]:
        """The blocks that the host takes for its own."""
        return {cidr: entry for cidr, entry in self.entries.items() if entry.kind.startswith("own")}

    def table(self) -> dict[str, str]:
        """The blocks in the words of ``workers.tables``."""
        return {cidr: tables.block(e.kind, e.host, e.vrf, e.gateway) for cidr, e in self.entries.items()}

    def state(self) -> tuple[dict[str, BlockEntry], dict[str, int]]:
        """The blocks and their epochs, in order."""
        return dict(sorted(self.entries.items())), dict(sorted(self._epochs.items()))

    def restore(self, entries: dict[str, BlockEntry], epochs: dict[str, int]) -> None:
        """Hold this and nothing else."""
        self.entries, self._epochs = dict(entries), dict(epochs)
