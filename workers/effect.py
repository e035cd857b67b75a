"""What all effects share (``workers.effects``)."""

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
