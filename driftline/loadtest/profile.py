"""What a profile of load is: phases, one after the other, of what is asked and when it should come."""

import importlib
import pkgutil
import random
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import msgspec

from driftline.errors import UsageError
from driftline.loadtest import profiles
from driftline.trace import TraceRow
from projections.world import World

#: What a drift storm may hit: the hosts below one pair of leaves fail, or every pod of a zone drifts.
SCOPES = ("rack", "az")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers a profile is given.

    ``instances``: how many in all; ``rate``: how many of them come a second; ``lives_s``: how long one lives, seconds;
    ``size``: ports in one bulk request; ``scope``: what a storm hits; ``rows``: those of a trace, if there is one;
    ``flat_out``: they come in their order and not at their times.
    Raises UsageError if a number is out of its range.
    """

    instances: int
    rate: float = 100.0
    lives_s: float = 10.0
    size: int = 100
    scope: str = "rack"
    seed: int = 0
    rows: Sequence[TraceRow] = ()
    flat_out: bool = False

    def __post_init__(self) -> None:
        for name, number in (("instances", self.instances), ("size", self.size)):
            if number < 1:
                raise UsageError(f"{name}: {number} is less than 1")
        for name, value in (("rate", self.rate), ("lives_s", self.lives_s)):
            if not 0 < value < float("inf"):
                raise UsageError(f"{name}: {value} is not a finite number above 0")
        if self.scope not in SCOPES:
            raise UsageError(f"scope: {self.scope} is none of {', '.join(SCOPES)}")


class Instances(msgspec.Struct, frozen=True):
    """Instances that come, and may go. ``timed``: each when it is due; else as fast as is allowed, in their order."""

    rows: Sequence[TraceRow]
    timed: bool = True


class Bulk(msgspec.Struct, frozen=True):
    """Ports made before their instances, ``size`` in a request, ``rate`` requests a second (open loop)."""

    ports: int
    size: int
    rate: float


class HostsFail(msgspec.Struct, frozen=True):
    """These hosts fail at once, and all that is on them drifts."""

    hosts: Sequence[str]


class PodsDrift(msgspec.Struct, frozen=True):
    """Every pod of this run that lives in the zone drifts at once; its host lives."""

    az: str


Phase = Instances | Bulk | HostsFail | PodsDrift
Profile = Callable[[Shape, World], list[Phase]]


def found() -> dict[str, Profile]:
    """Every profile by name: a module of ``driftline.loadtest.profiles`` each, whose function ``phases`` makes it."""
    names = sorted(module.name for module in pkgutil.iter_modules(profiles.__path__))
    return {name: importlib.import_module(f"{profiles.__name__}.{name}").phases for name in names}


def named(name: str) -> Profile:
    """The profile ``name``, or the one in the file that it names (``….py``).

    Raises UsageError, with the names there are, if there is none; also if the file cannot be loaded or has no phases.
    """
    if name.endswith(".py"):
        return _of_file(Path(name))
    every = found()
    if name not in every:
        raise UsageError(f"--profile: {name} is none of {', '.join(every)}, and no file of yours that ends in .py")
    return every[name]


def _of_file(path: Path) -> Profile:
    try:
        defined = runpy.run_path(str(path))
    except Exception as error:
        raise UsageError(f"--profile {path}: cannot be loaded: {type(error).__name__}: {error}") from error
    phases = defined.get("phases")
    if not callable(phases):
        raise UsageError(f"--profile {path}: it has no function phases(shape, world)")
    return cast(Profile, phases)


def at_once(count: int, first: int = 1) -> list[TraceRow]:
    """``count`` instances that are all due at second 0 and stay."""
    return [TraceRow(line=index, name=str(index), created_s=0.0) for index in range(first, first + count)]


def poisson(shape: Shape) -> list[float]:
    """When each instance should come, seconds: independent of each other and of how the system fares (open loop)."""
    chance = random.Random(shape.seed)
    times, now_s = [], 0.0
    for _ in range(shape.instances):
        now_s += chance.expovariate(shape.rate)
        times.append(now_s)
    return times
