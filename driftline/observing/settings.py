"""What a person says about being observed: where metrics are served, and where traces go. PURE."""

import ipaddress
import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from driftline.errors import UsageError

LOOPBACK = "127.0.0.1"
FILE = "file:"


class Address(msgspec.Struct, frozen=True):
    """Where metrics and health are served. ``port`` 0: any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TraceTarget(msgspec.Struct, frozen=True):
    """``place``: the URL of an OTLP receiver, or the path of a file; empty for the console."""

    kind: Literal["otlp", "console", "file"]
    place: str = ""


def parse_target(text: str) -> TraceTarget | None:
    """``console``, ``file:PATH`` or ``http://HOST:PORT``; None for nothing. Raises UsageError.

    A URL without a path is that of a collector, whose traces are received at ``/v1/traces`` (OTLP 1.x, HTTP).
    """
    if not text:
        return None
    if text == "console":
        return TraceTarget("console")
    if text.startswith(FILE) and len(text) > len(FILE):
        return TraceTarget("file", text.removeprefix(FILE))
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise UsageError(f"--traces {text!r}: neither console, nor file:PATH, nor like http://127.0.0.1:4318")
    return TraceTarget("otlp", text if parts.path.strip("/") else f"{text.rstrip('/')}/v1/traces")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """None where nothing was asked for."""

    metrics: Address | None = None
    traces: TraceTarget | None = None


_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


def parse_address(text: str) -> Address | None:
    """``HOST:PORT``, ``[IPv6]:PORT`` or ``:PORT`` (on the loopback); None for nothing. Raises UsageError."""
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"--metrics {text!r}: not like 127.0.0.1:9464")
    if host.startswith("[") and host.endswith("]"):
        try:
            return Address(str(ipaddress.IPv6Address(host[1:-1])), int(port))
        except ValueError as error:
            raise UsageError(f"--metrics {text!r}: {error}") from error
    if host and not _HOST.fullmatch(host):
        raise UsageError(f"--metrics {text!r}: {host!r} cannot be the name or address of a machine")
    return Address(host or LOOPBACK, int(port))
