"""Looks at processes that never were."""

from driftline.observing.look import LogLook, OperationsLook, ProcessLook, ProjectorLook, SpawnsLook, WorkerLook
from driftline.observing.times import Times


def times(*seconds: float) -> Times:
    found = Times()
    for one in seconds:
        found.add(one)
    return found


def worker(name: str = "nova", **given: int) -> WorkerLook:
    fields = {"position": 90, "checkpoint": 80, **given}
    return WorkerLook(worker=name, hosts=[], step=times(0.00002, 0.003), effect=times(0.2), **fields)


def projector(position: int = 70, **states: int) -> ProjectorLook:
    return ProjectorLook(
        position=position,
        folded=7,
        rows={"portstates": 5, "spawns": 2},
        commit=times(0.004),
        states=states or {"ACTIVE_ACTIVE": 3, "DOWN_DOWN": 1},
        away=False,
    )


def spawns(in_flight: int = 2, **steps: Times) -> SpawnsLook:
    found = {label.removeprefix("step_"): one for label, one in steps.items()}
    return SpawnsLook(in_flight=in_flight, active=5, refused=1, failed=0, steps=found, whole=times(0.05))


def look(what: str = "up", *, at_s: float = 100.0, log_last: int | None = 100, pid: int = 7) -> ProcessLook:
    """A process that has all there is."""
    return ProcessLook(
        what=what,
        host="somewhere",
        pid=pid,
        at_s=at_s,
        cpu_s=1.5,
        resident_bytes=1 << 20,
        log_last=log_last,
        workers=[worker("nova"), worker("ipam", position=95, effects_failed=1)],
        log=LogLook(appended=11, duplicates=1, failed=0, append=times(0.001), delay=times(0.002)),
        projector=projector(),
        spawns=spawns(step_2=times(0.001), step_6=times(0.02)),
        operations=[OperationsLook(effect="PlugVnic", asked=9, done=7, failed=1)],
        publisher=LogLook(appended=4, duplicates=0, failed=0, append=times(0.001), delay=Times()),
    )
