"""What tests are made of: a running site, tokens, callers, and waiting for a condition with a deadline."""

import asyncio
import base64
import contextlib
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, TypeVar

import httpx
import msgspec
import uvicorn
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from room_server import auth
from room_server.app import create_app
from room_server.clock import utc_now
from room_server.config import Settings
from room_server.core.decision_types import Command, OperatorAction
from room_server.core.messages import Actor, Role
from room_server.core.planning import Plan, PlanWebinar
from room_server.core.room import Room, Status
from room_server.ids import new_epoch
from room_server.operations import webinars
from room_server.protocols.bounded_http import bind, uvicorn_config
from room_server.state.startup import open_state
from room_server.state.store import Store
from room_server.transactions import Transactions

TOKEN_SECRET = "a-secret-of-the-tests-that-is-long-enough"
HOOK_SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
PATIENCE = 60.0
"""Seconds that a test waits for what must come: only a failure takes that long, however slow and busy the machine."""
SLACK = 5.0
"""Seconds that a slow and busy machine may add to what the product promises to do in time."""
LOW_PRIORITY = ("nice", "-n", "10")
"""Before a program that takes much of the processor, so that the deadlines in other tests that run are met."""
AT = utc_now().replace(microsecond=0)
"""When the webinars of tests are planned, and begin and end unless it is said: as the tests begin, on whatever day."""
OPERATOR = Actor(role=Role.SYSTEM, subject="operator")
T = TypeVar("T")


async def wait_until(true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """What `true` gives once it gives something true; `what` tells of the failure."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it never came true that {what}")
        await asyncio.sleep(0.01)
    return found


async def eventually(true: Callable[[], Awaitable[Any]], what: str, seconds: float = PATIENCE) -> Any:
    """The same for a condition that must be awaited."""
    deadline = time.monotonic() + seconds
    while not (found := await true()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it never came true that {what}")
        await asyncio.sleep(0.02)
    return found


async def few_at_once(acts: Iterable[Awaitable[T]]) -> list[T]:
    """Do all, twenty at a time: each must be over in time (`retry.DEADLINE`), however slow and busy the machine."""
    waiting, results = iter(acts), []
    while part := list(islice(waiting, 20)):
        results += await asyncio.gather(*part)
    return results


async def persistent(send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """The answer of a caller that repeats, as our pages do, what Redis was too slow for (503)."""
    while (answer := await send()).status_code == 503:
        await asyncio.sleep(0.1)
    return answer


@contextlib.contextmanager
def sigterm() -> Iterator[asyncio.Event]:
    """Set once this process gets SIGTERM, which does not end it meanwhile."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    try:
        yield asked
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def room(webinar_id: str = "w", **more: Any) -> Room:
    """A scheduled webinar, first version."""
    fields: dict[str, Any] = {
        "epoch": new_epoch(),
        "version": 1,
        "status": Status.SCHEDULED,
        "title": "Webinar",
        "scheduled_at": AT,
        **more,
    }
    return Room(webinar_id=webinar_id, **fields)


GRACE = float(Settings().evaluation_grace)


def transactions(store: Store, grace: float = GRACE) -> Transactions:
    """Transactions on a store, as of a process with this evaluation grace in its settings."""
    return Transactions(store, grace)


async def amend(store: Store, webinar_id: str, plan: Plan) -> Room:
    """The room after an operator's change of its plan."""
    fields = {name: getattr(plan, name) for name in Plan.__struct_fields__}
    await webinars.amend(transactions(store), OPERATOR, PlanWebinar(webinar_id=webinar_id, **fields))
    room = (await store.load(webinar_id)).room
    assert room is not None
    return room


async def renew(store: Store, webinar_id: str) -> Room:
    """The room under a new epoch, as after a fail-over that lost its last changes."""
    before = (await store.load(webinar_id)).room
    assert before is not None
    await transactions(store).renew(webinar_id, (before.epoch, before.version))
    after = (await store.load(webinar_id)).room
    assert after is not None
    return after


def settings_for(url: str, **more: object) -> Settings:
    """Settings for tests on the server at `url`."""
    return Settings(redis_url=url, token_secret=TOKEN_SECRET, hook_secret=HOOK_SECRET, **more)  # type: ignore[arg-type]


class Site:
    """A running web process and everything that a test asks of it."""

    def __init__(self, settings: Settings, address: str, store: Store, raw: Redis) -> None:
        self.settings = settings
        self.address = address
        self.store = store
        self.transactions = Transactions(store, settings.evaluation_grace)
        self.raw = raw
        """A client of its own on the same Redis, to look at what is stored."""
        self.http = httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE)
        self.inside: Any = None
        """What the lifespan assembled: an `app.WebProcess`."""

    def token(self, role: str = "speaker", webinar_id: str = "w", **more: Any) -> str:
        """A token; `sub`, `ttl` and any claim may be given."""
        seconds = more.pop("ttl", 3600)
        claims = {"sub": "42" if role == "attendee" else role, "role": role, "webinar_id": webinar_id, **more}
        return auth.issue(self.settings, claims, seconds)

    def bearer(self, role: str = "speaker", webinar_id: str = "w", **more: Any) -> dict[str, str]:
        """The header of a caller."""
        return {"Authorization": f"Bearer {self.token(role, webinar_id, **more)}"}

    async def hook(self, name: str, payload: Any, role: str = "speaker", **more: Any) -> httpx.Response:
        """Send a hook; `more` goes into the token."""
        scope = payload.get("webinar_id", "w") if isinstance(payload, dict) else "w"
        body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        return await self.http.post(
            f"/hooks/{name}", content=body, headers=self.bearer(role, more.pop("scope", scope), **more)
        )

    async def status(self, word: str, webinar_id: str = "w") -> httpx.Response:
        """`start` or `stop`, as the speaker."""
        return await self.hook("core_webinar_set_status", {"webinar_id": webinar_id, "status": word})

    async def entered(self, lead_id: int, webinar_id: str = "w") -> httpx.Response:
        """The lead enters, as itself."""
        payload = {"webinar_id": webinar_id, "lead_id": lead_id, "timestamp": 1}
        return await self.hook("client_webinar_entered", payload, "attendee", sub=str(lead_id))

    async def completed(self, lead_id: int, webinar_id: str = "w") -> httpx.Response:
        """The lead completes, as itself."""
        payload = {"webinar_id": webinar_id, "lead_id": lead_id, "completed_at": 1}
        return await self.hook("client_webinar_completed", payload, "attendee", sub=str(lead_id))

    async def state(self, role: str = "speaker", webinar_id: str = "w", **headers: str) -> httpx.Response:
        """The REST room state."""
        return await self.http.get(f"/rooms/{webinar_id}/state", headers={**self.bearer(role, webinar_id), **headers})

    def socket(self, role: str = "attendee", webinar_id: str = "w", **more: Any) -> connect:
        """The `websockets` package's client on the room socket, or on `path`: `async with site.socket() as socket`."""
        token = more.pop("token", None) or self.token(role, webinar_id, **more.pop("claims", {}))
        subprotocols = [Subprotocol("room.v1"), Subprotocol(f"room.bearer.{token}")]
        path = more.pop("path", f"/rooms/{webinar_id}/socket")
        return connect(f"ws://{self.address}{path}", subprotocols=subprotocols, compression=None, **more)

    async def act(self, trigger: str, webinar_id: str = "w") -> Room:
        """An internal act of the operator."""
        command = Command(id=secrets.token_hex(6), actor=OPERATOR, hook=OperatorAction(webinar_id, trigger))
        return (await self.transactions.apply(command)).room

    def expire_tokens(self) -> None:
        """The token of every open socket ends now."""
        for crowd in self.inside.hub.groups.values():
            for subscriber in crowd.subscribers:
                subscriber.actor = replace(subscriber.actor, expires_at=int(time.time()))
                self.inside.timers.schedule(subscriber, 0.0)

    async def everything(self) -> dict[str, Any]:
        """All that Redis holds but the processes' own signs of life, key by key: for `nothing was changed`."""
        names = [key.decode() async for key in self.raw.scan_iter(count=1000)]
        kept = [name for name in names if not name.endswith((":nodes", ":words"))]
        async with self.raw.pipeline() as pipeline:
            for name in kept:
                pipeline.dump(name)
            return dict(zip(kept, await pipeline.execute(), strict=True))


async def next_state(socket: ClientConnection) -> dict[str, Any]:
    """The next frame, decoded."""
    async with asyncio.timeout(PATIENCE):
        decoded: dict[str, Any] = msgspec.json.decode(await socket.recv())
        return decoded


async def state_where(socket: ClientConnection, **wanted: Any) -> dict[str, Any]:
    """The first frame with these fields."""
    while True:
        state = await next_state(socket)
        if all(state.get(name) == value for name, value in wanted.items()):
            return state


@asynccontextmanager
async def serving(settings: Settings, **more: Any) -> AsyncIterator[Site]:
    """A web process on a port of its own, inside this event loop; `more` are settings of uvicorn's."""
    listening = bind(more.pop("host", "127.0.0.1"), 0)
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn_config(create_app(settings), **more)
    config.timeout_graceful_shutdown = 1
    server = await started(config, listening)
    try:
        async with open_state(settings) as state, _raw(str(settings.redis_url)) as raw:
            site = Site(settings, address, state.store, raw)
            site.inside = server.lifespan.state["web"]
            async with site.http:
                yield site
    finally:
        await stopped(server)


def _raw(url: str) -> Any:
    """A plain client; of a Cluster with several addresses by the first one."""
    first = url.replace("redis+cluster:", "redis:").partition(",")[0]
    return Redis.from_url(url) if first == url else RedisCluster.from_url(first)


async def started(config: uvicorn.Config, listening: socket.socket) -> uvicorn.Server:
    """A server that serves: `Server.serve` without the signals and the clock that it looks at ten times a second."""
    config.load()
    config.date_header = False  # nobody turns the clock that it is taken from
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup([listening])
    await server.on_tick(0)
    return server


async def stopped(server: uvicorn.Server) -> None:
    """`Server.shutdown` without its pauses: nobody new, a word to everyone who is connected, the lifespan's end."""
    for listening in server.servers:
        listening.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    await wait_until(lambda: not (server.server_state.connections or server.server_state.tasks), "all are gone")
    await server.lifespan.shutdown()
