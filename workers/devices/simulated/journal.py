"""The memory of devices that outlive the process that models them: an append-only file of what was done to them.

JSON lines: the cabling, the effects that reached a device (refused ones too: they count as well, and replaying is
deterministic), power and partitions of hosts, what was done by hand, the moves of MACs with their times, and whole
states of devices after a compaction.
One write per group and no fsync: this is a model's memory, not a log that anyone relies on after a power failure.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from workers.devices.simulated.device import CableDevice, DeviceState
from workers.devices.simulated.fabric import Cable, CableHost, CableLeaf, Fabric, SetHosts, State
from workers.devices.simulated.host import HostState
from workers.devices.simulated.leaf import LeafState
from workers.devices.simulated.mobility import Station
from workers.devices.simulated.tamper import (
    Act,
    AddEntry,
    AddFlow,
    AddVnic,
    Announce,
    DropEntry,
    DropFlow,
    DropPolicy,
    DropRow,
    DropVnic,
)
from workers.effects import AnyEffect


class Partly(msgspec.Struct, frozen=True, tag=True):
    """A resync that the device performed in ``part`` only (``Fabric.perform``)."""

    effect: AnyEffect
    part: float


Record = AnyEffect | Partly | Cable | SetHosts | Act | State | Station

#: A journal with more lines than this is rewritten when it is opened.
COMPACT_ABOVE_LINES = 100_000

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class JournalBroken(Exception):
    """The journal cannot be read; the text names the file and the line."""


class Journal:
    """An open journal. ``fabric`` is what it told when it was opened; write to it what is done to the fabric since."""

    def __init__(self, path: Path, *, compact_above_lines: int = COMPACT_ABOVE_LINES) -> None:
        """Open the journal at ``path``, creating it if need be.

        A last line that was not written to its end is dropped. Raises JournalBroken for any other that cannot be read,
        and OSError.
        """
        data = path.read_bytes() if path.exists() else b""
        whole = data.rpartition(b"\n")[0]
        lines = whole.split(b"\n") if whole else []
        self.fabric = _rebuild(path, lines)
        if len(lines) > compact_above_lines:
            _replace(path, [*self.fabric.cables(), *self.fabric.states(), *self.fabric.mobility.stations()])
        self._file: BinaryIO = path.open("ab")
        if len(lines) <= compact_above_lines and len(whole) + 1 < len(data):
            self._file.truncate(len(whole) + 1 if whole else 0)

    def write(self, records: Sequence[Record]) -> None:
        """Add ``records`` in one write. Raises OSError."""
        if records:
            self._file.write(_encoder.encode_lines(records))
            self._file.flush()

    @property
    def closed(self) -> bool:
        """Whether writing is an error."""
        return self._file.closed

    def close(self) -> None:
        """Close the file; writing is an error from now on."""
        self._file.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _rebuild(path: Path, lines: Iterable[bytes]) -> Fabric:
    fabric = Fabric()
    for number, line in enumerate(lines, start=1):
        try:
            _replay(fabric, _decoder.decode(line))
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            raise JournalBroken(f"{path}: line {number}: {error}") from error
    fabric.mobility.take_changed()  # it is in the journal
    return fabric


def _replay(fabric: Fabric, record: Record) -> None:
    match record:
        case CableLeaf() | CableHost() | CableDevice():
            fabric.cable(record)
        case HostState() | LeafState() | DeviceState():
            fabric.restore(record)
        case Station():
            fabric.mobility.restore(record)
        case SetHosts():
            fabric.set_hosts(record)
        case AddVnic() | DropVnic() | AddFlow() | DropFlow() | Announce() | DropPolicy():
            fabric.tamper(record)
        case AddEntry() | DropEntry() | DropRow():
            fabric.tamper(record)
        case Partly(effect, part):
            fabric.perform(effect, part)
        case _:
            fabric.perform(record)


def _replace(path: Path, records: Sequence[Record]) -> None:
    """Put ``records`` in the place of the whole journal, at once."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(_encoder.encode_lines(records))
    new.replace(path)
