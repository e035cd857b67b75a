"""The 24 invariants, and the declared edges of the port FSM (Figure 8): what is checked, not how."""

from typing import Literal

import msgspec

STATUSES = ("ACTIVE", "DOWN", "ERROR")
#: What a port is before it is allocated and after it was deleted.
NONE = "NONE"
Edge = tuple[str, str]


class Violation(AssertionError):
    """An invariant does not hold. ``port`` and ``position`` (in the log) say where, as far as there is a where."""

    def __init__(self, number: int, text: str, port: str = "", position: int = 0) -> None:
        super().__init__(number, text, port, position)
        self.number, self.text, self.port, self.position = number, text, port, position

    def __str__(self) -> str:
        port = f", port {self.port}" if self.port else ""
        return f"invariant {self.number} (position {self.position}{port}): {self.text}"


class Invariant(msgspec.Struct, frozen=True):
    """One of the spec's list. ``gap``: what of it cannot be checked yet, because it does not exist."""

    number: int
    title: str
    when: Literal["always", "quiet"]
    applies: bool = True
    gap: str = ""


_LATER = "these networks do not exist yet (issue 4)"
_ALWAYS = (
    ("no two ports share (VRF, IP) or (L2 segment, MAC); reserved addresses are never given out", True, ""),
    ("at most one port has a given name", True, ""),
    ("per pool: allocated + free + cooling down + reserved = size", True, "no address cools down yet"),
    ("usable iff both planes are ACTIVE for the same host and generation", True, ""),
    ("drift keeps port id, IP, MAC, VRF, VNI and floating IP", True, ""),
    ("a generation never decreases; a report of an older one changes nothing", True, ""),
    ("redelivery and duplicates give identical projections; a rebuild equals live", True, "order between ports"),
    ("every request has exactly one outcome; redelivering it allocates nothing more", True, ""),
    ("per leaf: VLANs in 1-4094, VLAN and VNI one to one, entries within the hardware's cap", True, ""),
    ("a leaf interface carries a VLAN iff a port bound through it needs it", True, ""),
    ("one writer per leaf at a time", True, ""),
    ("an ENI is attached to at most one instance, in its AZ, within the limit", True, ""),
    ("garbage collection frees no address that lives; two looks and a grace period", True, ""),
    ("CIDRs of connected VPCs and of hosts with a local IPAM are disjoint", True, ""),
    ("a restarted OVS agent leaves unchanged flows in place throughout", True, ""),
    ("the port FSM takes declared edges only, Figure 8's counts sum to the live ports", True, ""),
    ("allocation by label takes a matching network, and fails only when all are full", True, ""),
)
_QUIET = (
    "only the current host's leaf pair holds a port's configuration",
    "every port is usable, in ERROR with a cause, or deleted",
    "a failed spawn leaves nothing behind",
    "what the devices hold = what the log says; the port view = CNC's view",
    "a double drift ends on the last host; an old host that comes back is cleaned up and takes nothing",
    "a failed leaf or agent degrades only its own hosts' ports",
)

INVARIANTS: tuple[Invariant, ...] = (
    *(Invariant(n, title, "always", applies, gap) for n, (title, applies, gap) in enumerate(_ALWAYS, 1)),
    *(Invariant(n, title, "quiet") for n, title in enumerate(_QUIET, len(_ALWAYS) + 1)),
    Invariant(
        24, "what policy forbids never gets to a usable port, and nothing does before its rules are there", "always"
    ),
)


#: The overlay is reported once as ACTIVE, or as ERROR and as ACTIVE when its leaf was repaired; it is withdrawn last.
_OVERLAY = (("DOWN", "ACTIVE"), ("DOWN", "ERROR"), ("ERROR", "ACTIVE"))


def _one_plane() -> dict[Edge, str]:
    """The underlay may go from any status to any other, whatever the overlay is: that is why there are two."""
    edges: dict[Edge, str] = {}
    for status in STATUSES:
        for old in STATUSES:
            for new in STATUSES:
                if old != new:
                    edges[f"{old}_{status}", f"{new}_{status}"] = "the underlay was reported, wired anew or withdrawn"
        for old, new in _OVERLAY:
            edges[f"{status}_{old}", f"{status}_{new}"] = "the overlay was reported"
    for old in ("ACTIVE", "ERROR"):
        edges[f"DOWN_{old}", "DOWN_DOWN"] = "unbound, and the leaves are clear"
    return edges


_CLAIMED = "drift: the new claim begins DOWN_DOWN and unbound"
_DIED = "the host died: its underlay is in ERROR, and its leaves carry nothing for it"
#: An edge that is not here is a violation. Both planes at once: only where a claim or a host comes or goes.
EDGES: dict[Edge, str] = {
    **_one_plane(),
    (NONE, "DOWN_DOWN"): "allocated",
    (NONE, "ERROR_DOWN"): "allocated to a host that had died meanwhile",
    **{
        (NONE, pair): "allocated, where a plane does not apply"
        for pair in ("ACTIVE_DOWN", "DOWN_ACTIVE", "ACTIVE_ACTIVE")
    },
    (NONE, "ERROR_ACTIVE"): "the same, to a host that had died meanwhile",
    ("ACTIVE_ACTIVE", "ACTIVE_DOWN"): "drifted, where the underlay does not apply",
    ("ACTIVE_ERROR", "ACTIVE_DOWN"): "the same, from an overlay in error",
    ("ERROR_ACTIVE", "ACTIVE_DOWN"): "the same, from a host in error",
    ("ERROR_ERROR", "ACTIVE_DOWN"): "the same, from both",
    ("DOWN_ACTIVE", "ACTIVE_DOWN"): "the same, while it was being wired anew",
    ("ACTIVE_ACTIVE", "DOWN_DOWN"): "unbound, or drifted",
    ("ACTIVE_ERROR", "DOWN_DOWN"): _CLAIMED,
    ("ERROR_ACTIVE", "DOWN_DOWN"): _CLAIMED,
    ("ERROR_ERROR", "DOWN_DOWN"): _CLAIMED,
    ("ACTIVE_ACTIVE", "ERROR_DOWN"): _DIED,
    ("ACTIVE_ERROR", "ERROR_DOWN"): _DIED,
    ("DOWN_ACTIVE", "ERROR_DOWN"): _DIED,
    ("DOWN_ERROR", "ERROR_DOWN"): _DIED,
    ("ERROR_ACTIVE", "ERROR_DOWN"): _DIED,
    ("ERROR_ERROR", "ERROR_DOWN"): _DIED,
    ("DOWN_DOWN", NONE): "deleted: both planes are clear",
    ("ERROR_DOWN", NONE): "deleted: its host is dead and fenced",
    ("ACTIVE_DOWN", NONE): "deleted, where the underlay does not apply: its host is dead and fenced",
    ("DOWN_ACTIVE", NONE): "deleted, where the overlay does not apply",
    ("ERROR_ACTIVE", NONE): "the same, its host is dead and fenced",
}
