"""driftline: the event-sourced control plane of a data-centre network.

What a publisher outside needs: ``connect``, the events, and nothing else. Loaded when first used, because the command
line lives in this package too and most commands need none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bus.errors import BusError, LogUnavailable
    from bus.events import InstanceDeleteRequested, InstanceDriftRequested, SpawnRequested
    from driftline.client import Client, Published, connect
    from driftline.outcomes import Outcome

__all__ = [
    "BusError",
    "Client",
    "InstanceDeleteRequested",
    "InstanceDriftRequested",
    "LogUnavailable",
    "Outcome",
    "Published",
    "SpawnRequested",
    "connect",
]

_HOMES = {
    "bus.errors": ("BusError", "LogUnavailable"),
    "bus.events": ("InstanceDeleteRequested", "InstanceDriftRequested", "SpawnRequested"),
    "driftline.client": ("Client", "Published", "connect"),
    "driftline.outcomes": ("Outcome",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
