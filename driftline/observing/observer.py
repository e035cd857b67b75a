"""What a process is watched with: each part is handed what it wants, and all of it can be looked at."""

import os
import resource
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bus.log import Log
from driftline.observing.counting import CountedDevices, CountedLog, Operations, ProjectorCounts, WorkerCounts
from driftline.observing.look import ProcessLook
from projections import watch as projecting
from projections.watch import ProjectionWatch
from workers import watch as working
from workers.devices.protocol import Devices
from workers.watch import Watch

if TYPE_CHECKING:
    from driftline.observing.tracing import Tracing


class Observer:
    """What the parts of a control plane are watched with; this one does not look."""

    def workers(self, log: Log) -> tuple[Log, Watch]:
        """The log that a runner shall work on, and what it is watched with."""
        return log, working.UNWATCHED

    def projector(self) -> ProjectionWatch:
        """What a projector is watched with."""
        return projecting.UNWATCHED

    def devices(self, devices: Devices) -> Devices:
        """``devices``, as they shall be asked."""
        return devices


#: The one that does not look.
UNOBSERVED = Observer()


class Observing(Observer):
    """Counts, and traces if it is told to; for one process, which is a ``what``: ``up``, ``publisher k8s``.

    ``timed``: each step of the workers is measured as well. ``has_workers``, ``has_projector``: what is to come.
    """

    def __init__(
        self,
        what: str,
        *,
        has_workers: bool,
        has_projector: bool,
        timed: bool = False,
        tracing: "Tracing | None" = None,
    ) -> None:
        self.what = what
        self.has_workers = has_workers
        self.has_projector = has_projector
        self._timed = timed
        self._tracing = tracing
        self._log: CountedLog | None = None
        self._workers: WorkerCounts | None = None
        self._publisher: CountedLog | None = None
        self._projector = ProjectorCounts()
        self._operations = Operations()

    def workers(self, log: Log) -> tuple[Log, Watch]:
        self._log = CountedLog(log)
        self._workers = WorkerCounts(self._log, timed=self._timed)
        if self._tracing is None:
            return self._log, self._workers
        traced = self._tracing.workers(self._workers)
        return traced.log(self._log), traced

    def projector(self) -> ProjectionWatch:
        return self._projector

    def devices(self, devices: Devices) -> Devices:
        return CountedDevices(devices, self._operations)

    def publisher(self, log: Log) -> Log:
        """The log that a client shall publish to."""
        self._publisher = CountedLog(log)
        return self._publisher

    def positions(self) -> dict[str, int | None]:
        """Up to where each part of this process has taken in the log; None for one that has not begun."""
        found: dict[str, int | None] = {}
        if self.has_workers:
            runner = self._workers.runner if self._workers is not None else None
            found["workers"] = runner.position if runner is not None else None
        if self.has_projector:
            projector = self._projector.projector
            found["projector"] = projector.position if projector is not None else None
        return found

    def look(self, log_last: int | None) -> ProcessLook:
        """How all of it stands now. ``log_last``: the end of the log, None if it is not known."""
        return ProcessLook(
            what=self.what,
            host=socket.gethostname(),
            pid=os.getpid(),
            at_s=time.monotonic(),
            cpu_s=time.process_time(),
            resident_bytes=_resident_bytes(),
            log_last=log_last,
            workers=self._workers.look() if self._workers is not None else [],
            projector=self._projector.look(),
            spawns=self._projector.look_at_spawns(),
            operations=self._operations.look(),
            log=self._log.look() if self._log is not None else None,
            publisher=self._publisher.look() if self._publisher is not None else None,
        )


def _resident_bytes() -> int:
    """The memory that this process holds now; 0 where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()
