"""Effects on what carries no single port: borders, trunks of provider VLANs, the core router, and ways to blocks."""

from workers.effect import Effect, Slot


class BorderEntry(Effect, frozen=True, kw_only=True):
    """The border leaks routes between two VRFs, or uses a line from a spoke to a hub; or not (``present``).

    A border ignores an ``epoch`` older than the last one it took for this entry.
    """

    az: str
    kind: str
    one: str
    other: str
    epoch: int
    present: bool

    @property
    def slot(self) -> Slot:
        return (self.device, self.kind, self.one, self.other)

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return not self.present


class TrunkVlan(Effect, frozen=True, kw_only=True):
    """The leaf bridges a provider VLAN between its interfaces, the other leaves and the router; or, where an audit has
    found one that is no network's, it does not (``present``). Asked for by CNC.
    """

    az: str
    vlan: int
    epoch: int
    present: bool = True

    @property
    def slot(self) -> Slot:
        return (self.device, "trunk", str(self.vlan))

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True  # it takes nothing away, but is tried until it succeeds: nobody would ask for it again


class ShutInterface(Effect, frozen=True, kw_only=True):
    """Nothing goes in or out by the leaf's interface (``shut``), or all that is configured does. Asked for by CNC.

    A leaf ignores an ``epoch`` older than the last one it took for the interface.
    """

    az: str
    interface: str
    shut: bool
    epoch: int

    @property
    def slot(self) -> Slot:
        return (self.device, "interface", self.interface)

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True  # both ways: a living host must not stay cut off either


class RouterGateway(Effect, frozen=True, kw_only=True):
    """The router holds ``address`` (with its prefix length) in this VLAN, and no other there; or, where an audit has
    found one that is no network's, none (``present``). Asked for by core-router.

    It routes between the VLANs of a ``vrf``. A router ignores an ``epoch`` older than the last one of the VLAN.
    """

    network: str
    vlan: int
    vrf: str
    address: str
    epoch: int
    present: bool = True

    @property
    def slot(self) -> Slot:
        return (self.device, "gateway", str(self.vlan))

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True  # as TrunkVlan: a whole network waits for it


class BlockRoute(Effect, frozen=True, kw_only=True):
    """The device knows the way to the block ``cidr`` of ``host``, or does not (``present``). See ``RouteKind``.

    ``gateway`` is what the host answers to as the block's own. An ``epoch`` older than the last one taken is ignored.
    """

    az: str
    cidr: str
    kind: str
    host: str
    vrf: str
    gateway: str
    epoch: int
    present: bool

    @property
    def slot(self) -> Slot:
        return (self.device, "block", self.cidr)

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True  # tried until it succeeds: a way that one host lacks would be a hole for ever
