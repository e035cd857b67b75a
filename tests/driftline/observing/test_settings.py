"""What a person says about being observed."""

import pytest

from driftline.errors import UsageError
from driftline.observing.settings import Address, TraceTarget, parse_address, parse_target


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),
        ("127.0.0.1:9464", Address("127.0.0.1", 9464)),
        (":0", Address("127.0.0.1", 0)),
        ("localhost:1", Address("localhost", 1)),
        ("[::1]:9464", Address("::1", 9464)),
    ],
)
def test_where_metrics_are_served(text: str, address: Address | None) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["9464", "localhost", "h:", "h:x", "h:65536", "h:-1", "a b:1", "[zz]:1", "::1:9", "-h:1"]
)
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"--metrics"):
        parse_address(text)


def test_an_address_reads_as_it_is_written() -> None:
    for text in ("127.0.0.1:9464", "[::1]:80"):
        assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("", None),
        ("console", TraceTarget("console")),
        ("file:a b.jsonl", TraceTarget("file", "a b.jsonl")),
        ("http://127.0.0.1:4318", TraceTarget("otlp", "http://127.0.0.1:4318/v1/traces")),
        ("http://127.0.0.1:4318/", TraceTarget("otlp", "http://127.0.0.1:4318/v1/traces")),
        ("https://collector/otlp/v1/traces", TraceTarget("otlp", "https://collector/otlp/v1/traces")),
    ],
)
def test_where_traces_go(text: str, target: TraceTarget | None) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize("text", ["on", "file:", "http://", "http://h:x", "ftp://h", "127.0.0.1:4318"])
def test_what_is_no_place_for_traces_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"--traces '"):
        parse_target(text)
