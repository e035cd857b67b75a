"""The tables of devices in words, the same for who wishes them and for who holds them: key and value of each entry.

``AuditTable`` compares them; see ``bus.events.DeviceTable``.
"""

from collections.abc import Iterable

CARRIED, SHUT, HELD = "carried", "shut", "held"


def trunk(vlans: Iterable[int], shut: Iterable[str]) -> dict[str, str]:
    """The provider VLANs that a leaf carries, and its interfaces that are shut."""
    return {f"vlan {vlan}": CARRIED for vlan in vlans} | {f"interface {name}": SHUT for name in shut}


def gateway(address: str, vrf: str) -> str:
    """A router's interface in a VLAN, which is the key: ``address`` has its prefix length."""
    return f"{address} in VRF {vrf}"


def border(kind: str, one: str, other: str) -> str:
    """The key of a border's entry; it is held or it is not."""
    return f"{kind} {one} {other}"


def block(kind: str, host: str, vrf: str, gateway_ip: str) -> str:
    """The way to a block, whose CIDR is the key."""
    return f"{kind} {host} in VRF {vrf} gateway {gateway_ip}"
