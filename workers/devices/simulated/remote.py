"""The two ends of a fabric that is a process of its own: ``serve_fabric`` has it, ``RemoteDevices`` asks it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from bus.errors import CallFailed, LogUnavailable, NoResponder
from workers.devices.protocol import Devices, Outcome
from workers.devices.simulated.device import CableDevice
from workers.devices.simulated.driver import SimulatedDevices
from workers.devices.simulated.evpn import Route, routes
from workers.devices.simulated.fabric import Cable, CableHost, CableLeaf, Fabric, Leftovers, SetHosts, State, dump_of
from workers.devices.simulated.faults import FaultPlan
from workers.devices.simulated.hops import Route as HopRoute
from workers.devices.simulated.hops import route
from workers.devices.simulated.reachability import Path, trace
from workers.devices.simulated.tamper import Act
from workers.devices.simulated.wire import (
    MAX_BYTES,
    PATHS_PER_MESSAGE,
    SUBJECT,
    Alive,
    Answer,
    Apply,
    Ask,
    AskRoutes,
    Cabling,
    Channel,
    Counted,
    CountLeftovers,
    Done,
    Dump,
    Dumped,
    Found,
    Outcomes,
    Paths,
    Refused,
    Request,
    Routed,
    Routes,
    SetFaults,
    Tamper,
    Trace,
    TracePath,
    WhoIsAlive,
    decode_answer,
    decode_request,
    effect_parts,
    encode,
    outcome_parts,
    parts,
    state_parts,
)
from workers.effects import AnyEffect, Difference
from workers.errors import DevicesUnavailable

#: How long a remote fabric may be silent before its answers are given up for lost, seconds.
TIMEOUT_S = 10.0

A = TypeVar("A", bound=Answer)
_UNREACHABLE = (ConnectionError, NoResponder, CallFailed, LogUnavailable)


async def serve_fabric(
    devices: SimulatedDevices, channel: Channel, subject: str = SUBJECT, asked: Devices | None = None
) -> None:
    """Answer requests for ``devices`` on ``subject``, for as long as the channel serves.

    ``asked``: through whom effects go to them, if somebody wants to know of these.
    """
    performing = asked or devices

    async def handle(data: bytes) -> AsyncIterator[bytes]:
        try:
            request = decode_request(data)
        except msgspec.DecodeError as error:
            yield encode(Refused(f"request: {error}"))
            return
        if isinstance(request, Apply):
            async for group in performing.apply(request.effects):
                for part in outcome_parts(group):
                    yield encode(part)
        elif isinstance(request, WhoIsAlive):
            alive = await devices.alive(request.hosts)
            yield encode(Alive([host for host in request.hosts if host in alive]))
        else:
            for answer in _answers(devices, request):
                yield encode(answer)

    await channel.serve(subject, handle)


def _answers(devices: SimulatedDevices, request: Request) -> Iterator[Answer]:
    """The answers to a request that needs no waiting."""
    try:
        match request:
            case Cabling(leaves, hosts, others):
                devices.cable([*leaves, *hosts, *others])
                yield Done()
            case SetFaults(plan):
                devices.set_faults(plan)
                yield Done()
            case SetHosts():
                devices.set_hosts(request)
                yield Done()
            case Tamper(acts):
                devices.tamper(acts)
                yield Done()
            case _:
                yield from _looked_up(devices.fabric, request)
    except ValueError as error:
        yield Refused(str(error))


def _looked_up(fabric: Fabric, request: Request) -> Iterator[Answer]:
    """The answers to a request that changes nothing. Raises ValueError for one that makes no sense."""
    match request:
        case Trace(asks):
            yield Paths(_traces(fabric, asks))
        case TracePath(src_port, dst_port, layout):
            yield Routed(route(fabric, src_port, dst_port, layout))
        case Dump():
            for state in fabric.states():
                yield from (Dumped(part) for part in state_parts(state))
        case AskRoutes(leaf, route_type, vni):
            yield from (Routes(part) for part in parts(routes(fabric, leaf, route_type, vni)))
        case CountLeftovers():
            yield Counted(fabric.leftovers())


def _traces(fabric: Fabric, asks: Iterable[Ask]) -> list[Path]:
    return [trace(fabric, ask.src_port, ask.dst_port, dst_ip=ask.dst_ip, flow=ask.flow) for ask in asks]


class RemoteDevices:
    """``Devices`` in another process, and the questions that can be asked of them.

    The questions raise DevicesUnavailable when no answer comes, and ValueError when the request is refused.
    """

    def __init__(self, channel: Channel, subject: str = SUBJECT, timeout_s: float = TIMEOUT_S) -> None:
        self._channel = channel
        self._subject = subject
        self._timeout_s = timeout_s

    async def apply(self, effects: Sequence[AnyEffect]) -> AsyncGenerator[Sequence[Outcome], None]:
        """See ``Devices.apply``. When the answers stop midway, what is missing is unknown and simply does not come."""
        answered = False
        try:
            async with aclosing(self._outcomes(effects)) as groups:
                async for group in groups:
                    answered = True
                    yield group
        except _UNREACHABLE as error:
            if not answered:
                raise DevicesUnavailable(f"{self._subject}: {error}") from error
        except TimeoutError:
            return

    async def cable(self, cables: Iterable[Cable]) -> None:
        """See ``SimulatedDevices.cable``; leaves are put up first."""
        known = list(cables)
        for leaves in parts([cable for cable in known if isinstance(cable, CableLeaf)]):
            await self._one(Cabling(leaves=leaves), Done)
        for hosts in parts([cable for cable in known if isinstance(cable, CableHost)]):
            await self._one(Cabling(hosts=hosts), Done)
        for others in parts([cable for cable in known if isinstance(cable, CableDevice)]):
            await self._one(Cabling(devices=others), Done)

    async def trace(self, asks: Sequence[Ask]) -> list[Path]:
        """What the oracle says to each question, in their order."""
        answers = [await self._one(Trace(part), Paths) for part in parts(asks, PATHS_PER_MESSAGE)]
        return [path for answer in answers for path in answer.paths]

    async def route(self, src_port: str, dst_port: str, layout: str = "") -> HopRoute:
        """See ``hops.route``."""
        return (await self._one(TracePath(src_port, dst_port, layout), Routed)).route

    async def dump(self) -> dict[str, Any]:
        """See ``Fabric.dump``."""
        states: list[State] = [answer.state for answer in await self._all(Dump(), Dumped)]
        return dump_of(states)

    async def routes(self, leaf: str = "", route_type: int = 0, vni: int = 0) -> list[Route]:
        """See ``evpn.routes``."""
        answers = await self._all(AskRoutes(leaf, route_type, vni), Routes)
        return [route for answer in answers for route in answer.routes]

    async def leftovers(self) -> Leftovers:
        """See ``Fabric.leftovers``."""
        return (await self._one(CountLeftovers(), Counted)).leftovers

    async def set_faults(self, plan: FaultPlan) -> None:
        """See ``SimulatedDevices.set_faults``."""
        await self._one(SetFaults(plan), Done)

    async def set_hosts(self, change: SetHosts) -> None:
        """See ``SimulatedDevices.set_hosts``."""
        await self._one(change, Done)

    async def tamper(self, acts: Sequence[Act]) -> None:
        """See ``SimulatedDevices.tamper``."""
        for part in parts(acts):
            await self._one(Tamper(part), Done)

    async def alive(self, hosts: Sequence[str]) -> set[str]:
        """See ``Devices.alive``."""
        answers = [await self._one(WhoIsAlive(part), Alive) for part in parts(hosts)]
        return {host for answer in answers for host in answer.hosts}

    async def _outcomes(self, effects: Sequence[AnyEffect]) -> AsyncGenerator[Sequence[Outcome], None]:
        """The outcomes of one call per part, all under way at once, as they come."""
        queue: asyncio.Queue[Sequence[Outcome] | None] = asyncio.Queue()

        async def ask(start: int, part: Sequence[AnyEffect]) -> None:
            try:
                async for group in self._outcomes_of(part):
                    queue.put_nowait([outcome._replace(index=start + outcome.index) for outcome in group])
            finally:
                queue.put_nowait(None)

        asking: list[asyncio.Task[None]] = []
        start = 0
        for part in effect_parts(effects):
            asking.append(asyncio.create_task(ask(start, part), name="ask remote devices"))
            start += len(part)
        try:
            ended = 0
            while ended < len(asking):
                group = await queue.get()
                if group is None:
                    ended += 1
                else:
                    yield group
            for task in asking:
                await task  # raises what stopped it
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _outcomes_of(self, part: Sequence[AnyEffect]) -> AsyncIterator[Sequence[Outcome]]:
        """The outcomes of one call, as they come."""
        request = Apply(part)
        size = len(encode(request)) if len(part) == 1 else 0
        if size > MAX_BYTES:
            yield [Outcome(0, f"{part[0].device}: {type(part[0]).__name__}: {size} bytes are more than can be sent")]
            return
        found: dict[int, tuple[Difference, ...]] = {}
        async for answer in self._answers(request):
            match answer:
                case Found(index, first):
                    found[index] = found.get(index, ()) + first
                case Outcomes(outcomes) if found:
                    yield [outcome._replace(found=found.pop(outcome.index, ()) + outcome.found) for outcome in outcomes]
                case Outcomes(outcomes):
                    yield outcomes
                case _:
                    raise _unexpected(self._subject, answer, request)

    async def _one(self, request: Request, kind: type[A]) -> A:
        answers = await self._all(request, kind)
        if len(answers) != 1:
            raise DevicesUnavailable(f"{self._subject}: {len(answers)} answers to {type(request).__name__}")
        return answers[0]

    async def _all(self, request: Request, kind: type[A]) -> list[A]:
        try:
            return [answer async for answer in self._call(request, kind)]
        except (*_UNREACHABLE, TimeoutError) as error:
            raise DevicesUnavailable(f"{self._subject}: {error}") from error

    async def _call(self, request: Request, kind: type[A]) -> AsyncIterator[A]:
        async for answer in self._answers(request):
            if not isinstance(answer, kind):
                raise _unexpected(self._subject, answer, request)
            yield answer

    async def _answers(self, request: Request) -> AsyncIterator[Answer]:
        async for data in self._channel.call(self._subject, encode(request), self._timeout_s):
            answer = decode_answer(data)
            if isinstance(answer, Refused):
                raise ValueError(answer.error)  # noqa: TRY004  # about a value of the request, not a type
            yield answer


def _unexpected(subject: str, answer: Answer, request: Request) -> TypeError:
    return TypeError(f"{subject}: {type(answer).__name__} in answer to {type(request).__name__}")
