"""Host-local addresses (cloud-native, 2019): BGP from each host, in two sessions to its leaves.

The host has a block of addresses and a gateway of its own; both planes are in place before the first address is given
out (``host.block_announced``), so neither is reported port by port.
"""

from workers import block_routes, host_ipam
from workers.host_blocks import check, check_subnet, segment
from workers.models.model import NetworkModel

MODEL = NetworkModel(
    name="host-local-bgp",
    host_kinds=frozenset({"server"}),
    segment=segment,
    check=check,
    check_subnet=check_subnet,
    allocator=host_ipam.NAME,
    workers=(host_ipam.WORKER, block_routes.WORKER),
)
