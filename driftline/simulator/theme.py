"""What a theme is: what a run is about."""

import random
from collections.abc import Callable
from typing import NamedTuple

from driftline.simulator.draft import Draft
from driftline.simulator.worlds import Place


def as_it_is(chance: random.Random, place: Place) -> Place:
    """The ``world`` of a theme that needs nothing beyond the small world of every run."""
    return place


class Theme(NamedTuple):
    """What a run is about, and how long it lasts before faults stop, seconds from to.

    ``world`` may add to the world that was drawn; ``tight``: its pools and hosts run full;
    ``of_fabric``: it is about the SDN fabric alone.
    """

    write: Callable[[Draft], None]
    lasts_s: tuple[float, float] = (8.0, 30.0)
    tight: bool = False
    world: Callable[[random.Random, Place], Place] = as_it_is
    of_fabric: bool = False
