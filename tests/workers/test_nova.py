"""Nova decides where an instance goes, and ends every request exactly once."""

import msgspec
import pytest

from bus.events import (
    Event,
    InstanceDeleteRefused,
    InstanceRefused,
    OperationPortsRequested,
    PortItem,
    PortOverlayReported,
    PortPlugFailed,
    PortUnderlayReported,
    SpawnRequested,
)
from tests.workers.playbook import (
    AZ,
    By,
    active,
    allocated,
    bound,
    case,
    create_port,
    delete,
    deleted,
    failed,
    given,
    port_deleted,
    port_refused,
    say,
    scheduled,
    spawn,
    terminating,
)
from workers import nova

UNDERLAY = say(PortUnderlayReported, status="ACTIVE", detected_us=1)
OVERLAY = say(PortOverlayReported, status="ACTIVE")
SPAWNING: tuple[Event, ...] = (spawn(), scheduled())
WITH_PORT: tuple[Event, ...] = (*SPAWNING, create_port(), allocated())
ACTIVE: tuple[Event, ...] = (*WITH_PORT, bound(), UNDERLAY, OVERLAY, active())
FAILED_BY_DELETE = failed(reason="deleted while it was being spawned")


def refused(reason: str, field: str, value: str, instance: str = "i1", az: str = "az1") -> InstanceRefused:
    return InstanceRefused(instance=instance, az=az, reason=reason, field=field, value=value)


def delete_refused(reason: str, instance: str = "i1") -> InstanceDeleteRefused:
    return InstanceDeleteRefused(instance=instance, reason=reason, field="instance", value=instance)


@pytest.mark.parametrize(
    ("request_", "reason", "field", "value"),
    [
        case("network", spawn(network="net9"), "unknown network", "network", "net9"),
        case("label", spawn(label="dev"), "no network carries this label", "label", "dev"),
        case(
            "both",
            spawn(network="net1", label="prod"),
            "exactly one of network and label must be given",
            "network",
            "net1",
        ),
        case("none", spawn(network=None), "exactly one of network and label must be given", "network", "none"),
        case("az", spawn(az="az9"), "unknown availability zone", "az", "az9"),
        case("host", spawn(host="h9"), "unknown host", "host", "h9"),
        case("host's az", spawn(host="h3"), "the host is in az2, not in az1", "host", "h3"),
    ],
)
def test_a_wrong_request_is_refused_by_field_and_value(request_: Event, reason: str, field: str, value: str) -> None:
    az = "az9" if field == "az" else "az1"
    given(nova).when(By("q1", request_)).then(refused(reason, field, value, az=az)).of_story("q1")


def test_an_instance_goes_to_the_roomiest_host_of_its_zone() -> None:
    given(nova).when(spawn()).then(scheduled(host="h1"))


def test_among_equals_the_first_by_name_is_chosen() -> None:
    given(nova, spawn("i1"), scheduled("i1", "h1")).when(spawn("i2")).then(scheduled("i2", "h1"))


def test_a_label_and_a_wish_for_a_host_are_passed_on() -> None:
    given(nova).when(spawn(label="prod", host="h2")).then(scheduled(host="h2", label="prod"))


def test_a_full_host_is_refused() -> None:
    full = "the host is full (1 instances)"
    given(nova, spawn(host="h2"), scheduled(host="h2")).when(spawn("i2", host="h2")).then(
        refused(full, "host", "h2", "i2")
    )


def test_a_full_zone_is_refused() -> None:
    taken = [event for n, host in enumerate(["h1", "h1", "h2"]) for event in (spawn(f"x{n}"), scheduled(f"x{n}", host))]
    given(nova, *taken).when(spawn()).then(refused("no host of the zone has room", "az", "az1"))


def test_a_host_has_room_again_once_its_instance_is_deleted() -> None:
    gone = (terminating(host="h2"), port_deleted(host="h2"), deleted(host="h2"))
    given(nova, spawn(host="h2"), scheduled(host="h2"), *gone).when(spawn("i2", host="h2")).then(scheduled("i2", "h2"))


def test_a_host_keeps_the_place_of_an_instance_that_is_being_deleted() -> None:
    going = (spawn(host="h2"), scheduled(host="h2"), delete(), terminating(host="h2"))
    given(nova, *going).when(spawn("i2", host="h2")).then(refused("the host is full (1 instances)", "host", "h2", "i2"))


def test_a_name_in_use_is_refused() -> None:
    given(nova, *SPAWNING).when(spawn("i2", name="i1-name")).then(
        refused("the name is in use", "name", "i1-name", "i2")
    )


def labelled(instance: str) -> SpawnRequested:
    return msgspec.structs.replace(spawn(instance), labels={"app": "web", "pod": "a"})


def test_a_port_name_in_use_is_refused_whoever_allocates() -> None:
    """Two hosts that give out addresses by themselves cannot know of each other's names: nova sees both."""
    held = (labelled("i1"), msgspec.structs.replace(scheduled(), labels={"app": "web", "pod": "a"}))
    again = refused("the port name is in use", "name", "app=web,pod=a", "i2")
    given(nova, *held).when(labelled("i2")).then(again)
    given(nova, *held, terminating(), port_deleted(), deleted()).when(labelled("i2")).then(
        msgspec.structs.replace(scheduled("i2"), labels={"app": "web", "pod": "a"})
    )


def test_the_name_of_a_port_that_is_being_made_is_refused() -> None:
    item = PortItem(instance="i1", host="h1", network="net1", labels={"app": "web", "pod": "a"})
    bulk = OperationPortsRequested(operation="op1", az=AZ, items=(item,))
    again = refused("the port name is in use", "name", "app=web,pod=a", "i2")
    given(nova, bulk).when(labelled("i2")).then(again)


def test_a_name_is_free_again_after_its_instance() -> None:
    gone = (terminating(), port_deleted(), deleted())
    given(nova, *WITH_PORT, *gone).when(spawn("i2", name="i1-name")).then(scheduled("i2", name="i1-name"))


def test_an_instance_id_is_never_used_twice() -> None:
    again = refused("the instance id is in use", "instance", "i1")
    given(nova, By("q1", spawn())).when(By("q2", spawn())).then(again).of_story("q2")
    given(nova, *ACTIVE, terminating(), port_deleted(), deleted()).when(By("q2", spawn())).then(again)


def test_a_redelivered_request_yields_nothing() -> None:
    play = given(nova).when(By("q1", spawn())).then(scheduled()).when_decisions_come_back()
    play.when(By("q1", spawn())).then_nothing()


def test_a_redelivered_request_that_was_refused_yields_nothing() -> None:
    play = given(nova, By("q1", spawn())).when(By("q2", spawn()))
    play.when_decisions_come_back().when(By("q2", spawn())).then_nothing()


def test_requests_of_one_story_for_several_instances_are_answered_one_by_one() -> None:
    """A harness may give a whole batch one correlation; a refusal in it must not silence the rest."""
    taken = given(nova, By("q0", spawn("i1")), scheduled("i1")).when(By("batch", spawn("i1")))
    taken.when(By("batch", spawn("i2"))).then(scheduled("i2"))
    taken.when(By("batch", delete("i1"))).then(failed("i1", FAILED_BY_DELETE.reason), terminating("i1"))


def test_two_requests_of_one_batch_see_each_other() -> None:
    play = given(nova).when(By("q1", spawn("i1", host="h2"))).then(scheduled(host="h2"))
    play.when(By("q2", spawn("i2", host="h2"))).then(refused("the host is full (1 instances)", "host", "h2", "i2"))


def test_a_port_that_cannot_be_given_refuses_the_spawn_with_its_reason() -> None:
    play = given(nova, By("q1", spawn()), By("q1", scheduled()), create_port())
    play.when(port_refused()).then(refused("no address", "network", "net1")).of_story("q1")


def test_a_refused_port_says_nothing_of_an_unknown_instance() -> None:
    given(nova).when(port_refused()).then_nothing()


@pytest.mark.parametrize("last_two", [(UNDERLAY, OVERLAY), (OVERLAY, UNDERLAY)], ids=["overlay last", "underlay last"])
def test_active_once_both_planes_are_whichever_comes_first(last_two: tuple[Event, Event]) -> None:
    play = given(nova, By("q1", spawn()), *WITH_PORT[1:], bound())
    play.when(last_two[0]).then_nothing()
    play.when(By("other", last_two[1])).then(active()).of_story("q1")


def test_an_active_instance_is_not_reported_twice() -> None:
    given(nova, *ACTIVE).when(OVERLAY).then_nothing()


@pytest.mark.parametrize("stale", [{"host": "h2"}, {"generation": 2}], ids=str)
def test_a_report_of_another_claim_makes_nothing_active(stale: dict[str, str]) -> None:
    report = say(PortOverlayReported, status="ACTIVE", **stale)  # type: ignore[arg-type]
    given(nova, *WITH_PORT, bound(), UNDERLAY).when(report).then_nothing()


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        case("plug", say(PortPlugFailed, reason="no vNIC"), "no vNIC"),
        case("flows", say(PortUnderlayReported, status="ERROR", detected_us=1, reason="no flow"), "no flow"),
        case("leaf", say(PortOverlayReported, status="ERROR", reason="table full"), "table full"),
    ],
)
def test_a_failed_device_fails_the_spawn_and_takes_it_down(report: Event, reason: str) -> None:
    play = given(nova, By("q1", spawn()), *WITH_PORT[1:]).when(By("q1", report))
    play.then(failed(reason=reason), terminating()).of_story("q1", "q1")


def test_a_failure_that_was_appended_without_its_clean_up_is_cleaned_up_after_a_crash() -> None:
    report = say(PortPlugFailed, reason="no vNIC")
    given(nova, *WITH_PORT).when_decided_again(report, failed(reason="no vNIC")).then(terminating())


def test_a_second_error_fails_nothing_again() -> None:
    given(nova, *WITH_PORT, failed(), terminating()).when(say(PortPlugFailed, reason="again")).then_nothing()


def test_what_failed_is_deleted_once_its_port_is_gone() -> None:
    play = given(nova, By("q1", spawn()), *WITH_PORT[1:], failed(), terminating())
    play.when(port_deleted()).then(deleted()).of_story("q1")


def test_deleting_an_unknown_instance_is_refused() -> None:
    given(nova).when(By("d1", delete("i9"))).then(delete_refused("unknown instance", "i9")).of_story("d1")


def test_deleting_a_refused_instance_is_refused() -> None:
    given(nova, spawn(network="net9"), refused("unknown network", "network", "net9")).when(By("d1", delete())).then(
        delete_refused("the instance was refused and never existed")
    )


def test_deleting_takes_the_instance_down_and_ends_when_its_port_is_gone() -> None:
    play = given(nova, *ACTIVE).when(By("d1", delete())).then(terminating()).of_story("d1").when_decisions_come_back()
    play.when(port_deleted()).then(deleted()).of_story("d1")


def test_deleting_twice_is_refused_the_second_time() -> None:
    again = delete_refused("the instance is being deleted already")
    given(nova, *ACTIVE, By("d1", delete()), terminating()).when(By("d2", delete())).then(again).of_story("d2")


def test_deleting_what_is_deleted_is_refused() -> None:
    gone = (By("d1", delete()), By("d1", terminating()), port_deleted(), By("d1", deleted()))
    given(nova, *ACTIVE, *gone).when(By("d2", delete())).then(delete_refused("the instance is deleted already"))


def test_a_redelivered_delete_yields_nothing_at_any_time() -> None:
    play = given(nova, *ACTIVE, By("d1", delete()), terminating()).when(By("d1", delete())).then_nothing()
    play.given(port_deleted(), By("d1", deleted())).when(By("d1", delete())).then_nothing()


def test_a_redelivered_delete_that_was_refused_yields_nothing() -> None:
    play = given(nova).when(By("d1", delete())).when_decisions_come_back()
    play.when(By("d1", delete())).then_nothing()


@pytest.mark.parametrize("history", [SPAWNING, (*SPAWNING, create_port()), WITH_PORT, (*WITH_PORT, bound(), OVERLAY)])
def test_deleting_while_spawning_ends_both_requests(history: tuple[Event, ...]) -> None:
    play = given(nova, By("q1", spawn()), *history[1:]).when(By("d1", delete()))
    play.then(FAILED_BY_DELETE, terminating()).of_story("q1", "d1").when_decisions_come_back()
    play.when(UNDERLAY).then_nothing()


def test_deleting_while_the_port_is_being_refused_ends_both_requests() -> None:
    play = given(nova, By("q1", spawn()), By("q1", scheduled()), create_port()).when(By("d1", delete()))
    play.when_decisions_come_back().when(port_refused()).then(deleted()).of_story("d1")


def test_deleting_what_failed_waits_for_its_clean_up() -> None:
    play = given(nova, *WITH_PORT, failed(), terminating()).when(By("d1", delete())).then_nothing()
    play.when(port_deleted()).then(deleted()).of_story("d1")


# The log's order is not the order of decisions: what others wrote may stand between an input and the decision on it.


def test_a_delete_between_a_refused_spawn_and_its_refusal_is_refused_after_a_crash() -> None:
    nowhere, refusal = spawn(network="net9"), refused("unknown network", "network", "net9")
    play = given(nova, By("q1", nowhere)).when_decided_again(By("d1", delete()), By("q1", refusal))
    play.then(delete_refused("the instance was refused and never existed")).of_story("d1")


def test_a_delete_between_a_clean_up_and_its_record_is_refused_after_a_crash() -> None:
    cleaned = given(nova, By("q1", spawn()), *WITH_PORT[1:], failed(), terminating(), port_deleted())
    play = cleaned.when_decided_again(By("d1", delete()), By("q1", deleted()))
    play.then(delete_refused("the instance is deleted already")).of_story("d1")


def test_a_delete_before_its_spawn_is_refused_as_unknown_also_after_a_crash() -> None:
    given(nova).when_decided_again(By("d1", delete()), spawn(), scheduled()).then(delete_refused("unknown instance"))


def test_a_copy_of_a_refused_delete_does_not_block_the_instance_that_came_after_it() -> None:
    early = (By("d1", delete()), By("d1", delete_refused("unknown instance")))
    play = given(nova, *early, *ACTIVE, By("d1", delete())).when(By("d2", delete()))
    play.then(terminating()).of_story("d2")


def test_a_copy_of_a_delete_before_its_refusal_does_not_block_either() -> None:
    refusal = By("d1", delete_refused("unknown instance"))
    given(nova, By("d1", delete()), *ACTIVE, By("d1", delete()), refusal).when(By("d2", delete())).then(terminating())


def test_a_delete_waits_for_the_decision_on_its_spawn() -> None:
    """After a crash: a first copy of the delete is decided on before the spawn that came between the two."""
    given(nova).when_decided_again(By("d1", delete()), spawn(), By("d1", delete())).then_nothing()
