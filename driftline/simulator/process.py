"""One process of the control plane: a worker in a ``Runner`` of its own, which can die between any two steps."""

import asyncio
import random
from typing import TYPE_CHECKING

import msgspec

from bus.errors import Conflict
from driftline.simulator.bus import Client
from driftline.simulator.devices import Hands
from driftline.simulator.loop import dice, now_us
from workers.runner import Role, Runner
from workers.worker import Folds, State, Worker

if TYPE_CHECKING:
    from driftline.simulator.site import Site


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """How a process is wont to die: right after an append landed or an effect was done, and for how long."""

    on_append: float = 0.0
    on_effect: float = 0.0
    down_s: float = 1.0


NO_HABIT = Habit()


class Process:
    """Runs ``worker`` for ``hosts`` (None: all). ``state`` is what the worker believes, None while it is dead."""

    def __init__(
        self,
        site: "Site",
        worker: Worker,
        hosts: frozenset[str] | None = None,
        subject: str = "",
        name: str = "",
    ) -> None:
        self.worker = worker
        self.hosts = hosts
        self.subject = subject
        self.name = name or (worker.name if hosts is None else f"{worker.name}@{'+'.join(sorted(hosts))}")
        self.habit = NO_HABIT
        self.state: State | None = None
        self._site = site
        self._chance: random.Random = dice(site.seed, "process", self.name)
        self.client = Client(site.store, dice(site.seed, "bus", self.name), self._appended)
        self.hands = Hands(site.devices, dice(site.seed, "hands", self.name), self._effect_done)
        self._role = Role(worker._replace(state=self._new_state), hosts)
        self._task: asyncio.Task[None] | None = None
        self._held = False

    @property
    def checkpoint(self) -> int:
        """How far it says to be done with everything."""
        return self._site.store.checkpoints.get(self._role.checkpoint_name, 0)

    @property
    def lives(self) -> bool:
        """Whether it runs now."""
        return self._task is not None

    def start(self) -> None:
        """Begin anew, with nothing in memory."""
        if self._task is not None or self._held:
            return
        self.client.flush()
        if self._task is not None or self._held:  # what has landed may have killed it again
            return
        runner = Runner(
            self.client,
            self.client,
            self.hands,
            [self._role],
            beats=self.client,
            subject=self.subject,
            clock=now_us,
        )
        self._task = asyncio.get_running_loop().create_task(runner.run(), name=self.name)
        self._task.add_done_callback(self._ended)

    def crash(self, down_s: float) -> None:
        """Die at once, wherever it is, and come back after ``down_s``."""
        task, self._task, self.state = self._task, None, None
        if task is None:
            return
        self._site.counts["crash"] += 1
        task.cancel()
        asyncio.get_running_loop().call_later(down_s, self.start)

    def twin(self) -> "Process":
        """A second process of the same worker, as when one was taken for dead and replaced."""
        return Process(self._site, self.worker, self.hosts, self.subject, name=f"{self.name} (twin)")

    def stop(self) -> None:
        """End for good."""
        self._held = True
        self.crash(0.0)

    def hold(self, held: bool) -> None:
        """Its machine has no power, or has it again."""
        self._held = held
        if held:
            self.crash(0.0)
        else:
            self.start()

    def _effect_done(self) -> None:
        """Effects have reached a device: the worst moment to die, before anybody knows."""
        self._maybe_die(self.habit.on_effect)

    def _appended(self) -> None:
        self._maybe_die(self.habit.on_append)

    def _maybe_die(self, probability: float) -> None:
        if probability and self._chance.random() < probability:
            self.crash(self._chance.uniform(0.01, self.habit.down_s))

    def _new_state(self, folds: Folds) -> State:
        self.state = self.worker.state(folds)
        return self.state

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task is not self._task:
            if not task.cancelled() and task.exception() is not None and not isinstance(task.exception(), Conflict):
                self._site.fail(task.exception(), f"{self.name} while it was being stopped")
            return
        self._task, self.state = None, None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Conflict):
            self._site.counts["gave up after conflicts"] += 1
            asyncio.get_running_loop().call_later(1.0, self.start)
        else:
            self._site.fail(error or AssertionError("it ended"), self.name)
