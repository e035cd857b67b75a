"""One run from beginning to end: publish a plan, wait until all of it is done and projected, and report."""

from collections.abc import Callable, Sequence

import stamina

from bus.envelope import now_us
from bus.errors import LogUnavailable
from driftline.current import wait_projected
from driftline.load import Harness, Tally
from driftline.plane import Plane
from driftline.report import Report, make_report
from driftline.stack import Stack
from driftline.trace import TimedRequest
from projections.errors import DatabaseUnavailable

#: How long PostgreSQL may be away at the end of a run, seconds.
RETRY_S = 60.0
#: How long the projections may take to catch up at the end: this, and at least this many events a second.
PROJECT_S, PROJECT_EVENTS_PER_S = 60.0, 1000


async def exercise(
    stack: Stack,
    plane: Plane,
    requests: Sequence[TimedRequest],
    on_progress: Callable[[Tally], None],
    *,
    in_flight_max: int = 2000,
    timed: bool = False,
) -> Report:
    """Drive ``requests`` through the control plane. Raises LogUnavailable, DatabaseUnavailable or NotDone."""
    harness = Harness(stack.log, requests, in_flight_max=in_flight_max, timed=timed, on_progress=on_progress)
    tally = await harness.run()
    return await _judge(stack, plane, tally)


@stamina.retry(
    on=(DatabaseUnavailable, LogUnavailable), attempts=None, timeout=RETRY_S, wait_initial=0.05, wait_max=2.0
)
async def _judge(stack: Stack, plane: Plane, tally: Tally) -> Report:
    """Wait until all is projected and report; from the start if PostgreSQL went away, for it may come back behind."""
    last = await stack.log.last_position()
    await wait_projected(stack, plane.projector, last, timeout_s=PROJECT_S + tally.events / PROJECT_EVENTS_PER_S)
    return await make_report(stack, tally, now_us())
