"""The core router: it holds the gateways of provider networks (Figures 3 and 4). Written by the worker core-router."""

from typing import Annotated

import msgspec

from bus.events.base import Event, Vlan
from bus.events.host import Epoch
from bus.events.identifiers import Token


class RouterAdded(Event, tag="router.added.v1", frozen=True, kw_only=True):
    """The core router, connected to every leaf by a trunk of all provider VLANs. There is one."""

    router: Token


class RouterGatewayConfigured(Event, tag="router.gateway_configured.v2", frozen=True, kw_only=True):
    """The router acknowledged: it answers for this gateway of the network, and no longer for the one before.

    ``ip`` is on the interface of ``vlan``; ``epoch`` is the log position of what this answers, the subnet or the change
    of its gateway. There is no failure: it is tried until it succeeds. v1 had ip and prefix length as one text.
    """

    router: Token
    network: Token
    vlan: Vlan
    ip: Annotated[str, msgspec.Meta(pattern=r"^\d{1,3}(\.\d{1,3}){3}(?![\s\S])", description="IPv4 address")]
    prefix_length: Annotated[int, msgspec.Meta(ge=0, le=32)]
    epoch: Epoch
