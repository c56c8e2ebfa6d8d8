"""Every metric family with its merge rule, and how samples become Prometheus' text format.

Samples travel as one flat map: (family, label values …) -> value. A histogram is a sample per bucket, with the bucket's
upper bound as one more label value, and one for the sum (see `Histogram.series`).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from importlib.metadata import version
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from room_server.telemetry.histogram import SUM

Samples = dict[tuple[str, ...], float]
P = "room_server_"


class Kind(Enum):
    """What a sample is, and so how those of several processes are merged."""

    COUNTER = auto()
    """Only grows: added up, and kept when its process ends."""
    HISTOGRAM = auto()
    """Bucket by bucket like a counter."""
    GAUGE = auto()
    """What is there now: added up over living processes."""
    MAXIMUM = auto()
    """A gauge of which the largest stands for all living processes."""


COUNTER, HISTOGRAM, GAUGE, MAXIMUM = Kind


class Family(NamedTuple):
    """A metric: its kind, its help text, and its labels."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    P + "info": Family(GAUGE, "1; the version that runs.", ("version",)),
    P + "web_processes": Family(GAUGE, "Web processes of this host that this answer sums up."),
    P + "subscribed": Family(GAUGE, "Those of them that hear of every change from Redis."),
    P + "heartbeat_age_seconds": Family(MAXIMUM, "Since Redis last took a process's word; the oldest of this host."),
    P + "sockets": Family(GAUGE, "Room sockets that are open.", ("role",)),
    P + "handshakes_total": Family(COUNTER, "Socket handshakes: accepted, or the refusal's code.", ("outcome",)),
    P + "sockets_refused_to_persons_total": Family(
        COUNTER, "Handshakes refused since the person held as many sockets as it may."
    ),
    P + "frames_total": Family(COUNTER, "Frames that broadcasts meant for sockets."),
    P + "socket_writers": Family(GAUGE, "Web processes of this host by how broadcasts are written.", ("kind",)),
    P + "broadcast_seconds": Family(
        HISTOGRAM, "From hearing of a change to the write to the last socket of this process."
    ),
    P + "reach_seconds": Family(HISTOGRAM, "From hearing of a change to a browser's receipt for it."),
    P + "subscriptions_lost_total": Family(COUNTER, "Subscriptions to Redis that broke off."),
    P + "gaps_healed_total": Family(
        COUNTER, "Rooms whose newer state a re-read found before, or instead of, its message."
    ),
    P + "watch_pending_leads": Family(GAUGE, "Leads whose watch time is not stored yet; it grows while Redis is away."),
    P + "watch_flush_seconds": Family(HISTOGRAM, "Storing the watch time of one process, every few seconds."),
    P + "hooks_total": Family(COUNTER, "Hooks answered: ok, or the refusal's code.", ("hook", "code")),
    P + "hook_seconds": Family(HISTOGRAM, "From a hook's head to its answer, durable.", ("hook",)),
    P + "commit_conflicts_total": Family(COUNTER, "Commits that found other records than they were decided on."),
    P + "redis_round_trip_seconds": Family(HISTOGRAM, "One pipeline to Redis and back."),
    P + "event_loop_lag_seconds": Family(HISTOGRAM, "How late the event loop comes back to who waits for a moment."),
    "process_cpu_seconds_total": Family(COUNTER, "Processor time.", ("worker",)),
    "process_resident_memory_bytes": Family(GAUGE, "Memory in use.", ("worker",)),
    "process_virtual_memory_bytes": Family(GAUGE, "Address space.", ("worker",)),
    "process_open_fds": Family(GAUGE, "File descriptors in use.", ("worker",)),
    "process_max_fds": Family(GAUGE, "File descriptors that may be in use.", ("worker",)),
    "process_start_time_seconds": Family(GAUGE, "Start of the process, Unix seconds.", ("worker",)),
    P + "redis_up": Family(GAUGE, "1 when Redis answered this scrape; the metrics below are told only then."),
    P + "partitions_away": Family(GAUGE, "Partitions that did not answer; the metrics below leave them out."),
    P + "redis_durable": Family(GAUGE, "1 when Redis keeps an append-only file and can write to it."),
    P + "processes": Family(GAUGE, "Living processes of all hosts.", ("kind",)),
    P + "webinars": Family(GAUGE, "The latest webinars by status.", ("status",)),
    P + "longest_live_seconds": Family(GAUGE, "Since the start of the webinar that has been live for longest."),
    P + "evaluations": Family(GAUGE, "Evaluations on the schedule."),
    P + "evaluation_lag_seconds": Family(GAUGE, "How long the first of them has been due."),
    P + "delivery_lag_seconds": Family(GAUGE, "How long the first message on its way has been due."),
    P + "messages": Family(GAUGE, "Telegram messages that stand in each status.", ("status",)),
    P + "telegram_workers": Family(GAUGE, "Living workers by what they know of Telegram.", ("status",)),
    P + "site_events_lag": Family(GAUGE, "Events that wait for a receiver.", ("receiver",)),
    P + "site_events_oldest_seconds": Family(GAUGE, "Age of the oldest event that waits.", ("receiver",)),
    P + "site_events_parked": Family(GAUGE, "Events that a receiver refused, parked for a person.", ("receiver",)),
    P + "site_events_off": Family(GAUGE, "1 when a receiver is switched off.", ("receiver",)),
    P + "site_events_sent_total": Family(COUNTER, "Events that a receiver took.", ("receiver",)),
    P + "site_events_lost_total": Family(
        COUNTER, "Events that the stream's bound cut off before a receiver could get them.", ("receiver",)
    ),
    P + "site_events_erased_total": Family(
        COUNTER, "Events that were erased before a receiver took them.", ("receiver",)
    ),
    P + "site_events_answers_total": Family(
        COUNTER, "Answers of a receiver: taken, refused, failed, gone.", ("receiver", "answer")
    ),
}
"""Every metric, as docs/monitoring/README.md lists them. From `redis_up` on they come from Redis and are the same on
every host: take max over hosts, not sum."""


def merge(total: Samples, more: Samples) -> None:
    """Merge `more` into `total`, each sample by its family's rule."""
    for key, value in more.items():
        largest = FAMILIES[key[0]].kind is MAXIMUM
        total[key] = max(total.get(key, value), value) if largest else total.get(key, 0) + value


def is_known(key: Sequence[str]) -> bool:
    """Whether the first part names a family, and the others are its label values and, of a histogram, a bound."""
    family = FAMILIES.get(key[0]) if key else None
    return family is not None and len(key) == 1 + len(family.labels) + (family.kind is HISTOGRAM)


def lasting(samples: Samples) -> Samples:
    """Those that still count when their process has ended."""
    return {key: value for key, value in samples.items() if FAMILIES[key[0]].kind in {COUNTER, HISTOGRAM}}


class Exposition:
    """A collector as prometheus-client's encoders take it: `samples`, and the version that runs."""

    def __init__(self, samples: Samples) -> None:
        self._by_family: defaultdict[str, Samples] = defaultdict(dict)
        for (name, *labels), value in sorted({**samples, (P + "info", version("room-server")): 1.0}.items()):
            self._by_family[name][tuple(labels)] = value

    def collect(self) -> Iterator[Metric]:
        """The families that have samples, in FAMILIES' order."""
        for name, (kind, text, labels) in FAMILIES.items():
            samples = self._by_family.get(name)
            if samples is None:
                continue
            if kind is HISTOGRAM:
                yield _histogram(HistogramMetricFamily(name, text, labels=labels), samples)
                continue
            metric = (CounterMetricFamily if kind is COUNTER else GaugeMetricFamily)(name, text, labels=labels)
            for values, value in samples.items():
                metric.add_metric(values, value)
            yield metric


def _histogram(metric: HistogramMetricFamily, samples: Samples) -> Metric:
    """Prometheus' buckets hold all below them too. Processes with other bounds are merged bucket by bucket."""
    grouped: defaultdict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for (*labels, bound), value in samples.items():
        grouped[tuple(labels)][bound] = value
    for values, counts in grouped.items():
        seconds = counts.pop(SUM, 0.0)
        bounds = sorted(counts, key=float)
        totals = accumulate(counts[bound] for bound in bounds)
        metric.add_metric(values, list(zip(bounds, totals, strict=True)), seconds)
    return metric
