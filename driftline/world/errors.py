"""What is wrong with a description of the world, in one line that names the field and the value."""

import re

import msgspec

from driftline.errors import UsageError

#: msgspec ends its messages with where it was: "… - at `$.host[0].capacity`".
_WHERE = re.compile(r"^(?P<problem>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


class WorldError(UsageError):
    """The world cannot be described like this; the text names the field and the value. The person's to mend."""


def explain(error: msgspec.ValidationError, document: object) -> str:
    """``error`` as "field: value: problem"; ``document`` is what was validated, plain dicts and lists."""
    found = _WHERE.match(str(error))
    assert found is not None  # every part of the pattern is optional
    names: list[str] = []
    value = document
    for key, index in _STEP.findall(found["path"] or ""):
        names.append(key or f"#{int(index) + 1}")  # people count from 1
        value = _inside(value, key, index)
    if isinstance(value, str | int | float):
        names.append(repr(value))
    return ": ".join([*names, found["problem"]])


def _inside(value: object, key: str, index: str) -> object:
    if isinstance(value, dict) and key:
        return value.get(key)
    if isinstance(value, list | tuple) and index:
        return value[int(index)]
    return None
