"""When all that was on hosts has drifted away: not too early, and not never."""

from bus.events import (
    Event,
    HostDown,
    HostRefused,
    InstanceDrifted,
    InstanceDriftFailed,
    InstanceDriftRefused,
    InstanceDriftScheduled,
    InstanceTerminating,
)
from driftline.evacuation import Evacuation
from tests.projections.given import record


class Followed:
    """An evacuation that is told the log."""

    def __init__(self, *requests: str) -> None:
        self.evacuation = Evacuation(requests)
        self._position = 0

    def tell(self, *events: Event, by: str = "f1") -> "Followed":
        for event in events:
            self._position += 1
            self.evacuation.take(record(event, self._position, correlation=by))
        return self

    @property
    def moves(self) -> list[tuple[str, str, str, str]]:
        return [(m.instance, m.from_host, m.to_host, m.outcome) for m in self.evacuation.moves()]


def down(host: str) -> HostDown:
    return HostDown(host=host, az="az1", reason="smoke", evacuate=True, held=True)


def scheduled(instance: str, to: str, origin: str = "h1") -> InstanceDriftScheduled:
    return InstanceDriftScheduled(
        instance=instance, name=instance, az="az1", host=to, from_host=origin, generation=1, port_name=instance
    )


def drifted(instance: str, host: str, origin: str = "h1") -> InstanceDrifted:
    return InstanceDrifted(instance=instance, az="az1", host=host, from_host=origin, port=f"{instance}-0", generation=2)


def failed(instance: str, host: str = "h1") -> InstanceDriftFailed:
    return InstanceDriftFailed(instance=instance, az="az1", host=host, reason="a leaf is broken")


def test_it_is_over_when_each_has_ended() -> None:
    one = Followed("f1")
    assert not one.evacuation.is_over
    one.tell(down("h1"))
    assert one.evacuation.answered
    one.evacuation.expect(["i1", "i2", "i3"])
    one.tell(scheduled("i1", "h3"), scheduled("i2", "h4"), drifted("i1", "h3"))
    assert (one.evacuation.total, one.evacuation.count("drifted"), one.evacuation.is_over) == (3, 1, False)
    one.tell(failed("i2"))
    assert not one.evacuation.is_over  # i3 has not begun
    one.tell(InstanceDriftRefused(instance="i3", reason="no room", field="az", value="az1"))
    assert one.evacuation.is_over
    assert one.moves == [("i1", "h1", "h3", "drifted"), ("i2", "h1", "h4", "failed"), ("i3", "h1", "", "refused")]
    assert [one.evacuation.count(outcome) for outcome in ("drifted", "failed", "refused")] == [1, 1, 1]


def test_what_began_before_it_was_known_to_be_there_counts_as_well() -> None:
    one = Followed("f1").tell(down("h1"), scheduled("i1", "h3"))
    one.evacuation.expect([])
    assert (one.evacuation.total, one.evacuation.is_over) == (1, False)
    assert one.tell(drifted("i1", "h3")).evacuation.is_over


def test_a_refused_request_about_an_empty_host_is_over_at_once() -> None:
    one = Followed("f1").tell(HostRefused(host="h1", reason="unknown host", field="host", value="h1"))
    one.evacuation.expect([])
    assert one.evacuation.is_over
    assert [refusal.host for refusal in one.evacuation.refusals] == ["h1"]
    assert one.evacuation.leaving == set()


def test_what_drifts_to_a_host_that_fails_as_well_is_not_there_yet() -> None:
    one = Followed("f1", "f2").tell(down("h1"), scheduled("i1", "h2")).tell(drifted("i1", "h2"))
    one.tell(down("h2"), by="f2")
    one.evacuation.expect(["i1"])
    assert not one.evacuation.is_over
    one.tell(scheduled("i1", "h3", "h2"), by="f2")
    assert not one.evacuation.is_over
    one.tell(drifted("i1", "h3", "h2"), by="f2")
    assert one.evacuation.is_over
    assert one.moves == [("i1", "h1", "h3", "drifted")]


def test_a_drift_that_fails_and_is_begun_anew_counts_once() -> None:
    one = Followed("f1", "f2").tell(down("h1"), scheduled("i1", "h2"))
    one.tell(down("h2"), by="f2").tell(failed("i1"))
    one.evacuation.expect([])
    one.tell(scheduled("i1", "h3"), by="f2")
    assert not one.evacuation.is_over
    one.tell(drifted("i1", "h3"), by="f2")
    assert (one.evacuation.total, one.evacuation.count("failed"), one.evacuation.is_over) == (1, 0, True)


def test_what_others_move_or_take_down_is_not_waited_for() -> None:
    one = Followed("f1").tell(down("h1"))
    one.evacuation.expect(["i1", "i2"])
    one.tell(scheduled("i1", "h5"), by="somebody").tell(InstanceTerminating(instance="i2", az="az1", host="h1"))
    assert one.evacuation.is_over
    assert one.moves == []


def test_drifts_that_others_asked_for_are_not_ours() -> None:
    one = Followed("f1").tell(scheduled("i9", "h5", "h7"), drifted("i9", "h5", "h7"), by="somebody").tell(down("h1"))
    one.evacuation.expect([])
    assert (one.evacuation.total, one.evacuation.is_over) == (0, True)
