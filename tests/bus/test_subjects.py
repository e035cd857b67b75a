"""Subjects: where events go, and what filters and permissions select."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import (
    EVENT_TYPES,
    DeviceAudited,
    DeviceAuditRequested,
    Event,
    HostAdded,
    HostAudited,
    HostResynced,
    InstanceScheduled,
    PortAllocated,
    PortBound,
    PortClaimRefused,
    PortOverlayRemoved,
    PortOverlayReported,
    PortRefused,
    SpawnRequested,
    WorkerStarted,
    tag_of,
)
from bus.subjects import (
    ALL,
    ROLES,
    history_filter,
    host_filter,
    key_of,
    matches,
    name_of,
    once_filter,
    publish_permissions,
    publishers_of,
    subject_of,
)
from tests.bus.given import active, plugged
from tests.bus.strategies import events

TOKENS = st.sampled_from(["a", "b", "c"])


def as_regex(pattern: str) -> str:
    """Another statement of what a NATS filter means."""
    words = {"*": r"[^.]+", ">": r".+"}
    return r"\.".join(words.get(word, re.escape(word)) for word in pattern.split("."))


@given(
    st.lists(st.one_of(TOKENS, st.just("*")), min_size=1, max_size=5),
    st.booleans(),
    st.lists(TOKENS, min_size=1, max_size=5),
)
def test_matches_is_what_nats_means(pattern: list[str], is_open: bool, subject: list[str]) -> None:
    text = ".".join([*pattern, ">"] if is_open else pattern)
    assert matches(text, ".".join(subject)) == (re.fullmatch(as_regex(text), ".".join(subject)) is not None)


@given(events())
def test_every_event_has_one_subject_that_its_filters_select(event: Event) -> None:
    subject = subject_of(event)
    prefix, aggregate, key, _az, _host, name = subject.split(".")
    assert (prefix, key, f"{aggregate}.{name}") == ("dl", key_of(event), name_of(type(event)))
    assert matches(ALL, subject)
    assert matches(history_filter(aggregate, key), subject)
    assert matches(once_filter(event), subject)


@given(events().filter(lambda event: not isinstance(event, WorkerStarted)))
def test_the_permissions_let_its_publishers_alone_publish_an_event(event: Event) -> None:
    may = [role for role in ROLES if any(matches(one, subject_of(event)) for one in publish_permissions(role))]
    assert may == publishers_of(type(event))


def test_a_worker_and_no_other_publishes_an_event_but_for_these() -> None:
    outside = {"operator", "publisher"}
    by_many = {t: set(publishers_of(t)) - outside for t in EVENT_TYPES if len(set(publishers_of(t)) - outside) > 1}
    hosts_agents = {"compute", "ovs-agent"}  # servers, bare metal and nodes have agents of their own
    ipams = {"ipam", "host-ipam"}  # the centre's, and a host's own for its blocks
    control_planes = {"cnc", "cloud"}  # the fabric's and a cloud's each make overlays of ports
    tables = {"cnc", "border", "block-routes", "core-router"}  # each audits the tables that it wrote
    assert by_many == {
        **dict.fromkeys((HostResynced, HostAudited), hosts_agents),
        **dict.fromkeys((PortAllocated, PortClaimRefused, PortRefused, PortBound), ipams),
        **dict.fromkeys((PortOverlayReported, PortOverlayRemoved), control_planes),
        **dict.fromkeys((DeviceAuditRequested, DeviceAudited), tables),
    }
    assert [t for t in EVENT_TYPES if not publishers_of(t)] == [WorkerStarted]


def test_a_worker_says_of_itself_alone_that_it_started() -> None:
    nova = subject_of(WorkerStarted(worker="nova", position=0, checkpoint=0))
    may = [role for role in ROLES if any(matches(one, nova) for one in publish_permissions(role))]
    assert may == ["nova"]


@given(events(), events())
def test_once_filters_keep_aggregates_and_types_apart(one: Event, other: Event) -> None:
    same = (type(one), key_of(one)) == (type(other), key_of(other))
    assert matches(once_filter(one), subject_of(other)) == same


def test_tags_are_versioned_and_unique() -> None:
    tags = [tag_of(event_type) for event_type in EVENT_TYPES]
    assert len(set(tags)) == len(tags)
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+\.v\d+", tag) for tag in tags)


def test_routing() -> None:
    subject = subject_of(plugged(7, "h42").event)
    assert subject == "dl.port.i7-0.az1.h42.plugged"
    assert matches(host_filter("h42"), subject)
    assert not matches(host_filter("h4"), subject)
    assert once_filter(active(1).event) == "dl.instance.i1.*.*.active"


def test_a_request_concerns_no_host_yet() -> None:
    request = SpawnRequested(instance="i1", name="web", az="az1", host="h1", network="n1")
    assert subject_of(request) == "dl.instance.i1.az1._.spawn_requested"
    scheduled = InstanceScheduled(instance="i1", name="web", az="az1", host="h1")
    assert subject_of(scheduled) == "dl.instance.i1.az1.h1.scheduled"
    host = HostAdded(host="h1", az="az1", leaf_a="l1", leaf_b="l2", interface="e1")
    assert subject_of(host) == "dl.host.h1.az1.h1.added"


def test_an_agent_speaks_for_its_own_host_only() -> None:
    (reported, *_others) = publish_permissions("ovs-agent", "h42")
    assert matches(reported, "dl.port.i1-0.az1.h42.underlay_reported")
    assert not matches(reported, "dl.port.i1-0.az1.h43.underlay_reported")
    assert publishers_of(PortAllocated) == ["ipam", "host-ipam"]  # of blocks of its own
    with pytest.raises(KeyError):
        publish_permissions("nobody")
