"""An ingress: a proxy with one leg in a VPC and one in the plane of a cluster's pods (Figure 12)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from bus.events import Event, IngressAdded
from workers.devices.simulated.device import CableDevice, Kind
from workers.effects import INGRESS, AnyEffect, ConfigureIngress, HeldListener


class Ingress:
    """One proxy. ``outside`` and ``inside`` are the ports of its legs, empty until it was configured."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = 0
        self.outside = self.inside = ""
        self.listeners: tuple[HeldListener, ...] = ()

    def perform(self, effect: AnyEffect) -> str:
        """Listen as ``effect`` wishes, unless something newer was wished."""
        if not isinstance(effect, ConfigureIngress):
            return f"ingress {self.name}: an ingress cannot perform {type(effect).__name__}"
        if effect.epoch > self.epoch:
            self.epoch, self.outside, self.inside = effect.epoch, effect.outside, effect.inside
            self.listeners = effect.listeners
        return ""

    def state(self) -> dict[str, Any]:
        """What it listens to, and as of when."""
        if not self.epoch:
            return {}
        listeners = msgspec.to_builtins(self.listeners)
        return {"epoch": self.epoch, "outside": self.outside, "inside": self.inside, "listeners": listeners}

    def restore(self, held: Mapping[str, Any]) -> None:
        """Listen as ``state`` said."""
        self.epoch, self.outside, self.inside = held.get("epoch", 0), held.get("outside", ""), held.get("inside", "")
        self.listeners = msgspec.convert(held.get("listeners", ()), tuple[HeldListener, ...])

    def size(self) -> int:
        """How many ports it listens to."""
        return len(self.listeners)


def _make(name: str, options: Mapping[str, str]) -> Ingress:
    return Ingress(name)


def _described_by(event: Event) -> CableDevice | None:
    return CableDevice(event.ingress, INGRESS) if isinstance(event, IngressAdded) else None


KIND = Kind(INGRESS, _make, _described_by)
