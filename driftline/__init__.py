"""driftline: the event-sourced control plane of a data-centre network.

What a publisher outside needs: ``connect``, the events, and nothing else.
"""

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
