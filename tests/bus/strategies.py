"""Hypothesis strategies: any event, any envelope."""

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bus.envelope import Envelope
from bus.events import EVENT_TYPES, Event, SubnetCreated, VpcCreated

_TOKENS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
_CIDRS = st.sampled_from(["10.0.0.0/24", "172.16.0.0/12", "192.168.7.0/30"])


def _values(kind: msgspec.inspect.Type) -> SearchStrategy[object]:
    match kind:
        case msgspec.inspect.Metadata(extra_json_schema={"pattern": str(pattern)}):  # checked by the event itself
            return _texts(pattern)
        case msgspec.inspect.Metadata(type=inner):
            return _values(inner)
        case msgspec.inspect.UnionType(types=types):
            return st.one_of([_values(one) for one in types])
        case msgspec.inspect.VarTupleType(item_type=item, min_length=least):
            return st.lists(_values(item), min_size=least or 0, max_size=3 + (least or 0)).map(tuple)
        case msgspec.inspect.StrType(pattern=pattern):
            return _texts(pattern)
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_values(key), _values(value), max_size=3)
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _values(field.type) for field in fields})
    return _scalars(kind)


def _scalars(kind: msgspec.inspect.Type) -> SearchStrategy[object]:
    match kind:
        case msgspec.inspect.IntType(ge=low, le=high):
            return st.integers(-(2**53) if low is None else low, 2**53 if high is None else high)
        case msgspec.inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
    raise NotImplementedError(f"a strategy for {kind}")


def _texts(pattern: str | None) -> SearchStrategy[object]:
    if pattern is None:
        return st.text(max_size=20)
    if "f]{2}:" in pattern:
        return st.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":"))
    if r"\d{1,3}" in pattern and "/" not in pattern:
        return st.ip_addresses(v=4).map(str)
    return _CIDRS if "/" in pattern else _TOKENS


def events_of(event_type: type[Event]) -> SearchStrategy[Event]:
    """Any event of this type."""
    if event_type is SubnetCreated:  # the gateway must lie within the subnet
        return st.builds(
            SubnetCreated, subnet=_TOKENS, network=_TOKENS, cidr=st.just("10.0.0.0/24"), gateway=st.just("10.0.0.1")
        )
    if event_type is VpcCreated:
        return st.builds(VpcCreated, vpc=_TOKENS, tenant=_TOKENS, vrf=_TOKENS, cidr=_CIDRS)
    info = msgspec.inspect.type_info(event_type)
    assert isinstance(info, msgspec.inspect.StructType)
    return st.builds(event_type, **{field.name: _values(field.type) for field in info.fields})


_EVENTS = st.one_of([events_of(event_type) for event_type in EVENT_TYPES])


def events() -> SearchStrategy[Event]:
    """Any event of any type."""
    return _EVENTS


def envelopes() -> SearchStrategy[Envelope]:
    """Any envelope around any event."""
    texts = st.text(max_size=30)
    return st.builds(
        Envelope,
        id=st.text(min_size=1, max_size=256),
        event=events(),
        cause=texts,
        correlation=texts,
        actor=texts,
        time_us=st.integers(0, 2**53),
    )
