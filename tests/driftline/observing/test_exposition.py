"""What Prometheus is told: it can read it, it is what was counted, and the how-to names each metric."""

from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text_format

from driftline.observing.exposition import exposed, families
from driftline.observing.look import ProcessLook
from tests.driftline.observing.given import look

HOWTO = Path(__file__).parents[3] / "docs" / "howto" / "observe.md"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def samples(of: ProcessLook) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    found = {}
    for family in text_format(exposed(of).body.decode()):
        for one in family.samples:
            found[one.name, *(value for _, value in sorted(one.labels.items()))] = float(one.value)
    return found


def test_what_is_told_is_what_was_seen() -> None:
    told = samples(look())
    expected = {
        ("driftline_process", "up"): 1,
        ("driftline_log_last_position",): 100,
        ("driftline_worker_lag_events", "nova"): 10,
        ("driftline_worker_lag_events", "ipam"): 5,
        ("driftline_worker_effects_failed_total", "ipam"): 1,
        ("driftline_worker_step_seconds_bucket", "2.5e-05", "nova"): 1,
        ("driftline_worker_step_seconds_bucket", "+Inf", "nova"): 2,
        ("driftline_worker_step_seconds_count", "nova"): 2,
        ("driftline_projector_lag_events",): 30,
        ("driftline_projection_rows_written_total", "spawns"): 2,
        ("driftline_ports", "ACTIVE", "ACTIVE"): 3,
        ("driftline_spawns_in_flight",): 2,
        ("driftline_spawns_total", "refused"): 1,
        ("driftline_spawn_step_seconds_sum", "6"): 0.02,
        ("driftline_device_failures_total", "PlugVnic"): 1,
        ("driftline_device_unanswered", "PlugVnic"): 1,
        ("driftline_publisher_requests_total",): 4,
    }
    assert {key: told.get(key) for key in expected} == expected
    assert told["process_resident_memory_bytes",] > 0


def test_the_newer_format_can_be_had_and_read() -> None:
    answer = exposed(look(), OPEN_METRICS)
    assert answer.content_type.startswith("application/openmetrics-text")
    names = {family.name for family in open_metrics(answer.body.decode())}  # type: ignore[no-untyped-call]  # the client leaves it so
    assert {"driftline_worker_events_folded", "driftline_spawn_seconds"} <= names


def test_while_nats_is_away_no_lag_is_made_up() -> None:
    told = samples(look(log_last=None))
    assert told["driftline_log_reachable",] == 0
    assert not [key for key in told if "lag" in key[0] or "last_position" in key[0]]


def test_a_process_that_has_only_begun_tells_that_it_is_there() -> None:
    bare = ProcessLook(what="worker nova", host="h", pid=1, at_s=0.0, cpu_s=0.0, resident_bytes=0, log_last=None)
    assert {key for key in samples(bare) if key[0].startswith("driftline")} == {
        ("driftline_process", "worker nova"),
        ("driftline_log_reachable",),
    }


@pytest.mark.parametrize("name", sorted({family.name for family in families(look())}))
def test_the_how_to_names_each_metric(name: str) -> None:
    assert f"`{name}`" in HOWTO.read_text()
