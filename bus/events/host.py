"""Regions, availability zones and the dual-homed hosts in them."""

from typing import Annotated

import msgspec

from bus.events.base import Event, Token


class RegionAdded(Event, tag="region.added.v1", frozen=True, kw_only=True):
    """A region: a site with availability zones."""

    region: Token


class AzAdded(Event, tag="az.added.v1", frozen=True, kw_only=True):
    """An availability zone of a region."""

    az: Token
    region: Token


class HostAdded(Event, tag="host.added.v1", frozen=True, kw_only=True):
    """A host whose two NICs (one bond) go to the same interface of both leaves of a pair.

    ``capacity`` is how many instances it may hold.
    """

    host: Token
    az: Token
    leaf_a: Token
    leaf_b: Token
    interface: Token
    capacity: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 500


def physical_network(leaf_a: str, leaf_b: str) -> str:
    """The scope in which a VLAN id is unique (Neutron's term): one leaf pair, whichever way round it is named."""
    first, second = sorted((leaf_a, leaf_b))
    return f"{first}-{second}"
