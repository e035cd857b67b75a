"""Blocks of addresses that hosts allocate from by themselves (cloud-native, 2019: spec/mission.md, system 8).

Written by the host's own IPAM (H), the central IPAM (I), the worker that distributes routes (R), and operators (O).
"""

from typing import Literal

from bus.events.base import Event
from bus.events.host import Epoch
from bus.events.identifiers import Token
from bus.events.network import Cidr
from bus.events.port import PortEvent


class BlockEvent(Event, frozen=True, kw_only=True):
    """What all events about the blocks of a host share."""

    host: Token
    az: Token


class HostBlockRequested(BlockEvent, tag="host.block_requested.v1", frozen=True, kw_only=True):
    """H: the host has no block with a free address of ``network``, or of any host-local network with ``label``."""

    network: Token | None = None
    label: Token | None = None


class HostBlockAssigned(BlockEvent, tag="host.block_assigned.v1", frozen=True, kw_only=True):
    """I: the block is this host's, with all that it needs to allocate from it alone.

    ``gateway`` is the block's first address, ``reserved`` what is never given out besides.
    """

    network: Token
    labels: tuple[Token, ...] = ()
    subnet: Token
    vpc: Token
    vrf: Token
    model: Token
    cidr: Cidr
    gateway: str
    reserved: tuple[str, ...] = ()


class HostBlockRefused(BlockEvent, tag="host.block_refused.v1", frozen=True, kw_only=True):
    """I: the host gets no block. ``field`` and ``value`` name what was wrong."""

    network: Token | None = None
    label: Token | None = None
    reason: str
    field: str
    value: str


class HostBlockAnnounced(BlockEvent, tag="host.block_announced.v1", frozen=True, kw_only=True):
    """R: every device that must know the way to these blocks does; only now the host gives out addresses of them."""

    cidrs: tuple[Cidr, ...]


class HostBlockReleaseRequested(BlockEvent, tag="host.block_release_requested.v1", frozen=True, kw_only=True):
    """O: the host is to give the block back. It is the host that answers: nobody else knows what it gives out."""

    cidr: str


class HostBlockReleased(BlockEvent, tag="host.block_released.v1", frozen=True, kw_only=True):
    """H: no address of these blocks is held, and the host gives out none any more."""

    cidrs: tuple[Cidr, ...]


class HostBlockReleaseRefused(BlockEvent, tag="host.block_release_refused.v1", frozen=True, kw_only=True):
    """H: the block stays the host's. ``field`` and ``value`` name what was wrong."""

    cidr: str
    reason: str
    field: str
    value: str


class PortAddressOffered(PortEvent, tag="port.address_offered.v1", frozen=True, kw_only=True):
    """H: the address that the port gets here, if its claim is granted. IPAM answers: it alone sees all claims."""

    name: str
    instance: Token
    subnet: Token
    ip: str
    prefix_length: int
    gateway: str


#: What a device does about a block: it is the host's ``own`` (VXLAN, or announced by BGP), a tunnel to the host leads
#: to it, or a leaf accepts its announcement from the host.
RouteKind = Literal["own-vxlan", "own-bgp", "tunnel", "accept"]


class BlockRouteSet(Event, tag="router.block_route_set.v1", frozen=True, kw_only=True):
    """R: the device ``router`` (a host or a leaf) knows the way to the block, or not any more (``present``)."""

    router: Token
    az: Token
    cidr: Cidr
    epoch: Epoch
    present: bool
