"""The core router: it holds the gateways of provider networks (Figures 3 and 4). Written by the worker core-router."""

from bus.events.base import Event, Token, Vlan
from bus.events.host import Epoch


class RouterAdded(Event, tag="router.added.v1", frozen=True, kw_only=True):
    """The core router, connected to every leaf by a trunk of all provider VLANs. There is one."""

    router: Token


class RouterGatewayEvent(Event, frozen=True, kw_only=True):
    """The gateway of one network: ``address`` with its prefix length, on the interface of ``vlan``.

    ``epoch`` is the log position of what this answers: the subnet or the change of its gateway.
    """

    router: Token
    network: Token
    vlan: Vlan
    address: str
    epoch: Epoch


class RouterGatewayConfigured(RouterGatewayEvent, tag="router.gateway_configured.v1", frozen=True, kw_only=True):
    """The router acknowledged: it answers for the address, and no longer for the one before."""


class RouterGatewayFailed(RouterGatewayEvent, tag="router.gateway_failed.v1", frozen=True, kw_only=True):
    """The router could not be brought to it, and is as it was."""

    reason: str
