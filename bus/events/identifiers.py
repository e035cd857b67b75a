"""Identifiers, and how an event's own are checked: once for each value, not once for each field.

A spawn names its port, its host and its network in some fifty fields of eleven events. Matching a pattern for each
is most of what decoding takes (docs/adr/0014), so ``IdentifierFields`` leaves to msgspec only how long such a field
may be, and ``check`` matches the pattern for values not seen lately. Everywhere but in a field of an event
itself (lists, other structs), msgspec matches it.
"""

import re
from operator import attrgetter
from typing import Annotated, Any

import msgspec

_WORD = "[A-Za-z0-9][A-Za-z0-9_-]"
#: "Nothing more", because ``$`` would let a line feed through, and into a NATS protocol line.
_END = r"(?![\s\S])"

#: An identifier that is also one NATS subject token: no dots, spaces or wildcards. ``_`` in a subject means "none".
Token = Annotated[str, msgspec.Meta(pattern=f"^{_WORD}{{0,62}}{_END}", description="one subject token")]
#: A token that leaves room for the suffix of its ports' ids.
InstanceId = Annotated[
    str, msgspec.Meta(pattern=f"^{_WORD}{{0,60}}{_END}", description="a token of at most 61 characters")
]
#: Who makes one plane of a port ready; empty: the plane does not apply, and counts as ACTIVE.
RealisedBy = Annotated[str, msgspec.Meta(pattern=f"^({_WORD}{{0,62}})?{_END}", description="a worker, or empty")]

#: How many values are kept that were found to be identifiers, about 100 bytes each; then none, and again.
KNOWN_MAX = 20_000

#: What is no identifier and yet may stand where one is optional: msgspec knows where.
_NONE: frozenset[str | None] = frozenset({"", None})
_known = set(_NONE)
_IDENTIFIER = re.compile(f"{_WORD}*")


def _lengths_only(kind: Any, least: int, most: int) -> Any:
    (meta,) = kind.__metadata__
    told = {"pattern": meta.pattern}
    bare = msgspec.Meta(min_length=least, max_length=most, extra_json_schema=told, description=meta.description)
    return Annotated[str, bare]


#: By the identity of the type: not every annotation has a hash.
_BARE = {
    id(Token): _lengths_only(Token, 1, 63),
    id(InstanceId): _lengths_only(InstanceId, 1, 61),
    id(RealisedBy): _lengths_only(RealisedBy, 0, 63),
}
_OPTIONAL = Token | None


def _bare(kind: Any) -> Any:
    """``kind`` without its pattern; itself if it is no identifier."""
    return _BARE[id(Token)] | None if kind == _OPTIONAL else _BARE.get(id(kind), kind)


class IdentifierFields(msgspec.StructMeta):
    """The type of event types: it gives each an ``identifiers``, what gets those fields of an event."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> Any:
        # Where annotations are not there yet (PEP 649), the patterns stay, and msgspec matches them: slower, not wrong.
        fields: dict[str, Any] = namespace.get("__annotations__", {})
        bare = {field: _bare(kind) for field, kind in fields.items()}
        if fields:
            namespace["__annotations__"] = bare
        inherited = [name for base in bases for name in getattr(base, "identifier_names", ()) if name not in fields]
        names = (*inherited, *(field for field, kind in fields.items() if bare[field] is not kind))
        cls: Any = super().__new__(mcs, name, bases, namespace, **config)
        cls.identifier_names = names
        cls.identifiers = attrgetter(*names, *names[:1]) if names else _no_fields  # of one name it would get no tuple
        return cls


def _no_fields(event: Any) -> tuple[str, ...]:
    return ()


def check(event: Any) -> None:
    """Raises ValueError, worded as msgspec words it, when a field that is an identifier holds something else."""
    try:
        if _known.issuperset(event.identifiers(event)):
            return
    except TypeError:  # something that has no hash, and so no text: it is named below
        pass
    for field in event.identifier_names:
        _learn(field, getattr(event, field))


def _learn(field: str, value: object) -> None:
    if value is None or value == "":
        return
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise ValueError(f"Expected letters, digits, `_` and `-`, a letter or digit first - at `$.{field}`")
    if len(_known) >= KNOWN_MAX:
        _known.clear()
        _known.update(_NONE)
    _known.add(value)
