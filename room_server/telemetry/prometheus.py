"""The metrics by name, and how a snapshot of them is told to Prometheus."""

from collections.abc import Iterator
from importlib.metadata import version
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from room_server.core.receipt_stats import BOUNDS_MS
from room_server.telemetry.histogram import STEPS
from room_server.telemetry.multiprocess import BETWEEN, Buckets, Snapshot

REACH_BOUNDS = tuple(bound / 1000 for bound in BOUNDS_MS)
"""Seconds."""
P = "room_server_"


class Family(NamedTuple):
    """A metric's labels and what it tells."""

    labels: tuple[str, ...]
    told: str
    bounds: tuple[float, ...] = STEPS
    """Of a histogram's buckets, seconds."""


FAMILIES: dict[str, Family] = {
    P + "info": Family(("version",), "1; the version that runs."),
    P + "web_processes": Family((), "Web processes of this host that this answer sums up."),
    P + "subscribed": Family((), "Those of them that hear of every change from Redis."),
    P + "heartbeat_age_seconds": Family((), "Since Redis last took a process's word; the oldest of this host."),
    P + "sockets": Family(("role",), "Room sockets that are open."),
    P + "handshakes_total": Family(("outcome",), "Socket handshakes: accepted, or the refusal's code."),
    P + "frames_total": Family((), "Frames that broadcasts meant for sockets."),
    P + "broadcast_seconds": Family((), "From hearing of a change to the write to the last socket of this process."),
    P + "reach_seconds": Family((), "From hearing of a change to a browser's receipt for it.", REACH_BOUNDS),
    P + "subscriptions_lost_total": Family((), "Subscriptions to Redis that broke off."),
    P + "gaps_healed_total": Family((), "Rooms whose newer state a re-read found before, or instead of, its message."),
    P + "hooks_total": Family(("hook", "code"), "Hooks answered: ok, or the refusal's code."),
    P + "hook_seconds": Family(("hook",), "From a hook's head to its answer, durable."),
    P + "commit_conflicts_total": Family((), "Commits that found other records than they were decided on."),
    P + "redis_round_trip_seconds": Family((), "One pipeline to Redis and back."),
    P + "event_loop_lag_seconds": Family((), "How late the event loop comes back to who waits for a moment."),
    "process_cpu_seconds_total": Family(("worker",), "Processor time."),
    "process_resident_memory_bytes": Family(("worker",), "Memory in use."),
    "process_virtual_memory_bytes": Family(("worker",), "Address space."),
    "process_open_fds": Family(("worker",), "File descriptors in use."),
    "process_max_fds": Family(("worker",), "File descriptors that may be in use."),
    "process_start_time_seconds": Family(("worker",), "Start of the process, Unix seconds."),
    P + "redis_up": Family((), "1 when Redis answered this scrape; the metrics below are told only then."),
    P + "partitions_away": Family((), "Partitions that did not answer; the metrics below leave them out."),
    P + "redis_durable": Family((), "1 when Redis keeps an append-only file and can write to it."),
    P + "processes": Family(("kind",), "Living processes of all hosts."),
    P + "webinars": Family(("status",), "The latest webinars by status."),
    P + "longest_live_seconds": Family((), "Since the start of the webinar that has been live for longest."),
    P + "evaluations": Family((), "Evaluations on the schedule."),
    P + "evaluation_lag_seconds": Family((), "How long the first of them has been due."),
    P + "delivery_lag_seconds": Family((), "How long the first message on its way has been due."),
    P + "messages": Family(("status",), "Telegram messages that stand in each status."),
}
"""Every metric, as docs/monitoring/README.md tells. What Redis tells is the same on every host: take max, not sum."""


class Told:
    """A snapshot as prometheus-client encodes it."""

    def __init__(self, whole: Snapshot) -> None:
        self._whole = whole

    def collect(self) -> Iterator[Metric]:
        """The families, in FAMILIES' order."""
        whole = self._whole
        gauges = {**whole.gauges, **whole.worst, P + "info": {version("room-server"): 1.0}}
        for name, (labels, told, _) in FAMILIES.items():
            if name in whole.histograms:
                yield _histogram(name, whole.histograms[name])
            elif name in whole.counters:
                yield _filled(CounterMetricFamily(name, told, labels=labels), whole.counters[name])
            elif name in gauges:
                yield _filled(GaugeMetricFamily(name, told, labels=labels), gauges[name])


def _filled(family: CounterMetricFamily | GaugeMetricFamily, series: dict[str, float]) -> Metric:
    for labels, value in sorted(series.items()):
        family.add_metric(_words(labels), value)
    return family


def _histogram(name: str, series: dict[str, Buckets]) -> Metric:
    labels, told, bounds = FAMILIES[name]
    family = HistogramMetricFamily(name, told, labels=labels)
    limits = [*map(floatToGoString, bounds), "+Inf"]
    for words, (counts, seconds) in sorted(series.items()):
        family.add_metric(_words(words), list(zip(limits, accumulate(counts), strict=True)), seconds)
    return family


def _words(labels: str) -> list[str]:
    return labels.split(BETWEEN) if labels else []
