"""Policies from a TOML file. docs/howto/policy.md explains it, the structs below are its tables."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bus.events import HttpRule, PolicyCreateRequested, PolicyRule, Token
from bus.events.policy import Revision, Selector
from driftline.errors import UsageError


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field that is not known is an error, so that a misspelt one is noticed."""

    cidr: str = ""
    protocol: str = "any"
    ports: tuple[int, ...] = ()
    http: tuple[str, ...] = ()


class Ingress(_Entry, frozen=True, kw_only=True, rename={"peer": "from"}):
    """One of ``ingress``: who may send, by labels (``from``) or ``cidr``; ``http`` like ``"GET /x"``."""

    peer: Selector | None = None


class Egress(_Entry, frozen=True, kw_only=True, rename={"peer": "to"}):
    """One of ``egress``: to whom may be sent, by labels (``to``) or ``cidr``."""

    peer: Selector | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[policy]]``: for the pods of ``vpc`` that ``selects`` selects. A direction left out is not governed."""

    name: Token
    vpc: str
    selects: Selector
    ingress: tuple[Ingress, ...] | None = None
    egress: tuple[Egress, ...] | None = None
    revision: Revision = 0


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    policy: tuple[Policy, ...] = ()


def load(path: Path) -> list[PolicyCreateRequested]:
    """The requests that the file at ``path`` stands for; whether they make sense is decided by who answers them.

    Raises UsageError, naming the file and the field, or the line.
    """
    try:
        file = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), PolicyFile)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from error
    if not file.policy:
        raise UsageError(f"{path}: policy: the file describes none")
    return [_request(policy) for policy in file.policy]


def parse_http(text: str) -> HttpRule:
    """``GET /x`` as a rule: ``*`` for any method; no path for any path. Raises ValueError, naming what is wrong."""
    method, _, path = text.strip().partition(" ")
    if not method or (path and not path.startswith("/")):
        raise ValueError(f"http: {text!r} is not a method and a path, like 'GET /x'")
    return HttpRule("" if method == "*" else method, path)


def _request(policy: Policy) -> PolicyCreateRequested:
    return PolicyCreateRequested(
        policy=policy.name,
        vpc=policy.vpc,
        selects=policy.selects,
        ingress=_rules(policy.name, policy.ingress),
        egress=_rules(policy.name, policy.egress),
        revision=policy.revision,
    )


def _rules(name: str, entries: Sequence[Ingress | Egress] | None) -> tuple[PolicyRule, ...] | None:
    if entries is None:
        return None
    try:
        return tuple(
            PolicyRule(
                labels=entry.peer,
                cidr=entry.cidr,
                protocol=entry.protocol,
                ports=entry.ports,
                http=tuple(parse_http(text) for text in entry.http),
            )
            for entry in entries
        )
    except ValueError as error:
        raise UsageError(f"policy {name}: {error}") from error
