"""Devices that are slow, refuse, lie, fall silent or are late: what becomes of each effect, drawn from a seed.

As text, for a command line, a clause per effect class (fields as in ``EffectFaults``) or broken device:
``LeafVlan:latency=0.05,fail=0.1;PlugVnic:late=0.2,lateness=10;ResyncFlows:partial=0.5;broken:az1-l2=no power``. A
device that hangs answers nothing, and whoever asks gives up after so many seconds: ``hung:az1-l2=30``.
"""

import random
from typing import NamedTuple, get_args

import msgspec

from workers.effects import AnyEffect, ResyncFlows, ResyncHost

#: The effect classes that faults can be set for.
CLASSES = tuple(kind.__name__ for kind in get_args(AnyEffect))
_BROKEN, _HUNG = "broken", "hung"


class EffectFaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may happen to effects of one class. Raises ValueError for a value out of range.

    ``latency`` is in seconds, ``jitter`` a fraction of it (0.2: evenly spread over ±20 %). The others are
    probabilities: ``fail`` (refused, nothing done), ``applied_fail`` (done, but reported as failed), ``timeout`` (no
    answer ever, and as often done as not), ``partial`` (the device dies on the way: no answer ever; of a resync some
    ports were done, of anything else nothing), ``late`` (no answer ever, and done later: after up to ``lateness``
    seconds more).
    """

    latency: float = 0.0
    jitter: float = 0.0
    fail: float = 0.0
    applied_fail: float = 0.0
    timeout: float = 0.0
    partial: float = 0.0
    late: float = 0.0
    lateness: float = 5.0

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if not 0 <= value <= (3600 if field in ("latency", "lateness") else 1):
                raise ValueError(f"{field}: {value} is out of range")
        if self.fail + self.applied_fail + self.timeout + self.partial + self.late > 1:
            raise ValueError("fail, applied_fail, timeout, partial, late: together more than 1")


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may happen: per effect class, devices that refuse everything (name → error text), and such as never answer
    (name → after how many seconds whoever asks gives up).
    """

    effects: dict[str, EffectFaults] = {}
    broken: dict[str, str] = {}
    seed: int = 0
    hung: dict[str, float] = {}

    def __post_init__(self) -> None:
        for kind in self.effects:
            if kind not in CLASSES:
                raise ValueError(f"effect class: {kind!r} is none of {', '.join(CLASSES)}")
        for device, for_s in self.hung.items():
            if not 0 <= for_s <= 3600:
                raise ValueError(f"{_HUNG}: {device}: {for_s} is out of range")


class Fate(NamedTuple):
    """What becomes of one effect: after ``delay_s`` it is applied or not, and answered with ``error`` or not at all.

    A resync is applied in ``part``. If ``late_s`` is not 0, the effect is applied so many seconds after it was due.
    """

    delay_s: float
    apply: bool
    error: str
    answer: bool
    part: float = 1.0
    late_s: float = 0.0


_GOOD = Fate(0.0, True, "", True)


class Dice:
    """Draws fates. The same plan and the same effects in the same order give the same fates."""

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self._random = random.Random(plan.seed)

    def decide(self, effect: AnyEffect) -> Fate:
        """What becomes of ``effect``."""
        plan = self.plan
        faults = plan.effects.get(type(effect).__name__)
        if faults is None and not plan.broken and not plan.hung:
            return _GOOD
        if effect.device in plan.hung:
            return Fate(plan.hung[effect.device], False, "", False)
        delay_s = 0.0 if faults is None else self._delay_s(faults)
        if effect.device in plan.broken:
            return Fate(delay_s, False, f"{effect.device}: {plan.broken[effect.device]}", True)
        return Fate(delay_s, True, "", True) if faults is None else self._fate(effect, faults, delay_s)

    def _delay_s(self, faults: EffectFaults) -> float:
        if not faults.jitter:
            return faults.latency
        return faults.latency * (1 + faults.jitter * self._random.uniform(-1, 1))

    def _fate(self, effect: AnyEffect, faults: EffectFaults, delay_s: float) -> Fate:
        drawn = self._random.random()
        if drawn < faults.fail:
            return Fate(delay_s, False, f"{effect.device}: injected failure", True)
        drawn -= faults.fail
        if drawn < faults.applied_fail:
            return Fate(delay_s, True, f"{effect.device}: injected failure after it was applied", True)
        drawn -= faults.applied_fail
        if drawn < faults.timeout:
            return Fate(delay_s, self._random.random() < 0.5, "", False)
        drawn -= faults.timeout
        if drawn < faults.partial:
            return Fate(delay_s, isinstance(effect, ResyncHost | ResyncFlows), "", False, part=self._random.random())
        drawn -= faults.partial
        if drawn < faults.late:
            return Fate(delay_s, True, "", False, late_s=faults.lateness * (1 - self._random.random()))
        return Fate(delay_s, True, "", True)


def parse_faults(text: str, seed: int = 0) -> FaultPlan:
    """The plan that ``text`` describes (see above). Raises ValueError naming the field and the value."""
    effects: dict[str, EffectFaults] = {}
    broken: dict[str, str] = {}
    hung: dict[str, float] = {}
    for clause in filter(None, (part.strip() for part in text.split(";"))):
        head, separator, rest = clause.partition(":")
        if not separator:
            raise ValueError(
                f"faults: {clause!r} is not CLASS:FIELD=VALUE,… or {_BROKEN}:DEVICE=TEXT or {_HUNG}:DEVICE=SECONDS"
            )
        if head == _BROKEN:
            device, _, error = rest.partition("=")
            broken[device] = error or "broken"
        elif head == _HUNG:
            device, _, text_s = rest.partition("=")
            hung[device] = _number(f"{_HUNG}: {device}", text_s)
        else:
            effects[head] = _effect_faults(head, rest)
    try:
        return FaultPlan(effects, broken, seed, hung)
    except ValueError as error:
        raise ValueError(f"faults: {error}") from None


def _effect_faults(kind: str, text: str) -> EffectFaults:
    values: dict[str, float] = {}
    for item in text.split(","):
        field, _, value = item.partition("=")
        if field not in EffectFaults.__struct_fields__:
            fields = ", ".join(EffectFaults.__struct_fields__)
            raise ValueError(f"faults: {kind}: field {field!r} is none of {fields}")
        values[field] = _number(f"{kind}: {field}", value)
    try:
        return EffectFaults(**values)
    except ValueError as error:
        raise ValueError(f"faults: {kind}: {error}") from None


def _number(what: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"faults: {what}: {text!r} is no number") from None
