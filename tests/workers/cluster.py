"""A whole control plane in plain lists: one log, the five workers, a model of the devices. No asyncio, no clock.

What happens next is the caller's choice: which worker reads, whose decisions reach the log, which effect ends and how,
who crashes. Each choice is one method here, so a schedule is a sequence of calls and the same calls give the same run.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto

from bus.decoding import Raw, decode_batch
from bus.envelope import Envelope, Recorded, encode
from bus.errors import Conflict
from bus.events import Event
from bus.subjects import once_filter, subject_of
from tests.workers.device_model import DeviceModel
from workers import cnc, compute, ipam, nova, ovs_agent
from workers.effects import AnyEffect, Result, Slot
from workers.machine import Machine, Output, Planned
from workers.performer import ATTEMPTS
from workers.worker import Worker

WORKERS: tuple[Worker, ...] = tuple(module.WORKER for module in (nova, compute, ovs_agent, cnc, ipam))


class Outcome(Enum):
    """How one try of an effect ends."""

    DONE = auto()
    FAILED = auto()
    #: Applied, but no answer came in time.
    TIMED_OUT = auto()
    #: No answer came in time, and it is applied later: when the worker has gone on, has crashed, has withdrawn it.
    LATE = auto()


class SharedLog:
    """The log as a list. Envelopes go through the codec, as they do on the wire."""

    def __init__(self) -> None:
        self.records: list[Recorded] = []
        self._ids: set[str] = set()
        self._once: set[str] = set()

    def append(self, envelope: Envelope) -> None:
        """Append unless the id is known. Raises Conflict for a second ``once`` event of an aggregate."""
        if envelope.id in self._ids:
            return
        if not self.inject(envelope):
            raise Conflict(f"{once_filter(envelope.event)} came twice, {envelope.id} too late")
        self._ids.add(envelope.id)

    def inject(self, envelope: Envelope) -> bool:
        """Append without a look at the id, as a client that sends no Nats-Msg-Id does. False if refused (``once``)."""
        if envelope.event.once:
            key = once_filter(envelope.event)
            if key in self._once:
                return False
            self._once.add(key)
        raw = Raw(len(self.records) + 1, subject_of(envelope.event), encode(envelope), stored_us=1)
        records, rejects = decode_batch([raw])
        assert not rejects, f"a worker wrote what no reader can read: {rejects}"
        self.records += records
        return True


class Job:
    """An effect under way, and how often it was tried."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self.tries = 0


class Node:
    """One worker as ``workers.runner`` runs it, with the performer's rule: one effect per slot, newest wish next."""

    def __init__(self, worker: Worker, log: SharedLog, devices: DeviceModel) -> None:
        self.worker = worker
        self._log = log
        self._devices = devices
        self.saved_checkpoint = 0
        self.conflicts = 0
        self.start()

    def start(self) -> None:
        """Fold the past, then decide on what may not have been dealt with: ``Runner._catch_up``."""
        self.machine = Machine(self.worker)
        self.queue: deque[tuple[int, Envelope]] = deque()
        self.current: dict[Slot, Job] = {}
        self.waiting: dict[Slot, Job] = {}
        undecided = []
        for r in self._log.records:
            self.machine.replay(r)
            if r.position > self.saved_checkpoint and self.machine.decides_on(r):
                undecided.append(r)
        for r in undecided:
            self._carry_out(self.machine.decide(r, now_us=1))

    @property
    def behind(self) -> bool:
        """Whether the log holds what this worker has not read."""
        return self.machine.position < len(self._log.records)

    def read(self, count: int = 1) -> None:
        """Take the next ``count`` events in, as far as there are any."""
        for r in self._log.records[self.machine.position : self.machine.position + count]:
            try:
                self._carry_out(self.machine.step(r, now_us=1))
            except Conflict:
                return self._refold()
        return None

    def append(self, count: int | None = None) -> None:
        """Bring the oldest ``count`` decisions to the log, all if None."""
        for _ in range(len(self.queue) if count is None else min(count, len(self.queue))):
            position, envelope = self.queue.popleft()
            try:
                self._log.append(envelope)
            except Conflict:
                return self._refold()
            self.machine.done(position)
        return None

    def finish(self, slot: Slot, outcome: Outcome = Outcome.DONE) -> None:
        """End one try of the effect on ``slot``: ``Performer._attempt`` and ``_give_up``."""
        job = self.current[slot]
        effect = job.planned.effect
        job.tries += 1
        error = self._reach(effect, outcome)
        if outcome is Outcome.DONE and not error:
            self._settle(slot, job, "")
        elif slot in self.waiting:
            self.machine.done(job.planned.position)
            self._free(slot)
        elif job.tries >= ATTEMPTS and not effect.withdraws:
            self._settle(slot, job, error or "no answer")

    def save(self) -> None:
        """Save the checkpoint; a crash goes back to the last one that was saved."""
        self.saved_checkpoint = self.machine.checkpoint

    def crash(self, fate: Callable[[], Outcome]) -> None:
        """Lose all that was not appended, and start anew. ``fate`` says of each effect under way what came of it."""
        for job in self.current.values():
            self._reach(job.planned.effect, fate())
        self.start()

    def _reach(self, effect: AnyEffect, outcome: Outcome) -> str:
        """The devices' side of a try that ends like this."""
        match outcome:
            case Outcome.DONE | Outcome.TIMED_OUT:
                return self._devices.apply(effect)
            case Outcome.LATE:
                self._devices.late.append(effect)
            case Outcome.FAILED:
                pass
        return ""

    def _refold(self) -> None:
        self.conflicts += 1
        self.crash(lambda: Outcome.TIMED_OUT)

    def _carry_out(self, output: Output | None) -> None:
        if output is None:
            return
        self.queue.extend((output.position, envelope) for envelope in output.envelopes)
        for planned in output.effects:
            self._admit(planned)

    def _admit(self, planned: Planned) -> None:
        slot = planned.effect.slot
        current = self.current.get(slot)
        if current is None:
            self.current[slot] = Job(planned)
            return
        replaced = self.waiting.pop(slot, None)
        if replaced is not None:
            self.machine.done(replaced.planned.position)
        if current.planned.effect == planned.effect:
            self.machine.done(planned.position)
        else:
            self.waiting[slot] = Job(planned)

    def _settle(self, slot: Slot, job: Job, error: str) -> None:
        envelopes = self.machine.settle(job.planned, Result(error, started_us=1), now_us=1)
        self.queue.extend((job.planned.position, envelope) for envelope in envelopes)
        self._free(slot)

    def _free(self, slot: Slot) -> None:
        del self.current[slot]
        following = self.waiting.pop(slot, None)
        if following is not None:
            self.current[slot] = following


class Cluster:
    """The log, the workers and the devices."""

    def __init__(self, world: Iterable[Event], workers: Sequence[Worker] = WORKERS) -> None:
        self.log = SharedLog()
        self.devices = DeviceModel()
        for event in world:
            self.publish(event, "operator")
        self.nodes = [Node(worker, self.log, self.devices) for worker in workers]

    def publish(self, event: Event, correlation: str) -> None:
        """Append somebody else's event."""
        number = len(self.log.records) + 1
        self.log.inject(Envelope(id=f"outside-{number}", event=event, correlation=correlation))  # type: ignore[arg-type]

    def node(self, name: str) -> Node:
        """The worker of this name."""
        return next(node for node in self.nodes if node.worker.name == name)

    def settle_down(self, rounds: int = 400) -> None:
        """No more faults: let everybody finish. Raises AssertionError if they never come to rest."""
        for _ in range(rounds):
            if not any(node.behind or node.queue or node.current for node in self.nodes):
                return
            for node in self.nodes:
                node.read(len(self.log.records))
                node.append()
                for slot in list(node.current):
                    node.finish(slot)
        raise AssertionError("the workers never come to rest")
