"""The wire format as JSON Schema (draft 2020-12), generated from the structs that the bus decodes with.

Beyond the standard keywords each event says where it goes and who may send it: ``x-subject`` is the subject with the
event's fields in braces, ``x-published-by`` the roles that publish it, ``x-once`` that an aggregate sees it at most
one time. ``x-permissions`` lists for each role what it may publish.
"""

import inspect
import re
from typing import Any

import msgspec

from bus.envelope import Envelope
from bus.events import EVENT_TYPES, Event
from bus.subjects import ROLES, publish_permissions, publishers_of, subject_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Fields that an event parses when it is made, so that a placeholder would not pass.
_PARSED = {"cidr": "10.0.0.0/24", "gateway": "10.0.0.1"}
#: What a placeholder begins with until the subject is there: braces make no identifier.
_PLACE = "field-"


def json_schema() -> dict[str, Any]:
    """The schema of one message: an envelope with one event. The same text for the same code.

    What a schema cannot say is checked when a message is read: the subject, and that a subnet's gateway is in its
    CIDR. Unknown fields are allowed, so that an older reader understands a newer publisher.
    """
    (top,), definitions = msgspec.json.schema_components((Envelope,), ref_template="#/$defs/{name}")
    for event_type in EVENT_TYPES:
        definitions[event_type.__name__].update(
            {
                "x-subject": subject_template(event_type),
                "x-published-by": publishers_of(event_type),
                "x-once": event_type.once,
            }
        )
    for definition in definitions.values():
        definition["description"] = inspect.cleandoc(definition["description"])
    schema = {
        "$schema": DIALECT,
        "title": "driftline wire format",
        "description": "One message of the log: the envelope, and in it one event, told apart by its type.",
        **top,
        "x-permissions": {role: publish_permissions(role) for role in ROLES},
        "$defs": definitions,
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))  # a default may be a tuple
    return plain


def subject_template(event_type: type[Event]) -> str:
    """The subject of events of this type, its fields in braces: ``dl.port.{port}.{az}.{host}.bound``."""
    placeholders = {field: _PARSED.get(field, f"{_PLACE}{field}") for field in event_type.__struct_fields__}
    return re.sub(rf"{_PLACE}(\w+)", r"{\1}", subject_of(event_type(**placeholders)))
