"""How far workers are behind, from what their processes say."""

from typing import cast

from bus.jetstream import Connection
from driftline.observing.look import ProcessLook, WorkerLook
from driftline.observing.positions import Positions
from driftline.observing.times import Times


def process(log_last: int | None, **positions: int) -> ProcessLook:
    workers = [
        WorkerLook(worker=name, hosts=[], position=position, checkpoint=0, step=Times(), effect=Times())
        for name, position in positions.items()
    ]
    return ProcessLook(
        what="worker", host="h", pid=1, at_s=0, cpu_s=0, resident_bytes=0, log_last=log_last, workers=workers
    )


def positions() -> Positions:
    return Positions(cast(Connection, None))  # nobody is asked here


def test_each_worker_is_behind_the_log_that_its_process_sees() -> None:
    assert positions().taken([process(100, nova=90, ipam=100), process(105, cnc=95)], 100) == {
        "nova": 10,
        "ipam": 0,
        "cnc": 10,
    }


def test_of_one_in_several_processes_the_slowest_counts() -> None:
    asked = positions()
    slowest_first = [process(100, compute=40), process(100, compute=90), process(100)]
    assert asked.taken(slowest_first[::-1], 100) == {"compute": 60}
    assert asked.taken(slowest_first, 100) == {"compute": 60}
    assert asked.taken([], 100) == {"compute": 60}


def test_one_that_does_not_answer_is_where_it_was() -> None:
    asked = positions()
    asked.taken([process(100, nova=90), process(100)], 100)
    assert asked.taken([process(250)], 240) == {"nova": 160}
    assert asked.taken([process(300, nova=299), process(300)], 300) == {"nova": 1}


def test_where_no_process_answers_the_log_has_still_gone_on() -> None:
    asked = positions()
    asked.taken([process(100, nova=90)], 100)
    assert asked.taken([], 250) == {"nova": 160}


def test_a_process_that_does_not_know_the_end_of_the_log_is_behind_the_one_that_is_known() -> None:
    asked = positions()
    assert asked.taken([process(None, nova=90)], 250) == {"nova": 160}
    assert asked.taken([process(None, nova=90), process(260, ipam=250)], 250) == {"nova": 170, "ipam": 10}
    assert positions().taken([process(260, nova=250), process(None, nova=90)], 250) == {"nova": 170}
