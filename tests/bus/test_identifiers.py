"""What an event takes for an identifier, however it is made, and that what was seen before changes nothing of it."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.envelope import decode
from bus.errors import MalformedEvent
from bus.events import (
    EVENT_TYPES,
    Event,
    NetworkCreated,
    PortAllocated,
    PortRegistered,
    SpawnRequested,
    SubnetCreated,
    tag_of,
)
from bus.events import identifiers as module
from bus.events.identifiers import InstanceId, RealisedBy, Token
from tests.bus.strategies import events_of

TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=70),
    st.text("aZ09_-", max_size=70),
    st.sampled_from(["", "a\n", "-a", "_", "a.b", "a b", "ä", "٣", "a" * 61, "a" * 62, "a" * 63, "a" * 64]),
)
#: A field of each type of identifier, beside others that are.
FIELDS: dict[str, tuple[Any, type[Any]]] = {
    "port": (Token, PortRegistered),
    "instance": (InstanceId, PortAllocated),
    "zone": (RealisedBy, SubnetCreated),
    "label": (Token, SpawnRequested),  # optional, and so is a network
}
GIVEN: dict[type[Any], dict[str, Any]] = {
    PortRegistered: {"port": "p", "az": "z", "host": "h"},
    SpawnRequested: {"instance": "i", "name": "n", "az": "z"},
    SubnetCreated: {"subnet": "s", "network": "n", "cidr": "10.0.0.0/24", "gateway": "10.0.0.1"},
    PortAllocated: {
        **{"port": "p", "az": "z", "host": "h", "name": "any", "instance": "i", "network": "n", "subnet": "s"},
        **{"vpc": "v", "vrf": "r", "ip": "10.0.0.2", "prefix_length": 24, "gateway": "10.0.0.1", "vlan": 5, "vni": 7},
        **{"mac": "fa:16:3e:00:00:01", "physical_network": "l1-l2"},
    },
}


def taken(wanted: Any, value: object) -> bool:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("field", FIELDS)
@given(value=TEXTS)
def test_an_event_takes_what_the_type_alone_takes(field: str, value: str) -> None:
    kind, event_type = FIELDS[field]
    document = {**GIVEN[event_type], field: value}
    for _ in range(2):  # not seen yet, and seen
        assert taken(event_type, {"type": tag_of(event_type), **document}) == taken(kind, value)


def alternatives(kind: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, ...]:
    return kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)


def is_bare(kind: msgspec.inspect.Type) -> bool:
    return isinstance(kind, msgspec.inspect.Metadata) and "pattern" in (kind.extra_json_schema or {})


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_no_event_leaves_an_identifier_unchecked(event_type: type[Any]) -> None:
    """Every field that msgspec does not match a pattern for, and tells one of, is matched by the event."""
    info = msgspec.inspect.type_info(event_type)
    assert isinstance(info, msgspec.inspect.StructType)
    bare = {field.encode_name for field in info.fields if any(map(is_bare, alternatives(field.type)))}
    assert bare == {*event_type.identifier_names}


def test_what_is_wrong_is_named_where_it_is() -> None:
    with pytest.raises(ValueError, match=r"Expected letters, digits.* at `\$\.host`$"):
        PortRegistered(port="p", az="z", host="h.h")
    with pytest.raises(ValueError, match=r"at `\$\.network`$"):
        NetworkCreated(network="n n", vpc="v")
    wrongs: list[Any] = [7, ["h"], {}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"at `\$\.host`$"):
            PortRegistered(port="p", az="z", host=wrong)
    with pytest.raises(MalformedEvent, match=r"at `\$\.event\.host`$"):
        decode(b'{"id": "x", "event": {"type": "port.registered.v1", "port": "p", "az": "z", "host": "h.h"}}')


def test_what_is_remembered_stays_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KNOWN_MAX", 50)
    for number in range(500):
        event = PortRegistered(port=f"p{number}", az="z", host=f"h{number}")
        assert re.fullmatch(r"p\d+", event.port)
        assert len(module._known) <= 50 + 3
    with pytest.raises(ValueError, match="port"):
        PortRegistered(port="p 1", az="z", host="h1")


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@settings(max_examples=1)
@given(data=st.data())
def test_no_identifier_of_any_event_takes_what_is_none(event_type: type[Any], data: st.DataObject) -> None:
    """Also where the event checks more of itself: a hole here is one into the subjects of NATS."""
    event = data.draw(events_of(event_type))
    document = {"type": tag_of(event_type), **msgspec.to_builtins(event)}
    assert taken(event_type, document)
    for name in event_type.identifier_names:
        assert not taken(event_type, {**document, name: "a.b >"}), name


def test_an_event_without_identifiers_and_one_that_declares_an_inherited_one_anew() -> None:
    class Bare(Event, tag="bare.made.v1", frozen=True, kw_only=True):
        count: int

    class Named(Event, frozen=True, kw_only=True):
        host: Token

    class Free(Named, tag="free.made.v1", frozen=True, kw_only=True):
        host: str

    assert Bare(count=1).count == 1
    assert Free(host="any text").host == "any text"
    with pytest.raises(ValueError, match="host"):
        Named(host="any text")
