"""The composition root: the route table, and the lifespan that owns every task of a web process."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from room_server import config, logs, memory, monitor, navigation, pages, snapshots, tracing
from room_server.auth import Authenticator
from room_server.channels.goodbye import Goodbye, before_the_end, ended_at_once
from room_server.channels.handshake import Door
from room_server.channels.hub import Hub
from room_server.channels.listener import Listener
from room_server.channels.presence import Heartbeat, node_name
from room_server.channels.reader import Reader
from room_server.channels.watch import Watch
from room_server.channels.wheel import Wheel
from room_server.config import Settings
from room_server.counts import Counts
from room_server.errors import BadInput, Refusal, Unknown
from room_server.framing import Framing
from room_server.hooks import Hooks
from room_server.interfaces.documents import Documents
from room_server.limits import PerAddress
from room_server.metrics import Metrics, Parts
from room_server.monitor import Monitor
from room_server.process import vital
from room_server.rooms import Rooms
from room_server.secrets_file import with_token_secret
from room_server.snapshots import Alone
from room_server.state import checkup
from room_server.state.opening import State, wait_for_state

logger = logging.getLogger(__name__)

START_SECONDS = 10
"""How long a start waits for all partitions to be heard; then it serves those that are."""
ANY_METHOD: list[str] = []
"""Starlette lets every method through to the endpoint."""


class ReceiveHook:
    """ASGI itself: what Starlette puts around a function costs as much as deciding."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One hook; a Refusal is answered further out."""
        hooks: Hooks = scope["state"]["hooks"]
        response = await hooks.receive(Request(scope, receive))
        await response(scope, receive, send)


async def read_room(request: Request) -> Response:
    rooms: Rooms = request.state.rooms
    return await rooms.state(request)


async def read_standing(request: Request) -> Response:
    rooms: Rooms = request.state.rooms
    return await rooms.standing(request)


async def read_schedule(request: Request) -> Response:
    rooms: Rooms = request.state.rooms
    return await rooms.schedule(request)


async def read_counts(request: Request) -> Response:
    counts: Counts = request.state.counts
    return await counts.answer(request)


async def read_ready(request: Request) -> Response:
    health: Monitor = request.state.monitor
    return await health.ready(request)


async def read_metrics(request: Request) -> Response:
    metrics: Metrics = request.state.metrics
    return await metrics.answer(request)


async def read_openapi(request: Request) -> Response:
    documents: Documents = request.state.documents
    return await documents.openapi(request)


async def read_asyncapi(request: Request) -> Response:
    documents: Documents = request.state.documents
    return await documents.asyncapi(request)


ROUTES: list[BaseRoute] = [
    Route("/hooks/{name}", ReceiveHook(), methods=["POST"]),
    Route("/rooms/{webinar_id}/state", read_room, methods=ANY_METHOD),
    Route("/rooms/{webinar_id}/me", read_standing, methods=["GET"]),
    Route("/webinars", read_schedule, methods=["GET"]),
    Route("/monitor/counts", read_counts, methods=["GET"]),
    Route("/healthz", monitor.alive, methods=["GET"]),
    Route("/readyz", read_ready, methods=["GET"]),
    Route("/metrics", read_metrics, methods=["GET"], middleware=pages.COMPRESSED),
    Route("/openapi.json", read_openapi, methods=["GET"], middleware=pages.COMPRESSED),
    Route("/asyncapi.json", read_asyncapi, methods=["GET"], middleware=pages.COMPRESSED),
]
"""`/rooms/<id>/socket` is not ASGI's: uvicorn hands it to channels.socket.RoomSocket."""


def from_environment() -> Starlette:
    """The application of a worker process, which has nothing but its environment. Raises ConfigurationError."""
    settings = config.load(os.environ)
    logs.configure(settings.log_format)
    tracing.configure(os.environ)
    app = create_app(with_token_secret(settings), snapshots.folder_of(os.environ))
    memory.settle()
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
async def lifespan(settings: Settings, shared: Path | None) -> AsyncIterator[Mapping[str, Any]]:
    """Everything a web process holds; what it yields is each request's `state` and the socket's `app_state`.

    It starts when Redis is there and every change is heard of, however long that takes; on a Cluster it does not wait
    longer than START_SECONDS for partitions that are away.
    """
    async with AsyncExitStack() as stack:
        stack.callback(tracing.flush)
        starting = stack.enter_context(ExitStack())
        starting.enter_context(ended_at_once())
        state = await stack.enter_async_context(wait_for_state(settings))
        await checkup.tell(state, settings.replicas)
        slot = stack.enter_context(snapshots.open_slot(shared))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        made = assemble(settings, state, slot)
        hub, listener = made["hub"], made["listener"]
        running = [
            tasks.create_task(vital(work), name=work.__qualname__)
            for work in (
                listener.run(),
                listener.refresh(),
                made["reader"].run(),
                hub.teller(),
                made["watch"].push(),
                made["wheel"].turn(),
                made["heartbeat"].beat(),
                made["metrics"].watch(),
            )
        ]
        await listener.begun(START_SECONDS)
        starting.close()
        try:
            with before_the_end(tasks.create_task, Goodbye(hub, made["door"], settings.drain_seconds)):
                yield made
        finally:
            for task in running:
                task.cancel()


def assemble(settings: Settings, state: State, slot: Alone) -> dict[str, Any]:
    """The objects of a web process, each given what it needs."""
    store, authenticator = state.store, Authenticator(settings)
    hub, wheel = Hub(store), Wheel()
    reader = Reader(store, hub)
    listener = Listener(state.client, store.keys, hub, reader)
    hooks = Hooks(store, authenticator, settings.max_hooks_per_person)
    door = Door(settings, hub, wheel, authenticator.token)
    counts = Counts(store, authenticator, settings.max_reads_per_person)
    heartbeat = Heartbeat(store, node_name(), lambda: {"kind": "web", **hub.counted(), "hooks": hooks.by_code()})
    return {
        "heartbeat": heartbeat,
        "counts": counts,
        "documents": Documents(settings.public_url),
        "framing": Framing(store),
        "hub": hub,
        "wheel": wheel,
        "listener": listener,
        "reader": reader,
        "door": door,
        "hooks": hooks,
        "metrics": Metrics(settings, store, Parts(hub, door, listener, heartbeat, hooks), slot),
        "rooms": Rooms(store, authenticator, settings.max_reads_per_person),
        "monitor": Monitor(store, listener, door),
        "watch": Watch(hub, counts.seen),
    }


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
