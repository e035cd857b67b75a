"""The world from a TOML file. ``examples/world.toml`` is the documented example; the structs below are its tables."""

import ipaddress
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from bus.events import (
    BARE_METAL,
    LEAF_CAPACITY,
    AnyEvent,
    AzAdded,
    HostAdded,
    LeafAdded,
    NetworkCreated,
    RegionAdded,
    RouterAdded,
    SpineAdded,
    SubnetCreated,
    TenantAdded,
    Token,
    VpcCreated,
)
from bus.events.base import VlanOrNone, VniOrNone
from bus.events.host import HostKind, HostLayout
from bus.events.identifiers import RealisedBy
from bus.events.network import Cidr
from driftline.world.errors import WorldError, explain
from workers.enis_of_types import NODES_OWN, eni_limit

#: How many instances a host may hold, unless the file says otherwise; bare metal holds one.
CAPACITY = 500
#: The parts of a scenario's file that do not describe the world (docs/howto/scenario.md).
OF_SCENARIO = ("title", "about", "cleanup", "step")
Positive = Annotated[int, msgspec.Meta(ge=1)]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables: a field that is not known is an error, so that a misspelt one is noticed."""


class Region(Entry, frozen=True):
    """``[[region]]``: a site, the company's own (private) or a cloud's (public)."""

    name: Token
    kind: Literal["private", "public"] = "private"


class Az(Entry, frozen=True):
    """``[[az]]``: an availability zone and its spines."""

    name: Token
    region: Token
    spines: tuple[Token, ...] = ()


class Leaf(Entry, frozen=True):
    """``[[leaf]]``: ``vtep`` is its tunnel address (IPv4), ``asn`` its BGP autonomous system number.

    ``capacity``: how many (interface, VLAN) entries its table takes.
    """

    name: Token
    az: Token
    vtep: str
    asn: int
    capacity: int = LEAF_CAPACITY


class Router(Entry, frozen=True):
    """``[[router]]``: the core router, which holds the gateways of provider networks (model ``vlan``)."""

    name: Token


class LeafPair(Entry, frozen=True):
    """``[[leaf_pair]]``: many equal hosts below one pair of leaves.

    Stands for ``hosts`` hosts named ``<az>-h<first_host>`` and up, on interfaces ``Ethernet<first_interface>`` and up.
    """

    az: Token
    leaves: tuple[Token, Token]
    hosts: Positive
    first_host: Positive = 1
    first_interface: Positive = 1
    capacity: int | None = None
    kind: HostKind = "server"
    layout: HostLayout = "driftline"
    instance_type: str = ""


class Host(Entry, frozen=True):
    """``[[host]]``: one host, on the same interface of both leaves. ``capacity``: instances it may hold.

    A node has an ``instance_type`` (EC2: m5.large) and holds, unless said otherwise, as many pods as that takes ENIs.
    """

    name: Token
    az: Token
    leaves: tuple[Token, Token]
    interface: Token
    capacity: int | None = None
    kind: HostKind = "server"
    layout: HostLayout = "driftline"
    instance_type: str = ""


class Tenant(Entry, frozen=True):
    """``[[tenant]]``: a company or a department."""

    name: Token


class Vpc(Entry, frozen=True):
    """``[[vpc]]``: ``vrf`` is the VPC's own name unless given.

    ``region`` is the only one that its instances may be in; VPCs of one ``global_vpc`` are connected with each other.
    """

    name: Token
    tenant: Token
    cidr: Cidr
    vrf: Token | None = None
    region: Token | None = None
    global_vpc: Token | None = None


class Network(Entry, frozen=True):
    """``[[network]]``: an L2 segment; ports can be asked for by any of its labels.

    ``model`` says how it is realised; whether it takes a ``vni`` or a ``vlan`` is the model's business.
    ``policy``: its ports are under enforcement.
    """

    name: Token
    vpc: Token
    vni: VniOrNone = 0
    labels: tuple[Token, ...] = ()
    model: Token = "evpn"
    vlan: VlanOrNone = 0
    policy: bool = False
    block_length: Annotated[int, msgspec.Meta(ge=0, le=32)] = 0


class Subnet(Entry, frozen=True):
    """``[[subnet]]``: addresses of a network. ``gateway`` is the first host address unless given.

    ``zone``: the AZ that it belongs to, for a network of a public cloud.
    """

    name: Token
    network: Token
    cidr: Cidr
    gateway: str | None = None
    zone: RealisedBy = ""


class WorldFile(Entry, frozen=True):
    """The whole file. Tables may come in any order."""

    region: tuple[Region, ...] = ()
    az: tuple[Az, ...] = ()
    leaf: tuple[Leaf, ...] = ()
    router: tuple[Router, ...] = ()
    leaf_pair: tuple[LeafPair, ...] = ()
    host: tuple[Host, ...] = ()
    tenant: tuple[Tenant, ...] = ()
    vpc: tuple[Vpc, ...] = ()
    network: tuple[Network, ...] = ()
    subnet: tuple[Subnet, ...] = ()


def load(path: Path) -> list[AnyEvent]:
    """The events that the TOML file at ``path`` stands for; ``check`` says whether they make sense together.

    Of a scenario, which has steps as well, they are its world.

    Raises WorldError, naming the file and the table, field and value, or the line.
    """
    document = parse_toml(path)
    if "step" in document:
        document = {name: part for name, part in document.items() if name not in OF_SCENARIO}
    events = events_of(document, str(path))
    if not events:
        raise WorldError(f"{path}: the file describes nothing")
    return events


def events_of(document: Mapping[str, object], name: str) -> list[AnyEvent]:
    """As ``load``, of a document that was read from the file of this ``name``, and of one that describes nothing."""
    try:
        return list(_events(msgspec.convert(document, WorldFile)))
    except msgspec.ValidationError as error:
        raise WorldError(f"{name}: {explain(error, document)}") from error
    except WorldError as error:
        raise WorldError(f"{name}: {error}") from error


def parse_toml(path: Path) -> dict[str, object]:
    """The document at ``path``. Raises WorldError when it cannot be read, or is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorldError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WorldError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise WorldError(f"{path}: is not TOML: {error}") from error


def _events(file: WorldFile) -> Iterator[AnyEvent]:
    for region in file.region:
        yield RegionAdded(region=region.name, kind=region.kind)
    for az in file.az:
        yield AzAdded(az=az.name, region=az.region)
        for spine in az.spines:
            yield SpineAdded(spine=spine, az=az.name)
    for leaf in file.leaf:
        yield LeafAdded(leaf=leaf.name, az=leaf.az, vtep=leaf.vtep, asn=leaf.asn, capacity=leaf.capacity)
    yield from (RouterAdded(router=router.name) for router in file.router)
    for host in (*(one for pair in file.leaf_pair for one in _hosts_of(pair)), *file.host):
        leaf_a, leaf_b = host.leaves
        yield HostAdded(
            host=host.name,
            az=host.az,
            leaf_a=leaf_a,
            leaf_b=leaf_b,
            interface=host.interface,
            capacity=_capacity(host),
            kind=host.kind,
            layout=host.layout,
            instance_type=host.instance_type,
        )
    yield from _tenancy(file)


def _hosts_of(pair: LeafPair) -> Iterator[Host]:
    for index in range(pair.hosts):
        yield Host(
            name=f"{pair.az}-h{pair.first_host + index}",
            az=pair.az,
            leaves=pair.leaves,
            interface=f"Ethernet{pair.first_interface + index}",
            capacity=pair.capacity,
            kind=pair.kind,
            layout=pair.layout,
            instance_type=pair.instance_type,
        )


def _capacity(host: Host) -> int:
    if host.capacity is not None:
        return host.capacity
    if host.kind == BARE_METAL:
        return 1
    return max(eni_limit(host.instance_type) - NODES_OWN, 0) or CAPACITY


def _tenancy(file: WorldFile) -> Iterator[AnyEvent]:
    for tenant in file.tenant:
        yield TenantAdded(tenant=tenant.name)
    for vpc in file.vpc:
        with _naming(f"vpc {vpc.name}"):
            yield VpcCreated(
                vpc=vpc.name,
                tenant=vpc.tenant,
                vrf=vpc.vrf or vpc.name,
                cidr=vpc.cidr,
                region=vpc.region,
                global_vpc=vpc.global_vpc,
            )
    for network in file.network:
        yield NetworkCreated(
            network=network.name,
            vpc=network.vpc,
            vni=network.vni,
            labels=network.labels,
            model=network.model,
            vlan=network.vlan,
            policy=network.policy,
            block_length=network.block_length,
        )
    for subnet in file.subnet:
        with _naming(f"subnet {subnet.name}"):
            gateway = _first_address(subnet.cidr) if subnet.gateway is None else subnet.gateway
            yield SubnetCreated(
                subnet=subnet.name, network=subnet.network, cidr=subnet.cidr, gateway=gateway, zone=subnet.zone
            )


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Whatever is wrong with an event's addresses becomes a WorldError that says whose they are."""
    try:
        yield
    except ValueError as error:
        raise WorldError(f"{name}: {error}") from error


def _first_address(cidr: str) -> str:
    try:
        return str(ipaddress.IPv4Network(cidr, strict=False).network_address + 1)
    except ValueError as error:
        raise ValueError(f"cidr: {error}") from error
