"""The operation: ports of many instances-to-come, asked for in one request (2017, containers). Its id is its key.

Written by publishers (requests) and by IPAM (outcomes).
"""

from typing import Annotated, ClassVar, Literal

import msgspec

from bus.events.base import Event
from bus.events.identifiers import InstanceId, Token
from bus.events.instance import Labels

#: Ports in one request.
ITEMS_MAX = 1000


class PortItem(msgspec.Struct, frozen=True, kw_only=True):
    """One port: of which instance, on which host, out of which network (an id) or of any that carries ``label``.

    ``name`` is the name that the instance will have, its id unless given; with the pod's ``labels`` it makes the
    port's unique name (``port_name``).
    """

    instance: InstanceId
    host: Token
    name: Token | None = None
    labels: Labels = msgspec.field(default_factory=dict)
    network: Token | None = None
    label: Token | None = None


class RefusedItem(msgspec.Struct, frozen=True, kw_only=True):
    """A port that could not be had. ``field`` and ``value`` name what was wrong."""

    instance: InstanceId
    reason: str
    field: str
    value: str


class OperationPortsRequested(Event, tag="operation.ports_requested.v1", frozen=True, kw_only=True):
    """A publisher asks for the ports of ``items`` at once: DOWN_DOWN, unbound, ready for instances that come later.

    Each item ends allocated or refused on its own; if ``atomic``, all are allocated or none stays.
    """

    operation: Token
    az: Token
    atomic: bool = False
    items: Annotated[tuple[PortItem, ...], msgspec.Meta(min_length=1, max_length=ITEMS_MAX)]


class OperationCompleted(Event, tag="operation.completed.v1", frozen=True, kw_only=True):
    """I: how the request ended. ``allocated`` are instances; an atomic one that was refused names the first refused."""

    once: ClassVar[bool] = True
    operation: Token
    az: Token
    outcome: Literal["done", "partly", "refused"]
    allocated: tuple[Token, ...] = ()
    refused: tuple[RefusedItem, ...] = ()


class OperationReleaseRequested(Event, tag="operation.release_requested.v1", frozen=True, kw_only=True):
    """A publisher gives back all ports of the operation that no instance was asked for."""

    operation: Token


class OperationReleased(Event, tag="operation.released.v1", frozen=True, kw_only=True):
    """I: these instances' ports go; ``kept`` have been asked for and keep theirs."""

    operation: Token
    released: tuple[Token, ...] = ()
    kept: tuple[Token, ...] = ()


class OperationRefused(Event, tag="operation.refused.v1", frozen=True, kw_only=True):
    """I: the request cannot be taken up at all; nothing was changed."""

    operation: Token
    reason: str
    field: str
    value: str
