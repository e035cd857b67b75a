"""Masking: what must not leave the house is replaced in a recording, the same by the same, so that all still fits.

The key is thrown away with the process. Addresses keep their structure: two that share a prefix share one afterwards
(as in Crypto-PAn: Xu et al., Prefix-Preserving IP Address Anonymization, 2002), so subnets still hold their addresses;
their last octet stays, so that gateways and broadcast addresses are what they were.
"""

import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from bus.decoding import Raw
from bus.envelope import decode
from bus.errors import MalformedEvent, UnknownEventType
from bus.subjects import ROLES, subject_of
from driftline.errors import NotDone, UsageError

#: What can be masked, and the fields that it means.
FIELDS: dict[str, frozenset[str]] = {
    "names": frozenset({"name", "port_name", "instance", "instances", "label", "labels"}),
    "tenants": frozenset({"tenant", "vpc", "vrf", "peer", "one", "other", "global_vpc"}),
    "addresses": frozenset(),  # told by their looks, wherever they are
    "texts": frozenset({"reason", "error"}),
}
#: What the event language itself says: never replaced.
_LANGUAGE = frozenset(
    {"type", "actor", "model", "kind", "status", "underlay_by", "overlay_by", "policy_by", "allocator", "plane"}
)
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
#: How a worker's id begins (``workers.machine``): who says it, on which position or why, and what. No names in there.
_ID = re.compile(rf"((?:{'|'.join(ROLES)}):(?:\d+|due|wake|start):(?:[a-z_]+\.[a-z_]+:)?)(.*)")
_ADDRESS = re.compile(
    r"\b(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})\b|\b(?P<ip>\d{1,3}(?:\.\d{1,3}){3})(?P<length>/\d{1,2})?\b"
)


def masked(raws: Sequence[Raw], kinds: Iterable[str]) -> list[Raw]:
    """``raws`` with what ``kinds`` (of FIELDS) mean replaced everywhere: in events, ids, causes and subjects.

    What is no event is emptied. Raises UsageError for an unknown kind, NotDone when something cannot be masked.
    """
    chosen = [*kinds]
    unknown = [kind for kind in chosen if kind not in FIELDS]
    if unknown:
        raise UsageError(f"--mask {unknown[0]}: choose from {', '.join(FIELDS)}")
    return _Mask(chosen).applied(raws)


class _Mask:
    def __init__(self, kinds: Sequence[str]) -> None:
        self._key = secrets.token_bytes(32)
        self._names = frozenset[str]().union(*(FIELDS[kind] for kind in kinds if kind != "texts"))
        self._texts = FIELDS["texts"] if "texts" in kinds else frozenset[str]()
        self._addresses = "addresses" in kinds
        self._known: dict[str, str] = {}
        self._ips: dict[str, str] = {}

    def applied(self, raws: Sequence[Raw]) -> list[Raw]:
        """All of them, masked."""
        documents = [_document(raw) for raw in raws]
        for document in documents:
            if document is not None:
                self._collect(document["event"])
        return [
            raw._replace(subject="masked", data=b"masked") if document is None else self._rewritten(raw, document)
            for raw, document in zip(raws, documents, strict=True)
        ]

    def _collect(self, value: Any, field: str = "") -> None:
        """Note every value of a field that is to be masked, at any depth."""
        match value:
            case str() if field in self._names:
                for token in _TOKEN.findall(_ADDRESS.sub(" ", value)):
                    self._known.setdefault(token, f"m{self._digest(token)[:10]}")
            case Mapping():
                for name, inner in value.items():
                    self._collect(inner, field if field in self._names else name)
            case list():
                for inner in value:
                    self._collect(inner, field)

    def _rewritten(self, raw: Raw, document: dict[str, Any]) -> Raw:
        data = msgspec.json.encode(self._replaced(document))
        try:
            return raw._replace(subject=subject_of(decode(data).event), data=data)
        except MalformedEvent as error:
            raise NotDone(f"the event at position {raw.position} cannot be masked: {error}") from error

    def _replaced(self, value: Any, field: str = "") -> Any:
        match value:
            case str() if field in self._texts:
                return "masked" if value else ""
            case str() if field not in _LANGUAGE:
                return self._text(value)
            case Mapping():
                return {name: self._replaced(inner, name) for name, inner in value.items()}
            case list():
                return [self._replaced(inner, field) for inner in value]
            case _:
                return value

    def _text(self, text: str) -> str:
        of_worker = _ID.fullmatch(text)
        if of_worker:
            return of_worker[1] + self._text(of_worker[2])
        parts, end = list[str](), 0
        for found in _ADDRESS.finditer(text):  # whatever is named 7, no part of an address is meant
            parts += [self._words(text[end : found.start()]), self._place(found)]
            end = found.end()
        return "".join((*parts, self._words(text[end:])))

    def _words(self, text: str) -> str:
        return _TOKEN.sub(lambda found: self._token(found[0]), text)

    def _place(self, found: re.Match[str]) -> str:
        if not self._addresses:
            return found[0]
        return self._mac(found["mac"]) if found["mac"] else self._address(found["ip"], found["length"] or "")

    def _token(self, token: str) -> str:
        """The token with every name in it replaced, the longest first: a port's id has its instance's in it."""
        parts, done = token.split("-"), list[str]()
        while parts:
            end = next((n for n in range(len(parts), 0, -1) if "-".join(parts[:n]) in self._known), 0)
            done.append(self._known["-".join(parts[:end])] if end else parts[0])
            parts = parts[end or 1 :]
        return "-".join(done)

    def _address(self, address: str, length: str) -> str:
        try:
            ip = self._ip(str(ipaddress.IPv4Address(address)))
            return str(ipaddress.IPv4Network(f"{ip}{length}", strict=False)) if length else ip
        except ValueError:  # only looks like one
            return address + length

    def _ip(self, address: str) -> str:
        """Each bit is turned over or not as the bits before it say. The last octet stays: no host becomes a network."""
        found = self._ips.get(address)
        if found is None:
            bits = f"{int(ipaddress.IPv4Address(address)):032b}"
            turned = "".join(str(int(bit) ^ (int(self._digest(bits[:i]), 16) & 1)) for i, bit in enumerate(bits[:24]))
            found = self._ips[address] = str(ipaddress.IPv4Address(int(turned + bits[24:], 2)))
        return found

    def _mac(self, mac: str) -> str:
        """IPAM makes MACs of addresses (``workers.claims``), and so they are here."""
        if mac.startswith("fa:16:"):
            ip = ipaddress.IPv4Address(bytes.fromhex(mac.removeprefix("fa:16:").replace(":", "")))
            return "fa:16:" + ipaddress.IPv4Address(self._ip(str(ip))).packed.hex(":")
        return "02:" + bytes.fromhex(self._digest(mac)[:10]).hex(":")

    def _digest(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()


def _document(raw: Raw) -> dict[str, Any] | None:
    """The message as plain data; None if it is no event that this version knows."""
    try:
        decode(raw.data)
    except (MalformedEvent, UnknownEventType):
        return None
    document: dict[str, Any] = msgspec.json.decode(raw.data)
    return document
