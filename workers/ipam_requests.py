"""What IPAM, as the Neutron server, decides on besides ports: requests about networks, VPCs and the like.

Each kind of request has a module of its own, with a table from event types to what answers them.
"""

from bus.events import Event
from workers import blocks, bulk, cluster_requests, networks, policy_requests, vpcs
from workers.ipam_state import Handler

#: By event type. A module's table is merged in here.
REQUESTS: dict[type[Event], Handler] = {
    **vpcs.REQUESTS,
    **networks.ANSWERS,
    **policy_requests.REQUESTS,
    **cluster_requests.REQUESTS,
    **bulk.REQUESTS,
    **blocks.REQUESTS,
}
