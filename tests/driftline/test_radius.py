"""What fails with what: redundancy counts, and workers carry no traffic."""

import pytest

from driftline.parts import all_workers
from driftline.radius import WORKERS, Site, radius
from projections.world import AzRow, HostRow, SwitchRow
from tests.driftline.test_proof import port


def host(name: str, leaf_a: str, leaf_b: str, az: str = "az1") -> HostRow:
    return HostRow(
        host=name,
        az=az,
        leaf_a=leaf_a,
        leaf_b=leaf_b,
        interface=f"e-{name}",
        capacity=9,
        physical_network=f"{leaf_a}-{leaf_b}",
    )


def switch(name: str, role: str, az: str = "az1") -> SwitchRow:
    return SwitchRow(switch=name, role=role, az=az, vtep="", asn=0)


SITE = Site(
    ports=[port("a", "h1"), port("b", "h2"), port("c", "h3")],
    hosts=[host("h1", "l1", "l2"), host("h2", "l3", "l4"), host("h3", "l5", "l6", "az2")],
    switches=[
        *(switch(f"l{n}", "leaf") for n in range(1, 7)),
        *(switch("s1", "spine"), switch("s2", "spine"), switch("s3", "spine", "az2"), switch("core", "router")),
    ],
    zones=[AzRow(region="r", az=""), AzRow(region="r", az="az1"), AzRow(region="r", az="az2")],
)


@pytest.mark.parametrize(
    ("component", "down", "failed", "degraded"),
    [
        ("l1", (), (), ("a",)),
        ("l1", ("l2",), ("a",), ()),
        ("l1", ("l3",), (), ("a",)),
        ("s1", (), (), ("a", "b")),
        ("s1", ("s2",), ("a", "b"), ()),
        ("s3", (), ("c",), ()),
        ("h2", (), ("b",), ()),
        ("az1", (), ("a", "b"), ()),
        ("core", (), (), ()),
        ("nova", (), (), ()),
        ("compute@h1", (), (), ()),
    ],
)
def test_what_fails(component: str, down: tuple[str, ...], failed: tuple[str, ...], degraded: tuple[str, ...]) -> None:
    found = radius(SITE, component, down)
    assert (found.failed, found.degraded) == (failed, degraded)


def test_the_core_router_takes_the_routing_of_provider_networks_alone() -> None:
    provider = port("p", "h1")
    provider.model = "vlan"
    assert radius(SITE._replace(ports=[*SITE.ports, provider]), "core").degraded == ("p",)


@pytest.mark.parametrize("component", ["nowhere", "nova@h9", "h1@h1", ""])
def test_what_is_no_component_is_named(component: str) -> None:
    with pytest.raises(ValueError, match="component"):
        radius(SITE, component)


def test_every_worker_is_one() -> None:
    assert set(WORKERS) == set(all_workers())
