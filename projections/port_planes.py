"""What becomes of a port's underlay and its reason where policy has a say. PURE."""

from projections.port_rows import PortRow


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
