"""An event loop whose clock jumps to the next timer instead of waiting for it, and chance that can be repeated."""

import asyncio
import gc
import logging
import random
import selectors
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import stamina.instrumentation
import structlog

T = TypeVar("T")

#: Microseconds since the Unix epoch at which every run begins.
START_US = 1_700_000_000_000_000


class Deadlock(AssertionError):
    """Nothing is due any more: everybody would wait for ever."""


class _NoFiles(selectors.BaseSelector):
    """A selector that watches nothing: instead of waiting, its clock jumps ahead."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("nothing is due any more: everybody would wait for ever")
        self.now_s += timeout
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which starts at 0 seconds. It never sleeps and never looks at a file."""

    def __init__(self) -> None:
        self._jumping = _NoFiles()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def now_us() -> int:
    """The virtual wall clock of the loop that runs now."""
    return START_US + int(asyncio.get_running_loop().time() * 1_000_000)


def dice(seed: int, *names: object) -> random.Random:
    """Chance for one purpose: what it draws depends on nothing but the seed and the purpose."""
    return random.Random(f"{seed}/{'/'.join(map(str, names))}")


def run(main: Coroutine[Any, Any, T], seed: int) -> T:
    """Run ``main`` in virtual time. Raises Deadlock when it would wait for ever."""
    loop = VirtualLoop()
    with _borrowed(loop, seed), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)


@contextmanager
def _borrowed(loop: VirtualLoop, seed: int) -> Iterator[None]:
    """What libraries take for time and chance is the loop's and the seed's; and they say nothing.

    Retries (tenacity, stamina) ask ``time.monotonic`` how long they have tried, and draw their jitter from ``random``.
    """
    collecting = gc.isenabled()
    monotonic, chance = time.monotonic, random.getstate()
    hooks, configured = stamina.instrumentation.get_on_retry_hooks(), structlog.get_config()
    time.monotonic = loop.time
    random.seed(f"{seed}/jitter")
    gc.disable()  # a run is short; and nothing that is collected may run at a moment that nobody chose
    stamina.instrumentation.set_on_retry_hooks([])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        time.monotonic = monotonic
        random.setstate(chance)
        stamina.instrumentation.set_on_retry_hooks(hooks)
        structlog.configure(**configured)
        if collecting:
            gc.enable()
