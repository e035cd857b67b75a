"""The JSON Schema agrees with the decoder: what one takes the other takes, and what is broken neither does."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bus.envelope import Envelope, decode, encode
from bus.errors import MalformedEvent, UnknownEventType
from bus.events import EVENT_TYPES, Event, PortBound, RegionAdded, SpawnRequested, SubnetCreated, tag_of
from bus.subjects import ROLES, matches, publish_permissions, publishers_of, subject_of
from driftline.schema import json_schema, subject_template

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
WIRE_FORMAT = Path(__file__).parents[2] / "docs" / "wire-format.md"

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
#: Parsed when an event is made, so not any text will do.
PARSED = {"cidr": st.just("10.1.0.0/16"), "gateway": st.just("10.1.0.1")}


def values(of: msgspec.inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911, PLR0912  # one for each kind of type
    """Values of a field's type, made from the type alone."""
    match of:
        case msgspec.inspect.Metadata(extra_json_schema={"pattern": pattern}):  # an identifier of an event itself
            return st.from_regex(pattern.removesuffix(r"(?![\s\S])"), fullmatch=True)
        case msgspec.inspect.Metadata(type=inner):
            return values(inner)
        case msgspec.inspect.StrType(pattern=None, min_length=least, max_length=most):
            return st.text(st.characters(codec="utf-8"), min_size=least or 0, max_size=most or 20)
        case msgspec.inspect.StrType(pattern=str(pattern)):
            return st.from_regex(pattern.removesuffix(r"(?![\s\S])"), fullmatch=True)
        case msgspec.inspect.IntType(ge=least, le=most):
            return st.integers(-(2**63) if least is None else least, 2**63 - 1 if most is None else most)
        case msgspec.inspect.LiteralType(values=choices):
            return st.sampled_from(choices)
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.UnionType(types=types):
            return st.one_of([values(one) for one in types])
        case msgspec.inspect.VarTupleType(item_type=item, min_length=least, max_length=most):
            return st.lists(values(item), min_size=least or 0, max_size=min(3, most or 3)).map(tuple)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=3)
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: values(field.type) for field in fields})
        case _:
            raise NotImplementedError(of)


def events_of(event_type: type[Event]) -> st.SearchStrategy[Event]:
    info = msgspec.inspect.type_info(event_type)
    assert isinstance(info, msgspec.inspect.StructType)
    fields = {field.name: PARSED[field.name] if field.name in PARSED else values(field.type) for field in info.fields}
    return st.builds(event_type, **fields)


EVENTS = st.sampled_from(EVENT_TYPES).flatmap(events_of)
ENVELOPES = st.builds(
    Envelope,
    id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=256),
    event=EVENTS,
    cause=TEXTS,
    correlation=TEXTS,
    actor=TEXTS,
    time_us=st.integers(0, 253_402_300_799_999_999),
)


def test_the_schema_is_a_schema_and_always_the_same() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert json.dumps(json_schema()) == json.dumps(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@given(ENVELOPES)
def test_what_is_encoded_validates(envelope: Envelope) -> None:
    data = encode(envelope)
    assert decode(data) == envelope
    VALIDATOR.validate(json.loads(data))


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=tag_of)
@settings(max_examples=1, phases=[Phase.generate])  # one message of each type, broken in every way
@given(st.data())
def test_a_message_without_a_required_field_or_with_a_wrong_one_is_refused_by_both(
    event_type: type[Event], data: st.DataObject
) -> None:
    envelope = Envelope(id="1", event=data.draw(events_of(event_type)))  # type: ignore[arg-type]  # a union of all
    VALIDATOR.validate(json.loads(encode(envelope)))
    # Of all definitions its own alone takes its type, so that one decides; it takes a hundredth of the time of all.
    definition = Draft202012Validator({"$ref": f"#/$defs/{event_type.__name__}", "$defs": SCHEMA["$defs"]})
    for field in SCHEMA["$defs"][event_type.__name__]["required"]:
        for broken in (absent(envelope, field), replaced(envelope, field, {}), replaced(envelope, field, None)):
            assert not definition.is_valid(json.loads(broken)["event"])
            with pytest.raises((MalformedEvent, UnknownEventType)):
                decode(broken)


def absent(envelope: Envelope, field: str) -> bytes:
    document = json.loads(encode(envelope))
    del document["event"][field]
    return json.dumps(document).encode()


def replaced(envelope: Envelope, field: str, value: object) -> bytes:
    document = json.loads(encode(envelope))
    document["event"][field] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"id": "1"}',
        '{"event": {"type": "region.added.v1", "region": "r"}}',
        '{"id": "", "event": {"type": "region.added.v1", "region": "r"}}',
        '{"id": 1, "event": {"type": "region.added.v1", "region": "r"}}',
        '{"id": "1", "time_us": -1, "event": {"type": "region.added.v1", "region": "r"}}',
        '{"id": "1", "event": {"type": "region.added.v2", "region": "r"}}',
        '{"id": "1", "event": {"region": "r"}}',
        '{"id": "1", "event": {"type": "region.added.v1", "region": "a.b"}}',
        '{"id": "1", "event": {"type": "region.added.v1", "region": "*"}}',
        '{"id": "1", "event": {"type": "region.added.v1", "region": ""}}',
        f'{{"id": "1", "event": {{"type": "region.added.v1", "region": "{"x" * 64}"}}}}',
        '{"id": "1", "event": {"type": "network.created.v1", "network": "n", "vpc": "v", "vni": 16777216}}',
        '{"id": "1", "event": {"type": "network.created.v1", "network": "n", "vpc": "v", "vni": 1, "labels": "x"}}',
        '{"id": "1", "event": {"type": "vpc.created.v1", "vpc": "v", "tenant": "t", "vrf": "f", "cidr": "10.0.0.0"}}',
    ],
)
def test_what_is_broken_is_refused_by_both(text: str) -> None:
    assert not VALIDATOR.is_valid(json.loads(text))
    with pytest.raises((MalformedEvent, UnknownEventType)):
        decode(text.encode())


def test_unknown_fields_are_allowed_by_both() -> None:
    text = '{"id": "1", "colour": "red", "event": {"type": "region.added.v1", "region": "r", "since": 2013}}'
    VALIDATOR.validate(json.loads(text))
    assert decode(text.encode()).event == RegionAdded(region="r")


def test_every_event_says_where_it_goes_and_who_sends_it() -> None:
    for event_type in EVENT_TYPES:
        definition = SCHEMA["$defs"][event_type.__name__]
        assert definition["properties"]["type"] == {"enum": [tag_of(event_type)]}
        assert definition["x-published-by"] == publishers_of(event_type)
        assert definition["x-once"] is event_type.once
        assert not re.search(r"^[ \t]", definition["description"], re.MULTILINE)
    parts = {"Envelope", "HostDifference", "LeafDifference", "TableDifference", "MacDuplicate", "CloudDifference"}
    parts |= {"HttpRule", "PolicyRule", "Listener", "PortItem", "RefusedItem"}
    assert set(SCHEMA["$defs"]) == parts | {event_type.__name__ for event_type in EVENT_TYPES}


def test_subject_templates_are_readable() -> None:
    assert subject_template(PortBound) == "dl.port.{port}.{az}.{host}.bound"
    assert subject_template(SpawnRequested) == "dl.instance.{instance}.{az}._.spawn_requested"
    assert subject_template(SubnetCreated) == "dl.subnet.{subnet}._._.created"


@given(EVENTS)
def test_a_subject_template_filled_in_is_the_subject_and_its_publisher_may_use_it(event: Event) -> None:
    definition = SCHEMA["$defs"][type(event).__name__]
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    subject = definition["x-subject"].format(**fields)
    assert subject == subject_of(event)
    allowed = {role for role in ROLES if any(matches(one, subject) for one in SCHEMA["x-permissions"][role])}
    assert allowed == set(definition["x-published-by"])


def test_permissions_are_those_of_every_role() -> None:
    assert SCHEMA["x-permissions"] == {role: publish_permissions(role) for role in ROLES}


# --- docs/wire-format.md ---


def test_the_messages_in_the_document_are_good() -> None:
    text = WIRE_FORMAT.read_text(encoding="utf-8")
    example = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    command = re.findall(r"nats pub -J -H Nats-Msg-Id:(\S+) (\S+) \\\n  '(.*?)'\n", text)
    assert (len(example), len(command)) == (1, 1)
    (header, subject, body), envelope = command[0], decode(example[0].encode())
    assert decode(body.encode()).event == envelope.event
    assert decode(body.encode()).id == envelope.id == header
    assert subject_of(envelope.event) == subject
    VALIDATOR.validate(json.loads(example[0]))


def test_the_document_names_subjects_and_roles_as_they_are() -> None:
    text = WIRE_FORMAT.read_text(encoding="utf-8")
    for tag, subject in re.findall(r"^\| `(\S+\.v1)` \| `(dl\.\S+)` \|", text, re.MULTILINE):
        definition = next(d for d in SCHEMA["$defs"].values() if d["properties"].get("type") == {"enum": [tag]})
        assert definition["x-subject"] == subject
        assert "publisher" in definition["x-published-by"]
    tags = {tag_of(event_type) for event_type in EVENT_TYPES}
    assert set(re.findall(r"`([a-z_.]+\.v1)`", text)) <= tags
    assert all(f"`{role}`" in text for role in ROLES)
    assert all(f'"{subject}"' in text for subject in publish_permissions("publisher"))


def test_the_python_example_compiles() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", WIRE_FORMAT.read_text(encoding="utf-8"), re.DOTALL)
    compile(code, "wire-format.md", "exec")
    assert "import driftline" not in code
