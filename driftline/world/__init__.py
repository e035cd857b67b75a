"""The world as events: made up (``generate``) or read from a file (``load``), then held against the log (``check``).

A publisher of a description does ``check(load(path), existing)`` and appends what comes back.
"""

from driftline.world.checked import check, described, world_of
from driftline.world.errors import WorldError
from driftline.world.file import OF_SCENARIO, WorldFile, events_of, load, parse_toml
from driftline.world.generated import generate

__all__ = [
    "OF_SCENARIO",
    "WorldError",
    "WorldFile",
    "check",
    "described",
    "events_of",
    "generate",
    "load",
    "parse_toml",
    "world_of",
]
