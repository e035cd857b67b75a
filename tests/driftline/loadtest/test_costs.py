"""What a spawn costs, by how many live."""

from driftline.loadtest.costs import PARTS, costs
from driftline.loadtest.samples import PYTHON, Sample, use


def sample(at_s: int, active: int, cpu_s: float, deleted: int = 0) -> Sample:
    return Sample(
        at_s=at_s,
        requested=active,
        active=active,
        ended=active,
        deleted=deleted,
        in_flight=0,
        events=0,
        lags={},
        states={},
        cpu_s={"python": cpu_s, "nats-server": cpu_s / 2},
    )


def test_a_run_that_gets_dearer_shows_it() -> None:
    cheap = [sample(at_s, 100 * at_s, 0.1 * at_s) for at_s in range(11)]
    dear = [sample(10 + at_s, 1000 + 100 * at_s, 1.0 + 0.3 * at_s) for at_s in range(1, 11)]
    found = costs([*cheap, *dear])
    assert [(one.live_from, one.live_until) for one in found] == [(n * 200, n * 200 + 200) for n in range(PARTS)]
    assert {one.per_s for one in found} == {100.0}
    assert [one.cpu_us["python"] for one in found] == [1000] * 5 + [3000] * 5
    assert [one.cpu_us["nats-server"] for one in found] == [500] * 5 + [1500] * 5


def test_a_run_that_does_other_things_is_cut_before_them() -> None:
    spawning = [sample(at_s, 100 * at_s, 0.1 * at_s) for at_s in range(11)]
    assert costs([*spawning, sample(11, 1000, 9.0, deleted=500)]) == costs(spawning)


def test_a_short_run_is_not_cut() -> None:
    assert costs([sample(at_s, 100 * at_s, 0.1) for at_s in range(PARTS)]) == []
    assert costs([sample(at_s, 0, 0.1) for at_s in range(2 * PARTS)]) == []


def test_nothing_is_said_where_a_process_has_ended() -> None:
    spawning = [sample(at_s, 100 * at_s, 0.1 * at_s) for at_s in range(20)]
    assert costs(spawning)
    assert costs([*spawning, sample(20, 2000, 1.0), sample(21, 2100, 1.1)]) == []


def test_what_this_process_uses_counts_as_python() -> None:
    used = use()
    assert used.memory_mib > 0
    assert used.cpu_s[PYTHON] > 0
