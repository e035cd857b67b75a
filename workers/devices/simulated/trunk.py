"""What a leaf does for provider networks: the VLANs that it bridges everywhere, and the interfaces that are shut.

A trunk carries a VLAN as it is (IEEE 802.1Q) between all interfaces of the leaf, the other leaves and the core router:
no VNI, no VXLAN. So a VLAN is a trunk's or maps to a VNI, never both.
"""


class Trunk:
    """The trunk of one leaf. ``vlans`` and ``shut`` are read; they change through ``carry`` and ``set_shut``.

    Each remembers the newest epoch that it took: an older wish that arrives late changes nothing.
    """

    def __init__(self) -> None:
        self.vlans: set[int] = set()
        self.shut: set[str] = set()
        self._epochs: dict[str, int] = {}

    def carry(self, vlan: int, epoch: int, *, present: bool = True) -> None:
        """Bridge ``vlan`` from now on, or no more."""
        if self._is_news(str(vlan), epoch):
            (self.vlans.add if present else self.vlans.discard)(vlan)

    def set_shut(self, interface: str, epoch: int, *, shut: bool) -> None:
        """Let nothing in or out by ``interface``, or let it again."""
        if self._is_news(interface, epoch):
            (self.shut.add if shut else self.shut.discard)(interface)

    def state(self) -> tuple[list[int], list[str], dict[str, int]]:
        """The VLANs, the interfaces that are shut, and the epochs: as ``restore`` takes them."""
        return sorted(self.vlans), sorted(self.shut), dict(sorted(self._epochs.items()))

    def restore(self, vlans: list[int], shut: list[str], epochs: dict[str, int]) -> None:
        """Hold what ``state`` gave, and nothing else."""
        self.vlans, self.shut, self._epochs = set(vlans), set(shut), dict(epochs)

    def _is_news(self, what: str, epoch: int) -> bool:
        if epoch < self._epochs.get(what, 0):
            return False
        self._epochs[what] = epoch
        return True
