"""What IPAM, as the Neutron server, decides on besides ports: requests about networks, VPCs and the like.

Each kind of request has a module of its own, with a table from event types to what answers them.
"""

from collections.abc import Callable, Iterable
from typing import Any

from bus.envelope import Recorded
from bus.events import Event
from workers import cluster_requests, policy_requests
from workers.ipam_state import IpamState
from workers.worker import Decision

#: Answers one request: (state, record, event) -> decisions.
Handler = Callable[[IpamState, Recorded, Any], Iterable[Decision]]

#: By event type. A module's table is merged in here.
REQUESTS: dict[type[Event], Handler] = {}
REQUESTS |= policy_requests.REQUESTS
REQUESTS |= cluster_requests.REQUESTS
