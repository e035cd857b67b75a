"""The language of predicates: its grammar, and what a text in it means. PURE.

Nothing of a text is ever executed. An error names the place in the text, what stands there and what could.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn, get_args, get_type_hints

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from bus.events import EVENT_TYPES, tag_of
from driftline.errors import UsageError
from driftline.predicates import terms
from driftline.predicates.terms import NONE, STATE_TABLES, Predicate
from projections.edition import CURRENT
from projections.fold import Key, Table

#: From (table, what a person wrote) to the row's key: names of ports and instances are keys to people, too.
Resolve = Callable[[str, Key], Key]

_GRAMMAR = r"""
    start: _either
    _either: both | either
    either: _side ("or" _side)+
    _side: both
    both: _one ("and" _one)*
    _one: negation | moves | breaks | compare | truth | exists | changes | "(" _either ")"
    negation: "not" _one
    moves: kind VALUE direction VALUE
    !kind: "port" | "instance" | "host" | "request" | "operation" | "policy"
    !direction: "leaves" | "enters"
    breaks: "invariant" VALUE "breaks" | "any" "invariant" "breaks"
    compare: _term operator VALUE
    !operator: "==" | "!=" | "<=" | ">=" | "<" | ">" | "contains"
    truth: column
    exists: row "exists"
    changes: (row | column) "changes"
    _term: field | column
    field: "event" "." NAME
    column: row "." NAME
    row: (when ".")? NAME "[" VALUE ("," VALUE)* "]"
    !when: "before" | "after"
    NAME: /[a-z_][a-z0-9_]*/
    VALUE: /"[^"]*"|'[^']*'|[^\s\[\](),'"=<>!]+(=[^\s\[\](),'"=<>!]+)*/
    %import common.WS
    %ignore WS
"""

_ENVELOPE = {"type", "id", "cause", "correlation", "actor", "position", "time_us", "stored_us"}
_ON_EVENTS = {name for event_type in EVENT_TYPES for name in event_type.__struct_fields__}
_TAGS = {tag_of(event_type) for event_type in EVENT_TYPES}
_STATUSES = ("ACTIVE", "DOWN", "ERROR")
_PAIRS = {f"{underlay}_{overlay}" for underlay in _STATUSES for overlay in _STATUSES} | {NONE}


class PredicateError(UsageError):
    """The text is no predicate. Its text shows the place, and what was to be there."""


def parse(text: str, resolve: Resolve = lambda table, key: key) -> Predicate:
    """The predicate that ``text`` is. Raises PredicateError."""
    try:
        predicate: Predicate = _Reader(text, resolve).transform(_parser().parse(text))
    except UnexpectedInput as error:
        ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        at = len(text) if ended or error.pos_in_stream is None else error.pos_in_stream
        _complain(text, at, _expected(error))
    except VisitError as error:
        raise error.orig_exc from None
    return predicate


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr")


@cache
def _tables() -> dict[str, Table]:
    return {table.name: table for table in CURRENT.tables}


def _complain(text: str, at: int, what: str) -> NoReturn:
    rest = text[at : at + 20]
    raise PredicateError(f"predicate, at character {at + 1} ({rest or 'the end'}): {what} in: {text}")


_IN_WORDS = {
    "VALUE": "a value",
    "NAME": "a table or column",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[KEY]",
    "RSQB": "]",
    "DOT": ".COLUMN",
    "COMMA": ",",
    "$END": "the end",
}


def _expected(error: UnexpectedInput) -> str:
    names = getattr(error, "accepts", None) or getattr(error, "expected", None) or getattr(error, "allowed", None) or ()
    literal = {term.name: str(getattr(term.pattern, "value", term.name)) for term in _parser().terminals}
    shown = sorted({_IN_WORDS.get(name) or literal.get(name, name) for name in names})
    return f"expected {', '.join(shown)}" if shown else "this is no part of a predicate"


@v_args(inline=True)
class _Reader(Transformer[Token, Predicate]):
    """Turns the tree of a text into what it means, and checks every name in it."""

    def __init__(self, text: str, resolve: Resolve) -> None:
        super().__init__()
        self._text, self._resolve = text, resolve

    def start(self, part: Predicate) -> Predicate:
        return part

    def either(self, *parts: Predicate) -> Predicate:
        return terms.Either(parts)

    def both(self, *parts: Predicate) -> Predicate:
        return parts[0] if len(parts) == 1 else terms.Both(parts)

    def negation(self, part: Predicate) -> Predicate:
        return terms.Not(part)

    def kind(self, word: Token) -> Token:
        return word

    def direction(self, word: Token) -> Token:
        return word

    def operator(self, word: Token) -> Token:
        return word

    def when(self, word: Token) -> Token:
        return word

    def moves(self, kind: Token, name: Token, direction: Token, state: Token) -> Predicate:
        if kind == "port" and _plain(state) not in _PAIRS:
            self._wrong(state, f"a port's state is one of {', '.join(sorted(_PAIRS))}")
        key = self._resolve(STATE_TABLES[kind], (_plain(name),))
        return terms.Moves(str(kind), key, _plain(state), direction == "leaves")

    def breaks(self, number: Token | None = None) -> Predicate:
        if number is None:
            return terms.Breaks(0)
        from driftline.invariants.table import INVARIANTS  # noqa: PLC0415  # it brings all that judges them along

        known = {str(invariant.number) for invariant in INVARIANTS}
        if _plain(number) not in known:
            self._wrong(number, f"invariants have the numbers 1 to {len(known)}")
        return terms.Breaks(int(number))

    def compare(self, term: terms.Field | terms.Column, test: Token, value: Token) -> Predicate:
        wanted = _plain(value)
        if isinstance(term, terms.Column):
            kind = _column_type(_tables()[term.table], term.name)
            return terms.Compare(term, str(test), self._converted(value, str if test == "contains" else kind))
        if term.name == "type":
            wanted = self._tag(value) if test in ("==", "!=") else wanted
            return terms.Compare(term, str(test), wanted)
        kinds = _field_types(term.name)
        return terms.Compare(term, str(test), self._converted(value, kinds if test != "contains" else str))

    def truth(self, column: terms.Column) -> Predicate:
        if _column_type(_tables()[column.table], column.name) is not bool:
            _complain(self._text, len(self._text), f"{column.table}.{column.name} is not a yes or no: compare it")
        return terms.Compare(column, "==", True)

    def exists(self, row: terms.Column) -> Predicate:
        return terms.Exists(row)

    def changes(self, row: terms.Column) -> Predicate:
        return terms.Changes(row)

    def field(self, name: Token) -> terms.Field:
        if name not in _ENVELOPE | _ON_EVENTS:
            self._wrong(name, "no event has such a field")
        return terms.Field(str(name))

    def column(self, row: terms.Column, name: Token) -> terms.Column:
        columns = _tables()[row.table].row.__struct_fields__
        if name not in columns:
            self._wrong(name, f"{row.table} has the columns {', '.join(columns)}")
        return terms.Column(row.table, row.key, str(name), row.when)

    def row(self, *tokens: Token) -> terms.Column:
        when, name, *values = tokens if tokens[0].type in ("BEFORE", "AFTER") else ("after", *tokens)
        assert isinstance(name, Token)
        table = _tables().get(name)
        if table is None:
            self._wrong(name, f"the tables are {', '.join(sorted(_tables()))}")
        if len(values) != len(table.key):
            self._wrong(name, f"a row of it has the key [{', '.join(table.key)}]")
        pairs = zip(values, table.key, strict=True)
        key = tuple(self._converted(value, _column_type(table, column)) for value, column in pairs)  # type: ignore[arg-type]
        return terms.Column(table.name, self._resolve(table.name, key), when=str(when))  # type: ignore[arg-type]

    def _tag(self, value: Token) -> str:
        """A tag, written whole or without its version (``port.refused``)."""
        wanted = _plain(value)
        found = wanted if wanted in _TAGS else max((t for t in _TAGS if t.rpartition(".")[0] == wanted), default="")
        if not found:
            self._wrong(value, "there is no such type of event (see `driftline schema`)")
        return found

    def _converted(self, value: Token, kind: type) -> Any:
        text = _plain(value)
        if kind is bool:
            if text not in ("true", "false"):
                self._wrong(value, "expected true or false")
            return text == "true"
        if kind is int:
            try:
                return int(text)
            except ValueError:
                self._wrong(value, "expected a whole number")
        return text

    def _wrong(self, token: Token, what: str) -> NoReturn:
        _complain(self._text, token.start_pos or 0, what)


def _plain(token: Token) -> str:
    text = str(token)
    return text[1:-1] if text[:1] in ("'", '"') else text


def _column_type(table: Table, column: str) -> type:
    kind = get_type_hints(table.row)[column]
    return kind if kind in (bool, int) else str


def _field_types(name: str) -> type:
    """The type of an event's field, or of its envelope's; str where events differ."""
    if name in ("position", "time_us", "stored_us"):
        return int
    kinds = {_base(get_type_hints(one)[name]) for one in EVENT_TYPES if name in one.__struct_fields__}
    return kinds.pop() if len(kinds) == 1 else str


def _base(hint: Any) -> type:
    for kind in (bool, int):
        if hint is kind or kind in get_args(hint):
            return kind
    return str
