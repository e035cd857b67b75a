"""The labels of pods, by instance. PURE."""

from collections.abc import Mapping

from bus.envelope import Recorded
from bus.events import InstanceDeleted, InstanceScheduled
from bus.events.policy import Selector
from projections.fold import NOTHING, Fold, Touched, on


class PodLabels(Fold):
    """What labels each instance was scheduled with. Not persisted: the name of its port is made of them."""

    def __init__(self) -> None:
        super().__init__()
        self._labels: dict[str, Mapping[str, str]] = {}

    def of(self, instance: str) -> Mapping[str, str]:
        """The labels of an instance; none if it has none, or does not live."""
        return self._labels.get(instance, {})

    @on(InstanceScheduled)
    def _scheduled(self, r: Recorded, e: InstanceScheduled) -> tuple[Touched, ...]:
        self._labels.setdefault(e.instance, e.labels)
        return NOTHING

    @on(InstanceDeleted)
    def _deleted(self, r: Recorded, e: InstanceDeleted) -> tuple[Touched, ...]:
        self._labels[e.instance] = {}  # kept: a copy of its schedule must not bring them back
        return NOTHING


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a pod with these labels is selected: it carries all that the selector names."""
    return selector == "all" or all(labels.get(name) == value for name, value in pairs(selector))


def pairs(selector: Selector) -> list[tuple[str, str]]:
    """The labels that ``selector`` names, by name; none if it selects all."""
    return sorted(selector.items()) if isinstance(selector, dict) else []


def told(selector: Selector) -> str:
    """The selector as text."""
    return ",".join(f"{name}={value}" for name, value in pairs(selector)) or "all"
