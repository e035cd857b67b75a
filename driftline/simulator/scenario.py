"""A scenario: a small world, who runs in which process, and all that is asked for and goes wrong, drawn from a seed.

Each seed has a theme (``THEMES``, in turn), so that any few dozen seeds stress everything that there is.
"""

from collections.abc import Sequence

import msgspec

from driftline.simulator.actions import AnyAction
from driftline.simulator.draft import Draft
from driftline.simulator.loop import dice
from driftline.simulator.requests import Requests
from driftline.simulator.themes import THEMES
from driftline.simulator.worlds import Place, draw_place

#: How processes are cut: one for all hosts, one for each, or one for each that reads its own host's subjects alone.
LAYOUTS = ("shared", "split", "filtered")


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What happens in one run. ``actions`` are in the order of their times."""

    seed: int
    theme: str
    layout: str
    place: Place
    actions: tuple[AnyAction, ...]

    @property
    def end_s(self) -> float:
        """When the last action is over."""
        return max((action.at_s for action in self.actions), default=0.0)

    def only(self, actions: tuple[AnyAction, ...]) -> "Scenario":
        """The same run with these actions alone."""
        return msgspec.structs.replace(self, actions=actions)


def draw(seed: int, themes: Sequence[str] = ()) -> Scenario:
    """The scenario of a seed: of one of all themes, or of ``themes``, in turn."""
    chance = dice(seed, "scenario")
    names = themes or list(THEMES)
    name = names[seed % len(names)]
    theme = THEMES[name]
    place = theme.world(chance, draw_place(chance, tight=theme.tight))
    layout = chance.choices(LAYOUTS, (4, 1, 1))[0]
    draft = Draft(chance, place, layout, chance.uniform(*theme.lasts_s), Requests(chance, place))
    theme.write(draft)
    actions = sorted([*draft.faults, *draft.requests.asked], key=lambda action: action.at_s)
    return Scenario(seed=seed, theme=name, layout=layout, place=place, actions=tuple(actions))
