"""One driver made of several: each effect goes to the one that is for it, all at once."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

from workers.devices.protocol import Devices, Outcome
from workers.effects import AnyEffect
from workers.errors import DevicesUnavailable


class Route(NamedTuple):
    """``devices`` perform what ``takes`` says."""

    takes: Callable[[AnyEffect], bool]
    devices: Devices


class RoutedDevices:
    """Implements ``Devices``: the first route that takes an effect, else ``otherwise``, which also knows who lives."""

    def __init__(self, routes: Sequence[Route], otherwise: Devices) -> None:
        self._routes, self._otherwise = routes, otherwise

    async def alive(self, hosts: Sequence[str]) -> set[str]:
        return await self._otherwise.alive(hosts)

    async def apply(self, effects: Sequence[AnyEffect]) -> AsyncGenerator[Sequence[Outcome], None]:
        """See ``Devices.apply``. One driver that is unavailable does not keep the outcomes of the others back."""
        shares = self._shares(effects)
        if len(shares) == 1:
            devices, indices = shares[0]
            async for group in devices.apply([effects[index] for index in indices]):
                yield [outcome._replace(index=indices[outcome.index]) for outcome in group]
            return
        queue: asyncio.Queue[Sequence[Outcome] | None] = asyncio.Queue()
        asking = [asyncio.create_task(_ask(devices, effects, indices, queue)) for devices, indices in shares]
        try:
            left = len(asking)
            while left:
                outcomes = await queue.get()
                if outcomes is None:
                    left -= 1
                else:
                    yield outcomes
            gone = [error for error in await asyncio.gather(*asking) if error is not None]
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        if gone:
            raise gone[0]

    def _shares(self, effects: Sequence[AnyEffect]) -> list[tuple[Devices, list[int]]]:
        """Which effects, by index, go to which driver."""
        drivers = [*(route.devices for route in self._routes), self._otherwise]
        shares: list[list[int]] = [[] for _ in drivers]
        for index, effect in enumerate(effects):
            route = next((n for n, route in enumerate(self._routes) if route.takes(effect)), len(self._routes))
            shares[route].append(index)
        return [(driver, share) for driver, share in zip(drivers, shares, strict=True) if share]


async def _ask(
    devices: Devices, effects: Sequence[AnyEffect], indices: list[int], queue: asyncio.Queue[Sequence[Outcome] | None]
) -> DevicesUnavailable | None:
    try:
        async for group in devices.apply([effects[index] for index in indices]):
            queue.put_nowait([outcome._replace(index=indices[outcome.index]) for outcome in group])
    except DevicesUnavailable as unavailable:
        return unavailable
    finally:
        queue.put_nowait(None)
    return None
