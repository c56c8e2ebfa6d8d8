"""A snapshot as Prometheus reads it."""

import re
from importlib.metadata import version

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from room_server.telemetry.histogram import STEPS
from room_server.telemetry.multiprocess import Snapshot
from room_server.telemetry.prometheus import FAMILIES, REACH_BOUNDS, Told

UNITS = ("_seconds", "_bytes", "_total")


def samples(whole: Snapshot) -> dict[str, float]:
    """What is told, by name and labels as they are written."""
    text = generate_latest(Told(whole)).decode()
    return {
        f"{sample.name}{sample.labels or ''}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_counter_and_a_gauge_are_told_with_their_labels() -> None:
    whole = Snapshot(
        counters={"room_server_hooks_total": {"a|ok": 3}},
        gauges={"room_server_sockets": {"guest": 2}},
        worst={"room_server_heartbeat_age_seconds": {"": 1.5}},
    )

    assert samples(whole) == {
        "room_server_hooks_total{'code': 'ok', 'hook': 'a'}": 3,
        "room_server_sockets{'role': 'guest'}": 2,
        "room_server_heartbeat_age_seconds": 1.5,
        f"room_server_info{{'version': '{version('room-server')}'}}": 1,
    }


def test_the_buckets_of_a_histogram_hold_all_below_them() -> None:
    counts = [2, 3, *[0] * (len(STEPS) - 2), 4]
    told = samples(Snapshot(histograms={"room_server_hook_seconds": {"a": (counts, 8.5)}}))

    assert told["room_server_hook_seconds_bucket{'hook': 'a', 'le': '0.0005'}"] == 2
    assert told["room_server_hook_seconds_bucket{'hook': 'a', 'le': '0.001'}"] == 5
    assert told["room_server_hook_seconds_bucket{'hook': 'a', 'le': '10.0'}"] == 5
    assert told["room_server_hook_seconds_bucket{'hook': 'a', 'le': '+Inf'}"] == 9
    assert told["room_server_hook_seconds_count{'hook': 'a'}"] == 9
    assert told["room_server_hook_seconds_sum{'hook': 'a'}"] == 8.5


def test_what_nobody_knows_is_not_told() -> None:
    assert samples(Snapshot()).keys() == {f"room_server_info{{'version': '{version('room-server')}'}}"}


def test_a_name_says_what_it_is_measured_in() -> None:
    """Times in seconds, sizes in bytes, counters end in total; what is left counts things that are there now."""
    things = {name for name in FAMILIES if not name.endswith(UNITS)}

    assert {name for name in FAMILIES if not re.fullmatch(r"(room_server|process)_[a-z_]+", name)} == set()
    assert things == {
        *("room_server_info", "room_server_web_processes", "room_server_subscribed", "room_server_sockets"),
        *("process_open_fds", "process_max_fds", "room_server_redis_up", "room_server_redis_durable"),
        *("room_server_processes", "room_server_webinars", "room_server_evaluations", "room_server_messages"),
        "room_server_partitions_away",
    }


def test_no_label_can_name_a_person_a_chat_or_a_webinar() -> None:
    assert {label for family in FAMILIES.values() for label in family.labels} == {
        *("code", "hook", "kind", "outcome", "role", "status", "version", "worker"),
    }


def test_a_receipt_is_counted_by_the_buckets_of_the_core() -> None:
    assert FAMILIES["room_server_reach_seconds"].bounds == REACH_BOUNDS
    assert (REACH_BOUNDS[0], REACH_BOUNDS[-1]) == (0.001, 82.0)
