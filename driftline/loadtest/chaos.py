"""What is done to a system under load: which fault, to whom, when and for how long. PURE.

As text, for a command line, clauses separated by commas: ``kill:nova@10`` (a worker, the fabric or the projector, at
10 s), ``restart:nats@20``, ``restart:postgres@30``, ``break:az1-leaf1@15+5`` (a leaf answers with errors for 5 s),
``pause:projector@25+3`` (nothing is consumed for 3 s). ``random`` draws them, each kind as often as any other.
"""

import math
import random
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from driftline.errors import UsageError

Kind = Literal["kill", "restart", "break", "pause"]
SERVERS = ("nats", "postgres")
#: How long what has no own length lasts when it is drawn, seconds.
BREAK_S, PAUSE_S = 4.0, 3.0
#: Nothing is drawn for the first seconds: there is nothing to disturb yet.
FIRST_S = 3.0

_CLAUSE = re.compile(r"(kill|restart|break|pause):([A-Za-z0-9_-]+)@(\d+(?:\.\d+)?)(?:\+(\d+(?:\.\d+)?))?")


class Fault(msgspec.Struct, frozen=True, order=True):
    """``what`` becomes of ``target``, ``at_s`` after the run began. ``for_s``: 0 for what is over at once, seconds."""

    at_s: float
    what: Kind
    target: str
    for_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.what} {self.target}" + (f" for {self.for_s:g} s" if self.for_s else "")


def parse_chaos(text: str, roles: Sequence[str], leaves: Sequence[str]) -> list[Fault]:
    """The faults that ``text`` names, in order of time. Raises UsageError that names the clause and what is wrong."""
    faults = []
    for clause in text.split(","):
        found = _CLAUSE.fullmatch(clause.strip())
        if found is None:
            raise UsageError(
                f"--chaos {clause!r}: not like kill:nova@10, restart:nats@20, break:LEAF@15+5, pause:nova@5+2"
            )
        what, target, at_s, for_s = found.groups()
        known: dict[str, Sequence[str]] = {"kill": roles, "restart": SERVERS, "break": leaves, "pause": roles}
        if target not in known[what]:
            raise UsageError(f"--chaos {clause.strip()}: {target} is none of {', '.join(known[what])}")
        if (for_s is not None) != (what in ("break", "pause")):
            raise UsageError(f"--chaos {clause.strip()}: break and pause, and only they, last: +SECONDS")
        faults.append(Fault(float(at_s), what, target, float(for_s or 0)))  # type: ignore[arg-type]
    return sorted(faults)


def drawn(seed: int, every_s: float, until_s: float, roles: Sequence[str], leaves: Sequence[str]) -> list[Fault]:
    """A fault in each ``every_s`` seconds until ``until_s``, all kinds in turn. When, and who is hit, is drawn.

    The same ``seed`` draws the same.
    """
    chance = random.Random(seed)
    kinds: list[tuple[Kind, Sequence[str], float]] = [
        ("kill", roles, 0.0),
        ("restart", SERVERS[:1], 0.0),
        ("break", leaves, BREAK_S),
        ("restart", SERVERS[1:], 0.0),
        ("pause", roles, PAUSE_S),
    ]
    faults = []
    for number in range(math.ceil(max(until_s - FIRST_S, 0) / every_s)):
        what, targets, for_s = kinds[number % len(kinds)]
        from_s = FIRST_S + number * every_s
        at_s = round(chance.uniform(from_s, min(from_s + every_s, until_s)), 3)
        faults.append(Fault(at_s, what, chance.choice(targets), for_s))
    return faults
