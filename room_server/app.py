"""The composition root of a web process: its route table, its objects, and the lifespan that owns its tasks."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from room_server import config, process
from room_server.api import health, pages, responses
from room_server.api.documents import asyncapi, openapi
from room_server.api.documents.document import Document
from room_server.api.health import Health
from room_server.api.hook_route import HookRoute
from room_server.api.hooks import Hooks
from room_server.api.metrics import Metrics
from room_server.api.readings import Readings, readings
from room_server.api.rooms import Calls
from room_server.api.telegram_updates import TelegramUpdates
from room_server.auth import Authenticator
from room_server.channels.drain import Drain, drain_on_sigterm, ended_at_once
from room_server.channels.handshake import Admission
from room_server.channels.hub import Hub
from room_server.channels.keepalive import TimerWheel
from room_server.channels.listener import Listener
from room_server.channels.reader import CountsFeed, Reader
from room_server.channels.socket_metrics import socket_metrics
from room_server.channels.watch_recorder import WatchRecorder
from room_server.channels.writer import Writer
from room_server.config import Settings
from room_server.process import vital
from room_server.rate_limit import PerAddress
from room_server.state.heartbeat import Heartbeat, node_name
from room_server.state.startup import State, log_server_problems, wait_for_state
from room_server.state.store import Store
from room_server.telegram.deep_links import OfferedLinks
from room_server.telegram.updates import Updates
from room_server.telemetry import logs, multiprocess, prometheus, tracing
from room_server.telemetry.multiprocess import Slot
from room_server.telemetry.prometheus import P
from room_server.token_secret import with_token_secret
from room_server.transactions import Transactions

logger = logging.getLogger(__name__)

START_SECONDS = 10
"""How long a start waits for the subscriptions of all partitions; then it serves those that have theirs."""


class WebProcess(Struct, kw_only=True):
    """The objects of a web process: `request.state.web` to an endpoint, `app_state["web"]` to a room socket."""

    hub: Hub
    timers: TimerWheel
    reader: Reader
    listener: Listener
    admission: Admission
    counts_feed: CountsFeed
    watch: WatchRecorder
    heartbeat: Heartbeat
    hooks: Hooks
    read: Readings
    telegram_updates: TelegramUpdates
    metrics: Metrics
    health: Health
    openapi: Document
    asyncapi: Document


class Endpoint:
    """ASGI: one endpoint of the process that serves the request, which `choose` takes from its objects.

    Routes are made before these objects are. Starlette would also take a function, and wrap it in what costs as much as
    deciding a hook. The exception handlers answer what is raised.
    """

    def __init__(self, choose: Callable[[WebProcess], Callable[[Request], Awaitable[Response]]]) -> None:
        self._choose = choose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._choose(scope["state"]["web"])(Request(scope, receive))
        await response(scope, receive, send)


ROUTES: list[BaseRoute] = [
    Route("/hooks/telegram_update", Endpoint(lambda web: web.telegram_updates.receive), methods=["POST"]),
    Route("/hooks/{name}", Endpoint(lambda web: web.hooks.receive), methods=["POST"]),
    Route(
        "/rooms/{webinar_id}/state", Endpoint(lambda web: web.read.rooms.state), methods=[]
    ),  # all: it answers 405 itself
    Route("/rooms/{webinar_id}/me", Endpoint(lambda web: web.read.rooms.standing), methods=["GET"]),
    Route("/links", Endpoint(lambda web: web.read.links.answer), methods=["GET"]),
    Route("/webinars", Endpoint(lambda web: web.read.rooms.schedule), methods=["GET"]),
    Route("/webinars/{webinar_id}/attendance", Endpoint(lambda web: web.read.attendance.answer), methods=["GET"]),
    Route("/webinars/{webinar_id}/report", Endpoint(lambda web: web.read.reports.answer), methods=["GET"]),
    Route("/monitor/counts", Endpoint(lambda web: web.read.counts.answer), methods=["GET"]),
    Route("/healthz", health.alive, methods=["GET"]),
    Route("/readyz", Endpoint(lambda web: web.health.ready), methods=["GET"]),
    Route("/metrics", Endpoint(lambda web: web.metrics.answer), methods=["GET"], middleware=pages.COMPRESSED),
    Route("/openapi.json", Endpoint(lambda web: web.openapi.answer), methods=["GET"], middleware=pages.COMPRESSED),
    Route("/asyncapi.json", Endpoint(lambda web: web.asyncapi.answer), methods=["GET"], middleware=pages.COMPRESSED),
]
"""Without `/rooms/<id>/socket` and `/monitor/socket`, which protocols.upgrade hands to channels.socket.RoomSocket."""


def from_environment() -> Starlette:
    """The application of one of several web workers, by settings in the environment. Raises ConfigurationError."""
    settings = config.load(os.environ)
    logs.configure(settings.log_format)
    tracing.configure(os.environ)
    app = create_app(with_token_secret(settings), multiprocess.folder_of(os.environ))
    process.freeze_garbage_collector()
    return app


def create_app(settings: Settings, shared: Path | None = None) -> Starlette:
    """The application; its lifespan opens the state. In the folder `shared` this host's workers share metrics."""
    origins = settings.origins()
    middleware = [Middleware(tracing.RequestId), Middleware(pages.SecurityHeaders, origins)]
    if settings.max_requests_per_address:
        middleware.append(Middleware(PerAddress, settings.max_requests_per_address, responses.refused))
    if origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=sorted(origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "If-None-Match"],
                expose_headers=["ETag", "Retry-After", "X-Request-ID"],
            )
        )
    middleware.append(Middleware(HookRoute))
    app = Starlette(
        routes=[*ROUTES, *pages.routes()],
        middleware=middleware,
        exception_handlers=responses.HANDLERS,
        lifespan=lambda _: lifespan(settings, shared),
    )
    app.router.redirect_slashes = False  # an unknown address is 404
    return app


@asynccontextmanager
async def lifespan(settings: Settings, shared: Path | None) -> AsyncIterator[Mapping[str, WebProcess]]:
    """Open the state, run every task of a web process, and close both.

    The process serves as soon as Redis answers and every partition is subscribed to. It waits for Redis without limit,
    but no longer than START_SECONDS for partitions of a Cluster that are away.
    """
    async with AsyncExitStack() as stack:
        stack.callback(tracing.flush)
        starting = stack.enter_context(ExitStack())
        starting.enter_context(ended_at_once())
        state = await stack.enter_async_context(wait_for_state(settings))
        await log_server_problems(state, settings.replicas)
        slot = stack.enter_context(multiprocess.open_slot(shared))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        web = assemble(settings, state, slot)
        running = [tasks.create_task(vital(work), name=name) for name, work in works(web).items()]
        await web.listener.begun(START_SECONDS)
        starting.close()
        try:
            with drain_on_sigterm(tasks.create_task, Drain(web.hub, web.admission, settings.drain_seconds)):
                yield {"web": web}
        finally:
            for task in running:
                task.cancel()


def works(web: WebProcess) -> dict[str, Coroutine[Any, Any, None]]:
    """The work that runs as long as the process serves, by task name; the process ends if one of them does."""
    return {
        "listen": web.listener.run(),
        "refresh": web.listener.refresh(),
        "read": web.reader.run(),
        "broadcast": web.hub.broadcast_loop(),
        "counts": web.counts_feed.push(),
        "watch": web.watch.run(),
        "timers": web.timers.run(),
        "heartbeat": web.heartbeat.beat(),
        "metrics": web.metrics.watch(),
        "memory": process.trim_memory(lambda: web.admission.total, process.give_back_memory),
    }


def collected(web: WebProcess, conflicts: int) -> prometheus.Samples:
    """What this process counts; `conflicts` are its commits that failed because the records had changed."""
    return {
        **web.hooks.metrics(),
        **web.telegram_updates.metrics(),
        **socket_metrics(web.hub, web.admission, web.listener),
        **web.watch.metrics(),
        (P + "heartbeat_age_seconds",): time.monotonic() - web.heartbeat.announced_at,
        (P + "commit_conflicts_total",): conflicts,
    }


def connect_telegram(settings: Settings, store: Store) -> tuple[OfferedLinks, TelegramUpdates]:
    """The links to the bot that pages offer, and the endpoint that hears who has pressed one."""
    offered = OfferedLinks(settings, store)
    return offered, TelegramUpdates(offered.webhook_secrets, Updates(store, offered.links).take_raw)


def assemble(settings: Settings, state: State, slot: Slot | None) -> WebProcess:
    """Make the objects of a web process. `slot` is its place among the workers of this host, if there are several."""
    store, authenticator = state.store, Authenticator(settings)
    transactions = Transactions(store, settings.evaluation_grace)
    hub, timers = Hub(store, Writer(settings.socket_writer)), TimerWheel()
    watch = WatchRecorder(store, hub)
    reader = Reader(store, hub, transactions.renew)
    listener = Listener(state.client, store.keys, hub, reader)
    hooks = Hooks(transactions, authenticator, settings.max_hooks_per_person)
    offered, telegram_updates = connect_telegram(settings, store)
    admission = Admission(settings, hub, timers, authenticator.token)
    read = readings(settings, store, authenticator, Calls(offered.url, watch.polled))
    heartbeat = Heartbeat(store, node_name(), lambda: {"kind": "web", **hub.counts(), "hooks": hooks.by_code()})

    web = WebProcess(
        hub=hub,
        timers=timers,
        reader=reader,
        listener=listener,
        admission=admission,
        counts_feed=CountsFeed(hub, read.counts.visible),
        watch=watch,
        heartbeat=heartbeat,
        hooks=hooks,
        telegram_updates=telegram_updates,
        metrics=Metrics(settings, store, lambda: collected(web, transactions.conflicts), slot),
        health=Health(store, listener.away, lambda: admission.draining),
        openapi=Document(openapi.document, settings.public_url),
        asyncapi=Document(asyncapi.document, settings.public_url),
        read=read,
    )
    return web
