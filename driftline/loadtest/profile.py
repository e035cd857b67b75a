"""What a profile of load is: instances with the times at which they should come and go."""

import importlib
import pkgutil
import random
from collections.abc import Callable

import msgspec

from driftline.errors import UsageError
from driftline.loadtest import profiles
from driftline.trace import TraceRow


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers a profile is given. ``rate``: spawns a second; ``lives_s``: how long an instance lives, seconds.

    Raises UsageError if a number is out of its range.
    """

    instances: int
    rate: float = 100.0
    lives_s: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.instances < 1:
            raise UsageError(f"instances: {self.instances} is less than 1")
        for name, value in (("rate", self.rate), ("lives_s", self.lives_s)):
            if not 0 < value < float("inf"):
                raise UsageError(f"{name}: {value} is not a finite number above 0")


Profile = Callable[[Shape], list[TraceRow]]


def found() -> dict[str, Profile]:
    """Every profile by name: each module of ``driftline.loadtest.profiles`` is one, its function ``rows`` makes it."""
    names = sorted(module.name for module in pkgutil.iter_modules(profiles.__path__))
    return {name: importlib.import_module(f"{profiles.__name__}.{name}").rows for name in names}


def named(name: str) -> Profile:
    """The profile ``name``. Raises UsageError, with the names there are, if there is none."""
    every = found()
    if name not in every:
        raise UsageError(f"profile: {name} is none of {', '.join(every)}")
    return every[name]


def poisson(shape: Shape) -> list[float]:
    """When each instance should come, seconds: independent of each other and of how the system fares (open loop)."""
    chance = random.Random(shape.seed)
    times, now_s = [], 0.0
    for _ in range(shape.instances):
        now_s += chance.expovariate(shape.rate)
        times.append(now_s)
    return times
