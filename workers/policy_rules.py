"""Compiled policy: what a host holds for one port, and what it makes of a packet. PURE.

Inwards a rule goes by the identity that the packet carries: its sender's host puts it there. Outwards it goes by
addresses: a host cannot know more of a receiver. An identity is a number for a set of labels (as in Cilium), so a pod
more with labels that were seen before changes no rule inwards.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

import msgspec

from bus.events import HttpRule

#: The identity of whoever is under no enforcement: no set of labels has it.
NOBODY = 0
Protocol = Literal["tcp", "udp", "icmp"]
PORT_MAX = 65535


class Flow(msgspec.Struct, frozen=True):
    """What is asked of the oracle: a packet of this protocol to this port, carrying this HTTP request (L7), if any.

    ``reply``: it is the answer to such a packet, sent by the one that was asked.
    """

    protocol: Protocol = "icmp"
    port: int = 0
    method: str = ""
    path: str = ""
    reply: bool = False

    def __str__(self) -> str:
        where = f"{self.protocol}/{self.port}" if self.port else self.protocol
        return f"{where} {self.method} {self.path}".rstrip()


class HeldRule(msgspec.Struct, frozen=True):
    """One compiled rule. ``any_peer``, or a peer of one of the identities, or with an address in one of the CIDRs."""

    name: str
    any_peer: bool = False
    identities: tuple[int, ...] = ()
    cidrs: tuple[str, ...] = ()
    protocol: str = "any"
    ports: tuple[int, ...] = ()
    http: tuple[HttpRule, ...] = ()


#: None: the direction is open.
HeldRules = tuple[HeldRule, ...] | None


class HeldPolicy(msgspec.Struct, frozen=True):
    """What a host holds for one claim of a port: whose identity its packets carry, and the rules of both directions."""

    generation: int
    revision: int
    identity: int
    ingress: HeldRules = None
    egress: HeldRules = None


def verdict(rules: HeldRules, identity: int, ip: str, flow: Flow) -> tuple[bool, str]:
    """Whether ``rules`` let a packet from or to this peer pass, and the rule that does, or why none does."""
    if rules is None:
        return True, "no policy"
    close = ""
    for rule in rules:
        if _peer(rule, identity, ip) and _l4(rule, flow):
            if _l7(rule.http, flow):
                return True, rule.name
            close = f"{rule.name} asks for {' or '.join(map(_said, rule.http))}"
    return False, close or "no rule allows it"


def _peer(rule: HeldRule, identity: int, ip: str) -> bool:
    return rule.any_peer or identity in rule.identities or _inside(rule.cidrs, ip)


def _inside(cidrs: Sequence[str], ip: str) -> bool:
    return any(_address(ip) in _network(cidr) for cidr in cidrs)


def _l4(rule: HeldRule, flow: Flow) -> bool:
    return rule.protocol in ("any", flow.protocol) and (not rule.ports or flow.port in rule.ports)


def _l7(http: Sequence[HttpRule], flow: Flow) -> bool:
    return not http or any(_asks(one, flow) for one in http)


def _asks(one: HttpRule, flow: Flow) -> bool:
    if not flow.method:  # a connection alone: the proxy waits for the request
        return False
    prefix = one.path.removesuffix("*")
    path = not one.path or (flow.path.startswith(prefix) if prefix != one.path else flow.path == one.path)
    return one.method in ("", flow.method) and path


def _said(one: HttpRule) -> str:
    return f"{one.method or 'any method'} {one.path or 'any path'}"


@lru_cache(maxsize=1 << 14)
def _address(ip: str) -> IPv4Address:
    return IPv4Address(ip)


@lru_cache(maxsize=1 << 14)
def _network(cidr: str) -> IPv4Network:
    return IPv4Network(cidr)
