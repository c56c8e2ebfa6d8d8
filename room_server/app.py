"""The composition root: the route table, and the lifespan that owns every task of a web process."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from room_server import config, process
from room_server.api import health, navigation, pages
from room_server.api.counts import Counts
from room_server.api.documents.endpoints import Documents
from room_server.api.frame_sources import FrameSources
from room_server.api.health import Health
from room_server.api.hooks import Hooks
from room_server.api.metrics import Metrics, MetricSources
from room_server.api.rooms import Rooms
from room_server.auth import Authenticator
from room_server.channels.drain import Drain, drain_on_sigterm, ended_at_once
from room_server.channels.handshake import Admission
from room_server.channels.hub import Hub
from room_server.channels.keepalive import TimerWheel
from room_server.channels.listener import Listener
from room_server.channels.reader import CountsFeed, Reader
from room_server.config import Settings
from room_server.errors import BadInput, Refusal, Unknown
from room_server.process import vital
from room_server.rate_limit import PerAddress
from room_server.state import server_checks
from room_server.state.heartbeat import Heartbeat, node_name
from room_server.state.startup import State, wait_for_state
from room_server.telemetry import logs, multiprocess, tracing
from room_server.telemetry.multiprocess import SingleProcess
from room_server.token_secret import with_token_secret

logger = logging.getLogger(__name__)

START_SECONDS = 10
"""How long a start waits for all partitions to be heard; then it serves those that are."""
ANY_METHOD: list[str] = []
"""Starlette lets every method through to the endpoint."""


class WebProcess(Struct, kw_only=True):
    """The objects of a web process. It is each request's `state.web`, and the room sockets' `app_state["web"]`."""

    hub: Hub
    timers: TimerWheel
    reader: Reader
    listener: Listener
    admission: Admission
    counts_feed: CountsFeed
    heartbeat: Heartbeat
    hooks: Hooks
    rooms: Rooms
    counts: Counts
    metrics: Metrics
    health: Health
    documents: Documents
    frame_sources: FrameSources


Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(choose: Callable[[WebProcess], Endpoint]) -> Endpoint:
    """The endpoint that `choose` takes from the process that serves the request: routes are older than processes."""

    async def answer(request: Request) -> Response:
        web: WebProcess = request.state.web
        return await choose(web)(request)

    return answer


class ReceiveHook:
    """The same as plain ASGI: what Starlette puts around a function costs as much as a decision."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One hook; a Refusal is answered by the exception handler."""
        web: WebProcess = scope["state"]["web"]
        response = await web.hooks.receive(Request(scope, receive))
        await response(scope, receive, send)


ROUTES: list[BaseRoute] = [
    Route("/hooks/{name}", ReceiveHook(), methods=["POST"]),
    Route("/rooms/{webinar_id}/state", endpoint(lambda web: web.rooms.state), methods=ANY_METHOD),
    Route("/rooms/{webinar_id}/me", endpoint(lambda web: web.rooms.standing), methods=["GET"]),
    Route("/webinars", endpoint(lambda web: web.rooms.schedule), methods=["GET"]),
    Route("/monitor/counts", endpoint(lambda web: web.counts.answer), methods=["GET"]),
    Route("/healthz", health.alive, methods=["GET"]),
    Route("/readyz", endpoint(lambda web: web.health.ready), methods=["GET"]),
    Route("/metrics", endpoint(lambda web: web.metrics.answer), methods=["GET"], middleware=pages.COMPRESSED),
    Route("/openapi.json", endpoint(lambda web: web.documents.openapi), methods=["GET"], middleware=pages.COMPRESSED),
    Route("/asyncapi.json", endpoint(lambda web: web.documents.asyncapi), methods=["GET"], middleware=pages.COMPRESSED),
]
"""`/rooms/<id>/socket` and `/monitor/socket` are not here: uvicorn hands them to channels.socket.RoomSocket."""


def from_environment() -> Starlette:
    """The application of a worker process, which has nothing but its environment. Raises ConfigurationError."""
    settings = config.load(os.environ)
    logs.configure(settings.log_format)
    tracing.configure(os.environ)
    app = create_app(with_token_secret(settings), multiprocess.folder_of(os.environ))
    process.freeze_garbage_collector()
    return app


def create_app(settings: Settings, shared: Path | None = None) -> Starlette:
    """The application, not yet running: its lifespan opens the state; `shared` is the folder of this host's workers."""
    origins = settings.origins()
    middleware = [
        Middleware(tracing.RequestId),
        Middleware(pages.SecurityHeaders, origins),
    ]
    if settings.max_requests_per_address:
        middleware.append(Middleware(PerAddress, settings.max_requests_per_address, navigation.response))
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
    app = Starlette(
        routes=[*ROUTES, *pages.routes()],
        middleware=middleware,
        exception_handlers={Refusal: _refusal, HTTPException: _http_exception, Exception: _failure},
        lifespan=lambda _: lifespan(settings, shared),
    )
    app.router.redirect_slashes = False  # an unknown address is unknown
    return app


@asynccontextmanager
async def lifespan(settings: Settings, shared: Path | None) -> AsyncIterator[Mapping[str, WebProcess]]:
    """Open the state, run every task of a web process, and close both.

    It begins to serve when Redis answers and the changes of every partition are heard. It waits for Redis without end,
    but for partitions of a Cluster that are away no longer than START_SECONDS.
    """
    async with AsyncExitStack() as stack:
        stack.callback(tracing.flush)
        starting = stack.enter_context(ExitStack())
        starting.enter_context(ended_at_once())
        state = await stack.enter_async_context(wait_for_state(settings))
        await server_checks.log_problems(state, settings.replicas)
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
    """What runs as long as the process serves, by its task's name; if one of them ends, so does the process."""
    return {
        "listen": web.listener.run(),
        "refresh": web.listener.refresh(),
        "read": web.reader.run(),
        "broadcast": web.hub.broadcast_loop(),
        "counts": web.counts_feed.push(),
        "timers": web.timers.run(),
        "heartbeat": web.heartbeat.beat(),
        "metrics": web.metrics.watch(),
    }


def assemble(settings: Settings, state: State, slot: SingleProcess) -> WebProcess:
    """The objects of a web process, each given what it needs."""
    store, authenticator = state.store, Authenticator(settings)
    hub, timers = Hub(store), TimerWheel()
    reader = Reader(store, hub)
    listener = Listener(state.client, store.keys, hub, reader)
    hooks = Hooks(store, authenticator, settings.max_hooks_per_person)
    admission = Admission(settings, hub, timers, authenticator.token)
    counts = Counts(store, authenticator, settings.max_reads_per_person)
    heartbeat = Heartbeat(store, node_name(), lambda: {"kind": "web", **hub.counts(), "hooks": hooks.by_code()})
    return WebProcess(
        hub=hub,
        timers=timers,
        reader=reader,
        listener=listener,
        admission=admission,
        counts_feed=CountsFeed(hub, counts.seen),
        heartbeat=heartbeat,
        hooks=hooks,
        rooms=Rooms(store, authenticator, settings.max_reads_per_person),
        counts=counts,
        metrics=Metrics(settings, store, MetricSources(hub, admission, listener, heartbeat, hooks), slot),
        health=Health(store, listener, admission),
        documents=Documents(settings.public_url),
        frame_sources=FrameSources(store),
    )


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - registered for this class alone
    return navigation.response(request, error)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    refusal = (
        BadInput("method_not_allowed", "this address does not take this method")
        if error.status_code == 405
        else Unknown("not_found", "there is nothing at this address")
    )
    refusal.headers = dict(error.headers or {})
    return navigation.response(request, refusal)


async def _failure(request: Request, _: Exception) -> Response:
    """Starlette answers this outside of every middleware."""
    answer = navigation.response(request, Refusal("internal_error", "something went wrong here; it is in the log"))
    answer.headers["X-Request-ID"] = tracing.request_id.get()
    return answer
