"""Requests about networks, and how they end. A request takes any value: what does not fit is refused by an event.

Asked for by operators, answered by IPAM, which is the Neutron server here.
"""

from typing import Annotated

import msgspec

from bus.events.base import Event
from bus.events.identifiers import Token

Count = Annotated[int, msgspec.Meta(ge=0)]


class NetworkCreateRequested(Event, tag="network.create_requested.v1", frozen=True, kw_only=True):
    """Create a network of a VPC, with one subnet. Ends in ``network.created`` and ``subnet.created``, or refused.

    ``vlan`` and ``vni``: the network's number, for a model that has one; None lets IPAM choose. ``gateway``: the first
    host address of ``cidr`` if empty; ``subnet``: the network's name with ``-a`` behind if empty. ``zone``: the AZ of
    the subnet, for a model that has one; ``policy`` and ``block_length`` as in ``network.created``.
    """

    network: Token
    vpc: str
    cidr: str
    gateway: str = ""
    model: str = "evpn"
    vlan: int | None = None
    vni: int | None = None
    labels: tuple[str, ...] = ()
    subnet: str = ""
    zone: str = ""
    policy: bool = False
    block_length: int = 0


class NetworkRefused(Event, tag="network.refused.v1", frozen=True, kw_only=True):
    """The request about the network cannot be granted; nothing was changed. ``field`` and ``value``: what was wrong."""

    network: Token
    reason: str
    field: str
    value: str


class NetworkGatewayChangeRequested(Event, tag="network.gateway_change_requested.v1", frozen=True, kw_only=True):
    """Another address is to be the network's gateway."""

    network: Token
    address: str


class NetworkGatewayChanged(Event, tag="network.gateway_changed.v1", frozen=True, kw_only=True):
    """``address`` is the gateway from now on, and ``from_address`` is given to nobody.

    The blast radius: ``ports`` of the network that were told an address that is not the gateway any more, of so many
    ``instances``, and how many of those ports each of ``hosts`` has. They are not routed until they are told anew: by
    a drift, or by being spawned again (a provider network has no DHCP).
    """

    network: Token
    subnet: Token
    address: str
    from_address: str
    ports: Count
    instances: Count
    hosts: dict[Token, Count] = msgspec.field(default_factory=dict)
