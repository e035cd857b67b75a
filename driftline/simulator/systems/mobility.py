"""MACs that move between leaf pairs (RFC 7432, section 15)."""

from driftline.simulator.draft import USUAL, Draft
from driftline.simulator.theme import Theme


def _flapping(draft: Draft) -> None:
    """A pod goes to and fro between the leaf pairs until leaves take its MAC for a duplicate; an operator clears it."""
    draft.devices(0.0)
    instance = draft.requests.spawn(0.5, network="n1", host="h1")
    for number in range(8):
        draft.requests.drift_of(3.0 + 2 * number, instance, ("h3", "h1")[number % 2])
    for at_s in (12.0, 20.0):  # the first address of n1 goes to the first pod
        draft.requests.clear_mac(at_s, draft.chance.choice(draft.place.leaves), 5001, "fa:16:0a:00:01:02")
    draft.requests.mixed(1.0, draft.end_s, 8, USUAL | {"audit": 4.0})


THEMES = {"flapping": Theme(_flapping, (22.0, 30.0))}
