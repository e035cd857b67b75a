"""What a port's planes are by what was reported, and what policy has a say in. PURE."""

from projections.port_rows import PortRow

#: What is marked of a port that its planes depend on.
OF_PLANES = frozenset({"bound", "unbound", "unplugged", "underlay_removed", "overlay_removed"})


def enforced(underlay: str, report: str, removed: bool) -> str:
    """The underlay of a port whose policy must be in place: until it is, the port is closed, and so not ACTIVE."""
    if removed or underlay == "ERROR":
        return underlay
    if report == "ERROR":
        return "ERROR"
    return underlay if report == "ACTIVE" else "DOWN"


def still(row: PortRow, *others: str) -> str:
    """The reason that is still to be told: of what else is in error."""
    return row.reason if "ERROR" in others else ""


def plane(by: str, report: str, bound: bool, removed: bool) -> str:
    """One plane's status: what was last reported for the current claim, once the port is bound and while it lasts.

    A plane that nobody reports does not apply, and is ACTIVE unless something on its side of the port failed.
    """
    if removed:
        return "DOWN"
    if not report:
        return "DOWN" if by else "ACTIVE"
    return report if bound or report == "ERROR" else "DOWN"
