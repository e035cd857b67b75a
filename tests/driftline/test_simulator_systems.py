"""The themes of the seed's systems exercise invariants 9, 12, 14 and 17: a mistake that breaks one is found by it."""

from collections.abc import Callable

import pytest

from bus.events import CLOUD, PortCreateRequested
from driftline.simulator.run import play
from driftline.simulator.scenario import draw
from projections.addresses import Addresses
from projections.capacity import Capacity
from projections.world import HostRow, NetworkRow, World
from workers import grants, models, vpcs
from workers.ipam_state import IpamState
from workers.models import MODELS, Refusal, Segment

Patch = pytest.MonkeyPatch
#: By how many seeds of a theme the mistake must be found.
SEEDS = 40


def fill_leaves_beyond_their_capacity(patch: Patch) -> None:
    patch.setattr(Capacity, "full_leaf", lambda self, host, vlan: None)


def attach_enis_wherever_there_is_room(patch: Patch) -> None:
    """Neither the zone nor the limit is asked for."""

    def anywhere(world: World, addresses: Addresses, network: NetworkRow, host: HostRow) -> Segment | Refusal:
        return Segment(vlan=0, vni=0, underlay_by="", overlay_by=CLOUD)

    patch.setitem(models._MODELS, "eni", MODELS["eni"]._replace(segment=anywhere))


def connect_whatever_overlaps(patch: Patch) -> None:
    patch.setattr(vpcs, "_overlap", lambda state, one, other: None)


def look_at_the_first_network_of_a_label_alone(patch: Patch) -> None:
    found = grants._candidates

    def first(state: IpamState, request: PortCreateRequested) -> list[NetworkRow] | Refusal:
        candidates = found(state, request)
        return candidates if isinstance(candidates, Refusal) else candidates[:1]

    patch.setattr(grants, "_candidates", first)


PLANTED: tuple[tuple[int, str, Callable[[Patch], None]], ...] = (
    (9, "leaf tables", fill_leaves_beyond_their_capacity),
    (12, "cloud", attach_enis_wherever_there_is_room),
    (14, "vpcs", connect_whatever_overlaps),
    (17, "bulk", look_at_the_first_network_of_a_label_alone),
)


@pytest.mark.parametrize(("number", "theme", "plant"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_mistake_is_found_by_its_invariant(
    number: int, theme: str, plant: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        failures = ((seed, play(draw(seed, (theme,))).outcome.failure) for seed in range(SEEDS))
        found = next((seed for seed, failure in failures if failure is not None and failure.number == number), None)
    assert found is not None
    right = play(draw(found, (theme,))).outcome
    assert right.failure is None, f"seed {found} fails without the mistake, too: it proves nothing"
    assert right.invariants[number] > 0


def test_vpcs_are_connected_and_taken_apart_again() -> None:
    outcomes = [play(draw(seed, ("vpcs",))).outcome for seed in range(3)]
    assert [outcome.failure for outcome in outcomes] == [None] * len(outcomes)
    kinds = {kind for outcome in outcomes for kind in outcome.kinds}
    assert {"vpc.connection_ready", "vpc.connect_refused", "vpc.disconnected", "border.entry_removed"} <= kinds
