"""Tables of devices that are not bound to a port: compared with the log by the worker whose tables they are."""

from typing import Literal

import msgspec

from bus.events.base import Event
from bus.events.host import Epoch
from bus.events.identifiers import Token

#: ``trunk``: provider VLANs and shut interfaces of a leaf (cnc); ``gateways`` of a router (core-router); ``border``:
#: leaks and lines of a border (border); ``blocks``: blocks that a host or a leaf knows the way to (block-routes).
DeviceTable = Literal["trunk", "gateways", "border", "blocks"]


class DeviceAuditRequested(Event, tag="device.audit_requested.v1", frozen=True, kw_only=True):
    """Compare a table of the device with what the log says. By the clock, or by an operator."""

    device: Token
    table: DeviceTable


class TableDifference(msgspec.Struct, frozen=True, tag="table"):
    """An entry, by its key, that is ``held`` otherwise than it is ``wished``. Empty: not at all."""

    key: str
    held: str
    wished: str

    @property
    def missing(self) -> bool:
        """Whether the device lacks it, or holds it otherwise; else it holds what nobody wishes."""
        return bool(self.wished)


class DeviceAudited(Event, tag="device.audited.v1", frozen=True, kw_only=True):
    """Where the table differs from what the log said at ``epoch`` or later. What still does is repaired.

    ``error``: it could not be compared.
    """

    device: Token
    table: DeviceTable
    epoch: Epoch
    differences: tuple[TableDifference, ...] = ()
    error: str = ""
