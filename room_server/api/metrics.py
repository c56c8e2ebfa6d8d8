"""GET /metrics: what the processes of this host count, and what is late, in Prometheus' text format.

No metric names a person, a chat, a webinar or a token. What happens often is counted in plain numbers where it happens;
a scrape collects them. Any web process answers for all of its host (telemetry.multiprocess). What Redis holds is
the same for every host.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from ipaddress import ip_address

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from room_server.config import PREFIX, Settings
from room_server.core.site_delivery import AnswerKind
from room_server.core.wire import bearer_token
from room_server.errors import StateUnavailable, Unauthenticated
from room_server.shared_read import SharedRead
from room_server.state import queue_stats
from room_server.state.site_standing import ReceiverStanding
from room_server.state.store import Store
from room_server.telemetry.histogram import Histogram
from room_server.telemetry.multiprocess import Slot
from room_server.telemetry.prometheus import FAMILIES, Exposition, P, Samples, merge

FRESH_SECONDS = 1.0
"""How old the numbers from Redis may be: any number of scrapes costs it no more."""
WATCH_SECONDS = 0.5
"""Between two measurements of the event loop's lag."""
MEASURE_SECONDS = 5.0
"""How old a process's own measures may be: with 20,000 sockets it takes 15 ms to count the open files."""
PROXIED = ("x-forwarded-for", "forwarded", "x-real-ip", "via")
"""Headers that only a proxy adds: the peer on this machine is then not the caller."""


class Metrics:
    """The endpoint. `collect` gives what the parts of this process count; `watch` runs in a task, for ever."""

    def __init__(self, settings: Settings, store: Store, collect: Callable[[], Samples], slot: Slot | None) -> None:
        self._token = settings.metrics_token
        self._store = store
        self._collect = collect
        self._slot = slot
        self._lag = Histogram()
        self._process = SharedRead(_measure, MEASURE_SECONDS)
        self._redis = SharedRead(self._from_redis, FRESH_SECONDS)

    async def answer(self, request: Request) -> Response:
        """All metrics. Raises Unauthenticated."""
        check_scraper(request, self._token)
        shared, own = await self._redis.get(), await self.own()
        samples = {**(self._slot.summed(own) if self._slot else own), **shared}
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(Exposition(samples)), headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    async def watch(self) -> None:
        """Measure the event loop's lag, and write the samples where this host's other workers find them."""
        while True:
            due = time.perf_counter() + WATCH_SECONDS
            await asyncio.sleep(WATCH_SECONDS)
            self._lag.observe(max(time.perf_counter() - due, 0.0))
            if self._slot:
                self._slot.put(await self.own())

    async def own(self) -> Samples:
        """The samples of this process now."""
        worker = self._slot.name if self._slot else "0"
        process = await self._process.get()
        samples: Samples = {
            (P + "web_processes",): 1.0,
            **{(name, worker): value for name, value in process.items()},
            **self._lag.series(P + "event_loop_lag_seconds"),
            **self._collect(),
        }
        for pipeline in {self._store.pipeline, self._store.replicated}:
            merge(samples, pipeline.round_trips.series(P + "redis_round_trip_seconds"))
        return samples

    async def _from_redis(self) -> Samples:
        try:
            read = await queue_stats.read(self._store)
        except StateUnavailable:
            return {(P + "redis_up",): 0}
        return {
            (P + "redis_up",): 1,
            (P + "partitions_away",): read.partitions_away,
            **{(P + "processes", kind): number for kind, number in read.processes.items()},
            **{(P + "telegram_workers", status): number for status, number in read.telegram.items()},
            **{(P + "webinars", status): number for status, number in read.webinars.items()},
            **{(P + "messages", status): number for status, number in read.messages.items()},
            (P + "longest_live_seconds",): read.longest_live,
            (P + "evaluations",): read.evaluations,
            (P + "evaluation_lag_seconds",): read.evaluation_lag,
            (P + "delivery_lag_seconds",): read.delivery_lag,
            **_site_events(read.receivers),
            **({} if read.durable is None else {(P + "redis_durable",): int(read.durable)}),
        }


def _site_events(receivers: list[ReceiverStanding]) -> Samples:
    """What is known of each receiver of the site's events."""
    samples: Samples = {}
    for one in receivers:
        counted: Samples = {
            (P + "site_events_lag", one.label): one.lag,
            (P + "site_events_oldest_seconds", one.label): one.oldest_s,
            (P + "site_events_parked", one.label): one.parked,
            (P + "site_events_off", one.label): int(one.state == "off"),
            (P + "site_events_sent_total", one.label): one.sent,
            (P + "site_events_lost_total", one.label): one.lost,
            (P + "site_events_erased_total", one.label): one.erased,
        }
        answers: Samples = {
            (P + "site_events_answers_total", one.label, kind.value): one.answers.get(kind, 0) for kind in AnswerKind
        }
        samples = {**samples, **counted, **answers}
    return samples


async def _measure() -> dict[str, float]:
    """Memory, processor and files of this process by metric, read in a thread; nothing where there is no /proc."""
    families = await asyncio.to_thread(lambda: list(ProcessCollector(registry=None).collect()))
    return {one.name: one.value for family in families for one in family.samples[:1] if one.name in FAMILIES}


def check_scraper(request: Request, token: str | None) -> None:
    """Where a token is set, the request must bring it; else it must come from this machine. Raises Unauthenticated."""
    if token:
        given = bearer_token(request.headers.get("authorization", ""))
        if given is None or not hmac.compare_digest(given.encode("latin-1"), token.encode()):
            raise Unauthenticated(f"send {PREFIX}METRICS_TOKEN as `Authorization: Bearer <token>`")
    elif not _is_local(request):
        raise Unauthenticated(f"from another machine, or through a proxy, metrics need {PREFIX}METRICS_TOKEN")


def _is_local(request: Request) -> bool:
    if any(name in request.headers for name in PROXIED):
        return False
    if request.client is None or not request.client.host:  # a Unix socket
        return True
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
