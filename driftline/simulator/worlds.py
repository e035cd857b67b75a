"""The small world of a run: two leaf pairs, a few hosts, networks in two VRFs with the same addresses."""

import random

import msgspec

from bus.events import (
    AnyEvent,
    AzAdded,
    HostAdded,
    LeafAdded,
    NetworkCreated,
    RegionAdded,
    SpineAdded,
    SubnetCreated,
    TenantAdded,
    VpcCreated,
)

AZ = "az1"
PAIRS = (("l1", "l2"), ("l3", "l4"))
#: Prefix lengths of pools: one, five and thirteen addresses to give out.
_SIZES = (29, 28, 28, 30)


class Place(msgspec.Struct, frozen=True):
    """A world: its events, and the names in it."""

    events: tuple[AnyEvent, ...]
    hosts: tuple[str, ...]
    networks: tuple[str, ...]
    labels: tuple[str, ...]
    #: Those of the hosts that are bare metal.
    bare: tuple[str, ...] = ()

    @property
    def leaves(self) -> tuple[str, ...]:
        """All leaves."""
        return tuple(leaf for pair in PAIRS for leaf in pair)

    def runs(self, worker: str, host: str) -> bool:
        """Whether this per-host worker serves ``host``: for bare metal nova-compute speaks, and nobody else."""
        return worker == "compute" or host not in self.bare


def draw_place(chance: random.Random, *, tight: bool = False) -> Place:
    """Three to five hosts, the first two on one leaf pair, and three networks. ``tight``: pools and hosts run full."""
    hosts = [f"h{number}" for number in range(1, chance.randint(3, 5) + 1)]
    cabling = [
        HostAdded(
            host=host,
            az=AZ,
            leaf_a=PAIRS[index // 2 % 2][0],
            leaf_b=PAIRS[index // 2 % 2][1],
            interface=f"e{index + 1}",
            capacity=chance.randint(2, 3) if tight else chance.randint(4, 9),
        )
        for index, host in enumerate(hosts)
    ]
    return Place(
        events=(
            RegionAdded(region="r1"),
            AzAdded(az=AZ, region="r1"),
            SpineAdded(spine="sp1", az=AZ),
            *(
                LeafAdded(leaf=leaf, az=AZ, vtep=f"10.255.0.{number}", asn=65000 + number)
                for number, leaf in enumerate((leaf for pair in PAIRS for leaf in pair), start=1)
            ),
            *cabling,
            *_tenancy(chance, tight=tight),
        ),
        hosts=tuple(hosts),
        networks=("n1", "n2", "n3"),
        labels=("prod", "test"),
    )


def _tenancy(chance: random.Random, *, tight: bool) -> tuple[AnyEvent, ...]:
    first, second, third = (chance.choice((29, 30)) if tight else chance.choice(_SIZES) for _ in range(3))
    return (
        TenantAdded(tenant="t1"),
        VpcCreated(vpc="v1", tenant="t1", vrf="vrf1", cidr="10.0.0.0/8"),
        VpcCreated(vpc="v2", tenant="t1", vrf="vrf2", cidr="10.0.0.0/8"),
        NetworkCreated(network="n1", vpc="v1", vni=5001, labels=("prod",)),
        NetworkCreated(network="n2", vpc="v1", vni=5002, labels=("prod", "test")),
        NetworkCreated(network="n3", vpc="v2", vni=5003),
        SubnetCreated(subnet="s1", network="n1", cidr=f"10.0.1.0/{first}", gateway="10.0.1.1"),
        SubnetCreated(subnet="s2", network="n2", cidr=f"10.0.2.0/{second}", gateway="10.0.2.2"),
        SubnetCreated(subnet="s3", network="n3", cidr=f"10.0.1.0/{third}", gateway="10.0.1.2"),
    )
