"""What effects share (``workers.effects``): of all, of those for a claim of a port, of those on a device as a whole."""

import msgspec

#: (device, part of the device): what an effect acts on.
Slot = tuple[str, ...]


class Effect(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all effects. ``device`` is the host or leaf that performs it."""

    device: str

    @property
    def slot(self) -> Slot:
        """What this effect acts on."""
        raise TypeError(f"{type(self).__name__} names no slot")

    @property
    def version(self) -> int:
        """Which wish for the slot this is, where one input of the log may come to ask for several."""
        raise TypeError(f"{type(self).__name__} has no version")

    @property
    def withdraws(self) -> bool:
        """Whether this takes something away: then it is tried until it succeeds, or it would leave something behind."""
        return False


class PortEffect(Effect, frozen=True, kw_only=True):
    """An effect on a host, for one claim of one port.

    A host that was told to take a ``generation`` away refuses to be given it, or an older one, ever again.
    """

    port: str
    az: str
    generation: int

    @property
    def version(self) -> int:
        return self.generation


class DeviceEffect(Effect, frozen=True, kw_only=True):
    """An effect on a device as a whole, answering to the event at log position ``epoch``."""

    az: str
    epoch: int

    @property
    def slot(self) -> Slot:
        return (self.device, type(self).__name__)

    @property
    def version(self) -> int:
        return self.epoch

    @property
    def withdraws(self) -> bool:
        return True
