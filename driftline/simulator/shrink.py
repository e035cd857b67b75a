"""Cuts a failing scenario down: the shortest prefix of its actions that fails, then without those it does not need."""

import time
from collections.abc import Callable, Sequence

import msgspec

from driftline.simulator.actions import AnyAction
from driftline.simulator.run import Run, play
from driftline.simulator.scenario import Scenario

Actions = tuple[AnyAction, ...]


class Shrunk(msgspec.Struct):
    """The shortest scenario found, its run, and how many runs it took."""

    scenario: Scenario
    run: Run
    tries: int


def shrink(scenario: Scenario, bound_s: float = 20.0, clock: Callable[[], float] = time.monotonic) -> Shrunk:
    """A shorter scenario that breaks the same invariant, found within about ``bound_s`` seconds of real time.

    Raises ValueError if ``scenario`` does not fail.
    """
    return _Search(scenario, clock() + bound_s, clock).search()


class _Search:
    def __init__(self, scenario: Scenario, until_s: float, clock: Callable[[], float]) -> None:
        self._scenario = scenario
        self._until_s = until_s
        self._clock = clock
        self._tries = 1
        self._best = play(scenario)
        failure = self._best.outcome.failure
        if failure is None:
            raise ValueError(f"seed {scenario.seed} does not fail")
        self._number = failure.number

    def search(self) -> Shrunk:
        actions = self._shortest_prefix(self._scenario.actions)
        size = max(1, len(actions) // 2)
        while size and self._time_left():
            actions = self._without_chunks(actions, size)
            size //= 2
        return Shrunk(self._scenario.only(actions), self._best, self._tries)

    def _shortest_prefix(self, actions: Actions) -> Actions:
        """By bisection: that a longer prefix fails whenever a shorter one does is likely, not certain."""
        passes, fails = 0, len(actions)
        while fails - passes > 1 and self._time_left():
            middle = (passes + fails) // 2
            if self._fails(actions[:middle]):
                fails = middle
            else:
                passes = middle
        return actions[:fails]

    def _without_chunks(self, actions: Actions, size: int) -> Actions:
        """Leave out runs of ``size`` actions wherever it fails without them, from the end on."""
        start = len(actions) - size
        while start > -size and self._time_left():
            rest = _without(actions, max(0, start), start + size)
            if self._fails(rest):
                actions = rest
            start -= size
        return actions

    def _fails(self, actions: Actions) -> bool:
        self._tries += 1
        run = play(self._scenario.only(actions))
        failure = run.outcome.failure
        if failure is None or failure.number != self._number:
            return False
        self._best = run
        return True

    def _time_left(self) -> bool:
        return self._clock() < self._until_s


def _without(actions: Sequence[AnyAction], start: int, end: int) -> Actions:
    return (*actions[:start], *actions[end:])
