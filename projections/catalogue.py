"""The SQL of the generations: which there are, how far each has got, which one is live. PURE: texts only.

Each generation is a schema of its own, ``driftline_g1`` and so on. The schema ``driftline`` holds what tells them
apart, and for each table of the live one a view with its name, so that people and programs in SQL need not know of any
of this.
"""

import zlib

SCHEMA = "driftline"

#: One row for each generation. ``writer``: who wrote last, so that each knows its own commits. No two are in one state.
_CREATE_GENERATIONS = f"""
CREATE TABLE {SCHEMA}.generations (
    number integer PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('building', 'ready', 'live', 'previous')),
    version text NOT NULL,
    versions json NOT NULL,
    position bigint NOT NULL,
    log_identity text NOT NULL,
    writer text NOT NULL,
    UNIQUE (state) DEFERRABLE INITIALLY DEFERRED
)"""
#: Where the numbers of generations come from: none is given twice, so a name means one generation for ever.
NUMBERS = f"{SCHEMA}.generation_numbers"
CREATE_META = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    _CREATE_GENERATIONS,
    f"CREATE SEQUENCE {NUMBERS} AS integer",
)

# Serialises those who create, adopt, change places or drop at the same time. The number means nothing.
LOCK_META = "SELECT pg_advisory_xact_lock(7011)"
HAS_META = f"SELECT to_regclass('{SCHEMA}.generations') IS NOT NULL"
# Before there were generations, the tables were in the schema itself.
HAS_OLD = f"SELECT to_regclass('{SCHEMA}.schema_version') IS NOT NULL"
READ_OLD = f"SELECT position, log_identity, version FROM {SCHEMA}.checkpoint, {SCHEMA}.schema_version"

NEXT_NUMBER = f"SELECT nextval('{NUMBERS}')::integer"
ADD = f"""
INSERT INTO {SCHEMA}.generations (number, state, version, versions, position, log_identity, writer)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_COLUMNS = "number, state, version, versions, position, log_identity, writer"
READ_ALL = f"SELECT {_COLUMNS} FROM {SCHEMA}.generations ORDER BY number"
READ_ONE = f"SELECT {_COLUMNS} FROM {SCHEMA}.generations WHERE number = $1"
READ_STATE = f"SELECT {_COLUMNS} FROM {SCHEMA}.generations WHERE state = $1"
# Both only out of the states that the caller has seen: meanwhile another may have made it live.
REMOVE = f"DELETE FROM {SCHEMA}.generations WHERE number = $1 AND state = ANY($2) RETURNING number"
SET_STATE = f"UPDATE {SCHEMA}.generations SET state = $3 WHERE number = $1 AND state = $2 RETURNING number"

# A reader keeps what it reads from being dropped: it holds this lock shared, who drops needs it alone.
KEEP = "SELECT pg_advisory_xact_lock_shared(7012, $1)"
TAKE_ALONE = "SELECT pg_advisory_xact_lock(7012, $1)"
# One builder at a time, for as long as its connection lasts.
TRY_BUILD = "SELECT pg_try_advisory_lock(7013, 0)"
END_BUILD = "SELECT pg_advisory_unlock(7013, 0)"
# The gate of a version: its writer passes it with each transaction, a swap closes it. Its own statement, so that the
# next one sees what was committed while this one waited.
PASS_GATE = "SELECT pg_advisory_xact_lock_shared(7014, $1)"
CLOSE_GATE = "SELECT pg_advisory_xact_lock(7014, $1)"

# Moves all generations of this version that stand where this writer left them. Comes first in its transaction: whoever
# is second waits on the row's lock and then finds it moved, before writing anything.
MOVE = f"""
UPDATE {SCHEMA}.generations SET position = $3, writer = $4
WHERE version = $1 AND position = $2 AND log_identity = $5 AND state IN ('live', 'ready', 'previous')
RETURNING number, state"""
# The same for a generation that is being built, by its builder alone.
MOVE_SHADOW = f"""
UPDATE {SCHEMA}.generations SET position = $3
WHERE number = $1 AND position = $2 AND writer = $4 AND state = 'building' RETURNING number"""

#: All tables and views of a schema.
RELATIONS = """
SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'v') ORDER BY c.relname"""
VIEWS = f"SELECT viewname AS name FROM pg_views WHERE schemaname = '{SCHEMA}' ORDER BY viewname"
SCHEMAS = rf"SELECT nspname AS name FROM pg_namespace WHERE nspname ~ '^{SCHEMA}_g[0-9]+$'"


def schema_of(number: int) -> str:
    """The schema of a generation, which is also its name."""
    return f"{SCHEMA}_g{number}"


def number_of(schema: str) -> int:
    """The number of a generation by its name."""
    return int(schema.removeprefix(f"{SCHEMA}_g"))


def gate_of(version: str) -> int:
    """The number of a version's gate: 31 bits."""
    return zlib.crc32(version.encode()) >> 1
