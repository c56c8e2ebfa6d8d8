"""The families of metrics, their merge rules, and samples as Prometheus reads them."""

import re
from importlib.metadata import version

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from room_server.telemetry.histogram import Histogram
from room_server.telemetry.prometheus import FAMILIES, Exposition, P, Samples, lasting, merge

UNITS = ("_seconds", "_bytes", "_total")


def shown(samples: Samples) -> dict[str, float]:
    """What is exposed, by name and labels as they are written."""
    text = generate_latest(Exposition(samples)).decode()
    return {
        f"{sample.name}{sample.labels or ''}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_family_is_merged_by_its_rule() -> None:
    total: Samples = {(P + "hooks_total", "a", "ok"): 1, (P + "sockets", "guest"): 2, (P + "heartbeat_age_seconds",): 3}
    merge(total, {(P + "hooks_total", "a", "ok"): 10, (P + "sockets", "guest"): 20, (P + "heartbeat_age_seconds",): 2})
    merge(total, {(P + "hooks_total", "b", "ok"): 5})

    assert total == {
        (P + "hooks_total", "a", "ok"): 11,
        (P + "hooks_total", "b", "ok"): 5,
        (P + "sockets", "guest"): 22,
        (P + "heartbeat_age_seconds",): 3,
    }


def test_what_only_grows_outlasts_its_process() -> None:
    counted: Samples = {
        (P + "frames_total",): 1,
        (P + "broadcast_seconds", "sum"): 2,
        (P + "broadcast_seconds", "1"): 3,
    }

    assert lasting({**counted, (P + "subscribed",): 1, (P + "heartbeat_age_seconds",): 1}) == counted


def test_a_counter_and_a_gauge_are_shown_with_their_labels() -> None:
    samples: Samples = {
        (P + "hooks_total", "a", "ok"): 3,
        (P + "sockets", "guest"): 2,
        (P + "heartbeat_age_seconds",): 1.5,
    }

    assert shown(samples) == {
        "room_server_hooks_total{'code': 'ok', 'hook': 'a'}": 3,
        "room_server_sockets{'role': 'guest'}": 2,
        "room_server_heartbeat_age_seconds": 1.5,
        f"room_server_info{{'version': '{version('room-server')}'}}": 1,
    }


def test_the_buckets_of_a_histogram_hold_all_below_them() -> None:
    taken = Histogram()
    for seconds in (0.0001, 0.0005, 0.001, 0.001, 0.0006, 20, 20, 20, 20):
        taken.observe(seconds)
    samples = shown(taken.series(P + "hook_seconds", "a"))

    assert samples["room_server_hook_seconds_bucket{'hook': 'a', 'le': '0.0005'}"] == 2
    assert samples["room_server_hook_seconds_bucket{'hook': 'a', 'le': '0.001'}"] == 5
    assert samples["room_server_hook_seconds_bucket{'hook': 'a', 'le': '10.0'}"] == 5
    assert samples["room_server_hook_seconds_bucket{'hook': 'a', 'le': '+Inf'}"] == 9
    assert samples["room_server_hook_seconds_count{'hook': 'a'}"] == 9
    assert samples["room_server_hook_seconds_sum{'hook': 'a'}"] == taken.seconds


def test_processes_with_other_bounds_are_merged_bucket_by_bucket() -> None:
    """As during an upgrade that changes them."""
    old, new = Histogram((1.0, 10.0)), Histogram((2.0, 10.0))
    for taken in (old, new):
        for seconds in (0.5, 5, 50):
            taken.observe(seconds)
    samples = old.series(P + "broadcast_seconds")
    merge(samples, new.series(P + "broadcast_seconds"))
    buckets = {name: value for name, value in shown(samples).items() if "bucket" in name}

    assert buckets == {
        "room_server_broadcast_seconds_bucket{'le': '1.0'}": 1,
        "room_server_broadcast_seconds_bucket{'le': '2.0'}": 2,
        "room_server_broadcast_seconds_bucket{'le': '10.0'}": 4,
        "room_server_broadcast_seconds_bucket{'le': '+Inf'}": 6,
    }


def test_a_family_without_samples_is_not_shown() -> None:
    assert shown({}).keys() == {f"room_server_info{{'version': '{version('room-server')}'}}"}


def test_a_name_ends_in_its_unit() -> None:
    """Times in seconds, sizes in bytes, counters end in total; what is left counts things that are there now."""
    things = {name for name in FAMILIES if not name.endswith(UNITS)}

    assert {name for name in FAMILIES if not re.fullmatch(r"(room_server|process)_[a-z_]+", name)} == set()
    assert things == {
        *("room_server_info", "room_server_web_processes", "room_server_subscribed", "room_server_sockets"),
        *("process_open_fds", "process_max_fds", "room_server_redis_up", "room_server_redis_durable"),
        *("room_server_processes", "room_server_webinars", "room_server_evaluations", "room_server_messages"),
        *("room_server_partitions_away", "room_server_site_events_lag", "room_server_site_events_parked"),
        *("room_server_site_events_off", "room_server_socket_writers", "room_server_watch_pending_leads"),
        "room_server_telegram_workers",
    }


def test_no_label_can_name_a_person_a_chat_or_a_webinar() -> None:
    assert {label for family in FAMILIES.values() for label in family.labels} == {
        *("answer", "code", "hook", "kind", "outcome", "receiver", "role", "status", "version", "worker"),
    }
