"""Provider networks: hosts that are cut off and forward, gateways that change, VLANs that EVPN wants as well."""

import random

import msgspec

from bus.events import (
    NetworkCreated,
    NetworkCreateRequested,
    NetworkGatewayChangeRequested,
    RouterAdded,
    SubnetCreated,
)
from driftline.simulator.actions import Tamper
from driftline.simulator.draft import DRIFTING, USUAL, Draft
from driftline.simulator.theme import Theme
from driftline.simulator.worlds import Place
from workers.devices.simulated.faults import EffectFaults

ROUTER = "core1"


def _world(chance: random.Random, place: Place) -> Place:
    """A core router, and a provider network beside those of EVPN: in their VRF, and with one of their labels."""
    vlan = chance.choice((1, 2, 100))  # what EVPN would take first on a leaf pair, or not
    facts = (
        RouterAdded(router=ROUTER),
        NetworkCreated(network="p1", vpc="v1", model="vlan", vlan=vlan, labels=("prod",)),
        SubnetCreated(subnet="sp1", network="p1", cidr="10.0.7.0/28", gateway="10.0.7.1"),
    )
    return msgspec.structs.replace(
        place, events=(*place.events, *facts), networks=(*place.networks, "p1", "p1", "asked-0")
    )


def _requests(draft: Draft) -> None:
    """Networks are asked for, some of which cannot be, and gateways change under running instances."""
    chance = draft.chance
    for number in range(4):
        create = NetworkCreateRequested(
            network=f"asked-{number}",
            vpc=chance.choice(("v1", "v1", "v2", "none")),
            model=chance.choice(("vlan", "vlan", "evpn")),
            vlan=chance.choice((None, None, 1, 2, 3, 4095)),
            cidr=chance.choice((f"10.0.{20 + number}.0/28", "10.0.7.0/29", "10.0.30.0/30")),
        )
        draft.requests.ask(draft.some(0.2, draft.end_s / 2), create, "operator")
    for network in ("p1", "p1", "p1", "asked-0", "n1"):
        address = f"10.0.{chance.choice((7, 20))}.{chance.randint(1, 15)}"
        change = NetworkGatewayChangeRequested(network=network, address=address)
        draft.requests.ask(draft.some(1.0, draft.end_s), change, "operator")


def _provider(draft: Draft) -> None:
    _requests(draft)
    draft.usual(16, USUAL | DRIFTING)
    draft.devices(0.0, EffectFaults(latency=draft.some(0.0, 0.4), jitter=1.0, fail=draft.some(0.0, 0.2), late=0.1))
    draft.bus(0.0, append_s=draft.some(0.01, 0.2), follow_s=draft.some(0.01, 0.3))
    for at_s in draft.moments(2):
        draft.faults.append(Tamper(at_s=at_s, trick="drop row", pick=draft.chance.random()))
    draft.crashes(draft.chance.choice((0, 8)))


def _provider_hosts(draft: Draft) -> None:
    """Hosts die or are cut off, and forward still: nothing of them may be heard once they are fenced."""
    _requests(draft)
    draft.usual(16)
    draft.devices(0.0)
    for at_s in draft.moments(3):
        host, back_s = draft.chance.choice(draft.place.hosts), at_s + draft.some(5.0, 140.0)
        if draft.chance.random() < 0.7:
            draft.power(at_s, cut_off=(host,))
            draft.power(back_s, reconnect=(host,))
        else:
            draft.power(at_s, power_off=(host,))
            draft.power(back_s, power_on=(host,))
        if draft.chance.random() < 0.4:
            draft.requests.fail_host(at_s + draft.some(0.0, 20.0), host)
            draft.requests.return_host(back_s + draft.some(0.0, 30.0), host)
        draft.requests.mixed(at_s, at_s + 80.0, 3, {"drift": 2.0, "delete": 1.0, "drift_twice": 1.0})
    draft.crashes(draft.chance.choice((0, 4)))


THEMES = {
    "provider networks": Theme(_provider, world=_world),
    "provider hosts": Theme(_provider_hosts, (90.0, 180.0), world=_world),
}
