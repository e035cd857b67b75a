"""The language between a fabric that is a process of its own and those who ask it: JSON, one tagged union each way.

``remote`` has the two ends. What may be large goes in parts that stay below the 1 MiB that a NATS server takes in one
message unless told otherwise.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import msgspec

from workers.devices.protocol import Outcome
from workers.devices.simulated.device import CableDevice, DeviceState
from workers.devices.simulated.evpn import Route
from workers.devices.simulated.fabric import CableHost, CableLeaf, Leftovers, SetHosts, State
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.hops import Route as HopRoute
from workers.devices.simulated.host import HostState
from workers.devices.simulated.leaf import LeafState
from workers.devices.simulated.reachability import Path
from workers.devices.simulated.tamper import Act
from workers.effects import (
    AnyEffect,
    AuditHost,
    AuditLeaf,
    AuditTable,
    Difference,
    InstallPolicy,
    ResyncFlows,
    ResyncHost,
)
from workers.policy_rules import Flow

#: Where a fabric is served: outside of the log's subjects, so that no stream keeps requests.
SUBJECT = "dlrpc.devices"
#: How many effects, outcomes, differences, cables or table entries one message holds; each takes up to about 500 bytes.
ITEMS_PER_MESSAGE = 1500
#: What a message may hold in bytes, with some room for what the transport adds.
MAX_BYTES = 1_000_000
#: How many peers of a policy's rule take the room of one item, and how many policies one message of a dump holds.
PEERS_PER_ITEM, POLICIES_PER_MESSAGE = 20, 50
#: How many paths one message holds; each takes up to about 3 kB.
PATHS_PER_MESSAGE = 300

T = TypeVar("T")
Handler = Callable[[bytes], AsyncIterator[bytes]]


class Channel(Protocol):
    """Requests with any number of answers each."""

    async def serve(self, subject: str, handler: Handler) -> None:
        """Answer each request on ``subject`` with what ``handler`` yields for it, until cancelled."""
        ...

    def call(self, subject: str, data: bytes, timeout_s: float) -> AsyncIterator[bytes]:
        """The answers to one request, until the last.

        Raises:
            ConnectionError, NoResponder, LogUnavailable: nobody who serves ``subject`` can be reached.
            CallFailed: the handler raised; part of it may have been carried out.
            TimeoutError (NoReply is one): neither another answer nor the end has come for ``timeout_s``.
        """
        ...


class Ask(msgspec.Struct, frozen=True):
    """One question to the oracle: the arguments of ``reachability.trace``."""

    src_port: str
    dst_port: str = ""
    dst_ip: str = ""
    flow: Flow = Flow()


class Apply(msgspec.Struct, frozen=True, tag=True):
    """Perform these effects. Answered by ``Outcomes``, and ``Found`` before them, as they become known."""

    effects: Sequence[AnyEffect]


class Cabling(msgspec.Struct, frozen=True, tag=True):
    """Put up these leaves, then these hosts, then these others. Answered by ``Done``."""

    leaves: Sequence[CableLeaf] = ()
    hosts: Sequence[CableHost] = ()
    devices: Sequence[CableDevice] = ()


class Trace(msgspec.Struct, frozen=True, tag=True):
    """Ask the oracle. Answered by ``Paths``."""

    asks: Sequence[Ask]


class TracePath(msgspec.Struct, frozen=True, tag=True):
    """List every hop from one port to another: the arguments of ``hops.route``. Answered by ``Routed``."""

    src_port: str
    dst_port: str
    layout: str = ""


class Dump(msgspec.Struct, frozen=True, tag=True):
    """What do the devices hold? Answered by any number of ``Dumped``."""


class AskRoutes(msgspec.Struct, frozen=True, tag=True):
    """The EVPN routes: the arguments of ``evpn.routes``. Answered by any number of ``Routes``."""

    leaf: str = ""
    route_type: int = 0
    vni: int = 0


class CountLeftovers(msgspec.Struct, frozen=True, tag=True):
    """How much do the devices hold? Answered by ``Counted``."""


class SetFaults(msgspec.Struct, frozen=True, tag=True):
    """From now on effects fare as the plan says. Answered by ``Done``."""

    plan: FaultPlan


class Tamper(msgspec.Struct, frozen=True, tag=True):
    """Do this to devices by hand. Answered by ``Done``."""

    acts: Sequence[Act]


class WhoIsAlive(msgspec.Struct, frozen=True, tag=True):
    """Which of these hosts can be heard? Answered by ``Alive``."""

    hosts: Sequence[str]


#: ``SetHosts`` is answered by ``Done``.
Request = (
    Apply | Cabling | Trace | TracePath | Dump | AskRoutes | CountLeftovers | SetFaults | SetHosts | Tamper | WhoIsAlive
)


class Outcomes(msgspec.Struct, frozen=True, tag=True):
    """As in ``Devices.apply``, with indices into the effects of the request."""

    outcomes: Sequence[Outcome]


class Found(msgspec.Struct, frozen=True, tag=True):
    """The first, or next, part of what the effect at ``index`` found; its outcome brings the last."""

    index: int
    found: tuple[Difference, ...]


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Those of the hosts asked for that can be heard, in the order of the question."""

    hosts: Sequence[str]


class Paths(msgspec.Struct, frozen=True, tag=True):
    """What the oracle says to each question, in their order."""

    paths: Sequence[Path]


class Routed(msgspec.Struct, frozen=True, tag=True):
    """The hops of one way."""

    route: HopRoute


class Dumped(msgspec.Struct, frozen=True, tag=True):
    """A part of what one device holds, without epochs and fences."""

    state: State


class Routes(msgspec.Struct, frozen=True, tag=True):
    """The first, or next, part of the routes."""

    routes: Sequence[Route]


class Counted(msgspec.Struct, frozen=True, tag=True):
    """How much the devices hold."""

    leftovers: Leftovers


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is as was asked for."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The request cannot be granted: ``error`` names what is wrong with it."""

    error: str


Answer = Outcomes | Found | Alive | Paths | Routed | Dumped | Routes | Counted | Done | Refused

encode = msgspec.json.Encoder().encode
#: bytes → Request. Raises msgspec.DecodeError.
decode_request = msgspec.json.Decoder(Request).decode
#: bytes → Answer. Raises msgspec.DecodeError.
decode_answer = msgspec.json.Decoder(Answer).decode


def parts(items: Sequence[T], size: int = ITEMS_PER_MESSAGE) -> Iterator[Sequence[T]]:
    """``items`` in parts of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def effect_parts(effects: Sequence[AnyEffect]) -> Iterator[Sequence[AnyEffect]]:
    """``effects`` in parts for a message each. One that is larger than a message is alone in its part."""
    return _packed(effects, _weight)


def outcome_parts(outcomes: Sequence[Outcome]) -> Iterator[Found | Outcomes]:
    """``outcomes`` in answers of a message each."""
    last: list[Outcome] = []
    for outcome in outcomes:
        if len(outcome.found) < ITEMS_PER_MESSAGE:
            last.append(outcome)
            continue
        *first, rest = parts(outcome.found)
        yield from (Found(outcome.index, tuple(found)) for found in first)
        last.append(outcome._replace(found=tuple(rest)))
    for packed in _packed(last, lambda outcome: 1 + len(outcome.found)):
        yield Outcomes(packed)


def _packed(items: Sequence[T], weight: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """``items`` in parts that weigh at most ``ITEMS_PER_MESSAGE`` each, or hold one item."""
    start = full = 0
    for index, item in enumerate(items):
        full += weight(item)
        if full > ITEMS_PER_MESSAGE and index > start:
            yield items[start:index]
            start, full = index, weight(item)
    if items:
        yield items[start:]


def _weight(effect: AnyEffect) -> int:
    match effect:
        case ResyncHost(keep=keep):
            return 1 + len(keep)
        case ResyncFlows(flows=flows):
            return 1 + len(flows)
        case AuditHost(vnics=vnics, flows=flows, policies=policies):
            return 1 + len(vnics) + len(flows) + len(policies)
        case AuditLeaf(entries=wished):
            return 1 + len(wished)
        case AuditTable(entries=entries):
            return 1 + len(entries)
        case InstallPolicy(ingress=ingress, egress=egress):
            rules = (*(ingress or ()), *(egress or ()))
            return 1 + sum(1 + (len(rule.identities) + len(rule.cidrs)) // PEERS_PER_ITEM for rule in rules)
        case _:
            return 1


def state_parts(state: State) -> Iterator[State]:
    """``state`` in parts that fit into a message each, without epochs and fences; ``dump_of`` joins them."""
    if isinstance(state, LeafState):
        yield from (LeafState(state.leaf, list(part), []) for part in parts(state.entries))
        if state.trunk or state.shut:  # at most 4094 small numbers, and names of interfaces
            yield LeafState(state.leaf, [], [], state.trunk, state.shut)
        yield from (LeafState(state.leaf, [], [], blocks=dict(part)) for part in parts(list(state.blocks.items())))
        return
    if isinstance(state, DeviceState):
        yield state
        return
    for vnics in parts(list(state.vnics.items())):
        yield HostState(state.host, dict(vnics), {}, [])
    for flows in parts(list(state.flows.items())):
        yield HostState(state.host, {}, dict(flows), [])
    for policies in parts(list(state.policies.items()), POLICIES_PER_MESSAGE):
        yield HostState(state.host, {}, {}, [], policies=dict(policies))
    if state.trunk:  # at most 4094 small numbers
        yield HostState(state.host, {}, {}, state.trunk)
    for blocks in parts(list(state.blocks.items())):
        yield HostState(state.host, {}, {}, [], blocks=dict(blocks))
