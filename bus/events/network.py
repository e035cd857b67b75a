"""Tenancy: tenant → VRF → VPC → network (an L2 segment) → subnet. Addresses are unique within a VRF."""

import ipaddress
from typing import Annotated

import msgspec

from bus.events.base import Event, VlanOrNone, VniOrNone
from bus.events.identifiers import RealisedBy, Token

Cidr = Annotated[str, msgspec.Meta(pattern=r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$", description="IPv4 CIDR (RFC 4632)")]


class TenantAdded(Event, tag="tenant.added.v1", frozen=True, kw_only=True):
    """A tenant: a company or a department."""

    tenant: Token


class VpcCreated(Event, tag="vpc.created.v1", frozen=True, kw_only=True):
    """A VPC of a tenant, routed in its VRF. See ``VpcCreateRequested`` for ``region`` and ``global_vpc``."""

    vpc: Token
    tenant: Token
    vrf: Token
    cidr: Cidr
    region: Token | None = None
    global_vpc: Token | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _parse_cidr(self.cidr)


class NetworkCreated(Event, tag="network.created.v1", frozen=True, kw_only=True):
    """An L2 segment of a VPC. ``model`` says how it is realised (``workers.models``); ports can be asked for by labels.

    ``vni`` carries it above the leaves, ``vlan`` is its one VLAN everywhere; each is 0 in a model that has none.
    ``policy``: its ports are under enforcement, and none is usable before its rules are in place on its host.
    """

    network: Token
    vpc: Token
    vni: VniOrNone = 0
    labels: tuple[Token, ...] = ()
    model: Token = "evpn"
    vlan: VlanOrNone = 0
    policy: bool = False
    block_length: Annotated[int, msgspec.Meta(ge=0, le=32)] = 0


class SubnetCreated(Event, tag="subnet.created.v1", frozen=True, kw_only=True):
    """The addresses of a network, which has one subnet. Network, broadcast and gateway address are never given out.

    ``zone``: the AZ that it belongs to, as every subnet of a public cloud does; empty: it belongs to none.
    """

    subnet: Token
    network: Token
    cidr: Cidr
    gateway: str
    zone: RealisedBy = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        net = _parse_cidr(self.cidr)
        if net.prefixlen > 30:
            raise ValueError(f"cidr: {self.cidr} has no room for a gateway and a host")
        try:
            gateway = ipaddress.IPv4Address(self.gateway)
        except ValueError as error:
            raise ValueError(f"gateway: {self.gateway} is no IPv4 address") from error
        if gateway not in net or gateway in (net.network_address, net.broadcast_address):
            raise ValueError(f"gateway: {self.gateway} is no host address of {self.cidr}")


def _parse_cidr(cidr: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise ValueError(f"cidr: {error}") from error
