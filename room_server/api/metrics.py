"""GET /metrics: what the processes of this host count, and what is late, in Prometheus' text format.

Nothing here names a person, a chat, a webinar or a token. What is counted often is counted where it happens, in plain
numbers; a scrape folds them together. Whoever is asked tells of all workers of its host (see snapshots), and of Redis
what every host tells alike.
"""

import asyncio
import hmac
import time
from collections import Counter
from ipaddress import ip_address
from itertools import pairwise
from typing import NamedTuple

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from room_server.api.hooks import Hooks
from room_server.channels.handshake import Admission
from room_server.channels.hub import Hub
from room_server.channels.listener import Listener
from room_server.config import PREFIX, Settings
from room_server.core.messages import INBOUND, Role
from room_server.errors import StateUnavailable, Unauthenticated
from room_server.shared_read import SharedRead
from room_server.state import queue_stats
from room_server.state.heartbeat import Heartbeat
from room_server.state.queue_stats import QueueStats
from room_server.state.store import Store
from room_server.telemetry.histogram import Histogram
from room_server.telemetry.multiprocess import Buckets, SingleProcess, Snapshot, Values, grown, labelled
from room_server.telemetry.prometheus import REACH_BOUNDS, P, Told
from room_server.transactions import Transactions

FRESH_SECONDS = 1.0
"""How old what Redis told may be: any number of scrapes costs it no more."""
WATCH_SECONDS = 0.5
"""Between two looks at how late the event loop is."""
MEASURE_SECONDS = 5.0
"""How old a process's own measures may be: with 20,000 sockets it takes 15 ms to count the open files."""
PROXIED = ("x-forwarded-for", "forwarded", "x-real-ip", "via")
"""Headers that only a proxy adds: its neighbour on this machine is not the caller."""


class MetricSources(NamedTuple):
    """What is counted, where it is counted."""

    hub: Hub
    admission: Admission
    listener: Listener
    heartbeat: Heartbeat
    hooks: Hooks
    transactions: Transactions


class Metrics:
    """The endpoint and what it needs. `watch` is for a task, for ever."""

    def __init__(self, settings: Settings, store: Store, parts: MetricSources, slot: SingleProcess) -> None:
        self._token = settings.metrics_token
        self._store = store
        self._parts = parts
        self._slot = slot
        self._lag = Histogram()
        self._process: dict[str, float] = {}
        self._measured = SharedRead(_measure, MEASURE_SECONDS)
        self._told = SharedRead(self._from_redis, FRESH_SECONDS)

    async def answer(self, request: Request) -> Response:
        """All metrics. Raises Unauthenticated."""
        check_scraper(request, self._token)
        shared = await self._told.get()
        self._process = await self._measured.get()
        whole = self._slot.summed(self.snapshot())
        whole.gauges.update(shared)
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(Told(whole)), headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    async def watch(self) -> None:
        """Measure how late the event loop is, and keep the numbers where this host's other workers find them."""
        while True:
            due = time.perf_counter() + WATCH_SECONDS
            await asyncio.sleep(WATCH_SECONDS)
            self._lag.observe(max(time.perf_counter() - due, 0.0))
            if self._slot.is_shared:
                self._process = await self._measured.get()
                self._slot.put(self.snapshot())

    def snapshot(self) -> Snapshot:
        """The numbers of this process now."""
        hub, admission, listener, heartbeat, hooks, transactions = self._parts
        roles = Counter({role.value: 0 for role in Role})
        for group in hub.groups.values():
            roles.update({str(role): count for role, count in group.roles.items()})
        process = {name: {self._slot.name: value} for name, value in self._process.items()}
        processor = process.pop("process_cpu_seconds", None)
        lines = {self._store.pipeline, self._store.replicated}
        made = Snapshot(
            counters={
                P + "hooks_total": _by_name(hooks),
                P + "handshakes_total": {"accepted": 0, **admission.answered},
                P + "frames_total": {"": hub.tally.frames},
                P + "gaps_healed_total": {"": hub.tally.healed},
                P + "subscriptions_lost_total": {"": listener.lost},
                P + "commit_conflicts_total": {"": transactions.conflicts},
                **({"process_cpu_seconds_total": processor} if processor else {}),
            },
            gauges={
                P + "web_processes": {"": 1},
                P + "subscribed": {"": int(listener.subscribed.is_set())},
                P + "sockets": dict(roles),
                **process,
            },
            worst={P + "heartbeat_age_seconds": {"": time.monotonic() - heartbeat.announced_at}},
            histograms={
                P + "hook_seconds": {name: _buckets(took) for name, took in hooks.took.items()},
                P + "broadcast_seconds": {"": _buckets(hub.tally.writing)},
                P + "reach_seconds": {"": _reached(hub)},
                P + "event_loop_lag_seconds": {"": _buckets(self._lag)},
            },
        )
        for line in lines:
            trips = Snapshot(histograms={P + "redis_round_trip_seconds": {"": _buckets(line.round_trips)}})
            made.histograms = grown(made, trips).histograms
        return made

    async def _from_redis(self) -> Values:
        try:
            return _told_by_redis(await queue_stats.read(self._store))
        except StateUnavailable:
            return {P + "redis_up": {"": 0}}


async def _measure() -> dict[str, float]:
    """Memory, processor and files of this process, beside the event loop; nothing where there is no /proc."""
    families = await asyncio.to_thread(lambda: list(ProcessCollector(registry=None).collect()))
    return {family.name: family.samples[0].value for family in families}


def check_scraper(request: Request, token: str | None) -> None:
    """With a token, whoever has it; without one, whoever is on this machine. Raises Unauthenticated."""
    if token:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            raise Unauthenticated(f"send {PREFIX}METRICS_TOKEN as `Authorization: Bearer <token>`")
    elif not _is_neighbour(request):
        raise Unauthenticated(f"from another machine, or through a proxy, metrics need {PREFIX}METRICS_TOKEN")


def _is_neighbour(request: Request) -> bool:
    if any(name in request.headers for name in PROXIED):
        return False
    if request.client is None or not request.client.host:  # a Unix socket
        return True
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _buckets(taken: Histogram) -> Buckets:
    return list(taken.counts), taken.seconds


def _reached(hub: Hub) -> Buckets:
    """Receipts are counted by bucket alone, so their sum is taken from the buckets' middles."""
    counts = hub.tally.answers(group.receipts for group in hub.groups.values())
    borders = (0.0, *REACH_BOUNDS, REACH_BOUNDS[-1])
    middles = [(low + high) / 2 for low, high in pairwise(borders)]
    return counts, sum(count * middle for count, middle in zip(counts, middles, strict=True))


def _by_name(hooks: Hooks) -> dict[str, float]:
    counted = {labelled(name, "ok"): 0.0 for name in INBOUND}
    return counted | {labelled(*key): count for key, count in hooks.answered.items()}


def _told_by_redis(read: QueueStats) -> Values:
    told: Values = {
        P + "redis_up": {"": 1},
        P + "partitions_away": {"": read.partitions_away},
        P + "processes": {**read.processes},
        P + "webinars": {**read.webinars},
        P + "messages": {**read.messages},
        P + "longest_live_seconds": {"": read.longest_live},
        P + "evaluations": {"": read.evaluations},
        P + "evaluation_lag_seconds": {"": read.evaluation_lag},
        P + "delivery_lag_seconds": {"": read.delivery_lag},
    }
    if read.durable is not None:
        told[P + "redis_durable"] = {"": int(read.durable)}
    return told
