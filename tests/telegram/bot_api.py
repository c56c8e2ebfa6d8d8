"""A Bot API on loopback that answers as Telegram does, faults included: a real HTTP server in Telegram's place."""

import asyncio
import socket
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from room_server.protocols.bounded_http import bind
from tests.support import wait_until

TOKEN = "123456:a-token-of-the-tests"
MARKUP = "HTML"


class Sent(Struct, frozen=True):
    """A message that arrived: when (monotonic seconds), where, what."""

    at: float
    chat_id: int
    text: str


Answer = Callable[["BotApi", int, str], Awaitable[Response]]


class BotApi:
    """What arrived, and what requests get instead of `ok`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = TOKEN
        self.closing = asyncio.Event()
        self.sent: list[Sent] = []
        self.tries: list[Sent] = []
        self.next: defaultdict[int, deque[Answer]] = defaultdict(deque)
        """Answers for the next requests to a chat."""
        self.always: dict[int, Answer] = {}
        """Answers for every other request to a chat."""
        self.usual: Answer = take
        self.introductions: deque[Response] = deque()
        """Answers for the next questions of who the bot is."""

    def texts(self, chat_id: int) -> list[str]:
        """What a chat got."""
        return [sent.text for sent in self.sent if sent.chat_id == chat_id]

    def tried(self, chat_id: int) -> list[float]:
        """When a chat was tried."""
        return [sent.at for sent in self.tries if sent.chat_id == chat_id]

    async def receive(self, request: Request) -> Response:
        """SendMessage."""
        if request.path_params["token"] != self.token:
            return problem(401, "Unauthorized")
        try:
            form = dict(parse_qsl((await request.body()).decode()))
        except ClientDisconnect:  # the sender was killed; nobody hears the answer
            return problem(400, "Bad Request: it never came")
        if form.get("parse_mode") != MARKUP:
            return problem(400, "Bad Request: these tests send HTML")
        chat_id, text = int(form["chat_id"]), form["text"]
        self.tries.append(Sent(time.monotonic(), chat_id, text))
        if self.next[chat_id]:
            return await self.next[chat_id].popleft()(self, chat_id, text)
        return await self.always.get(chat_id, self.usual)(self, chat_id, text)

    async def introduce(self, request: Request) -> Response:
        """GetMe."""
        if request.path_params["token"] != self.token:
            return problem(401, "Unauthorized")
        if self.introductions:
            return self.introductions.popleft()
        return JSONResponse({"ok": True, "result": {"id": 123456, "is_bot": True, "first_name": "x", "username": "x"}})


def problem(code: int, description: str, **parameters: Any) -> Response:
    """The Bot API's error object."""
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    return JSONResponse({**body, "parameters": parameters} if parameters else body, code)


async def take(api: BotApi, chat_id: int, text: str) -> Response:
    """The message arrives."""
    api.sent.append(Sent(time.monotonic(), chat_id, text))
    chat = {"id": chat_id, "type": "private", "first_name": "x"}
    message = {"message_id": len(api.sent), "date": int(time.time()), "chat": chat, "text": text}
    return JSONResponse({"ok": True, "result": message})


def refuse(code: int, description: str, **parameters: Any) -> Answer:
    """The message does not arrive, and Telegram says why."""

    async def answer(_: BotApi, __: int, ___: str) -> Response:
        return problem(code, description, **parameters)

    return answer


def plain(body: str, code: int = 200) -> Answer:
    """An answer that is none of the Bot API's."""

    async def answer(_: BotApi, __: int, ___: str) -> Response:
        return Response(body, code, media_type="text/html")

    return answer


def flood(seconds: int) -> Answer:
    """Too many requests; come back later."""
    return refuse(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)


async def take_slowly(api: BotApi, chat_id: int, text: str) -> Response:
    """The message arrives, and the answer takes the time that an answer takes."""
    taken = await take(api, chat_id, text)
    await asyncio.sleep(0.05 + 0.01 * (len(api.sent) % 10))  # the network's own time
    return taken


def take_and_say(code: int) -> Answer:
    """The message arrives, and something between says that it knows of no answer."""

    async def answer(api: BotApi, chat_id: int, text: str) -> Response:
        await take(api, chat_id, text)
        return Response("<html>", code)

    return answer


async def take_and_hang(api: BotApi, chat_id: int, text: str) -> Response:
    """The message arrives, and the answer does not come in time."""
    await take(api, chat_id, text)
    await api.closing.wait()
    return problem(503, "the server ends")


async def take_and_cut(api: BotApi, chat_id: int, text: str) -> Response:
    """The message arrives, and the line is cut before the answer is whole."""
    await take(api, chat_id, text)
    return Response(b"{", headers={"Content-Length": "100"})


@asynccontextmanager
async def bot_api(port: int = 0) -> AsyncIterator[BotApi]:
    """The server, for as long as the block runs."""
    listening = bind("127.0.0.1", port)
    api = BotApi(address_of(listening))
    routes = [
        Route("/bot{token}/sendMessage", api.receive, methods=["POST"]),
        Route("/bot{token}/getMe", api.introduce, methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    config = uvicorn.Config(app, log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listening]))
    try:
        yield api
    finally:
        api.closing.set()
        await end(server, task)
        listening.close()


async def end(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    """At once: uvicorn's own end takes its time, in every test."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for listener in server.servers:
        listener.close()
    await wait_until(lambda: not server.server_state.tasks, "the last answers were given")
    for connection in list(server.server_state.connections):
        connection.transport.abort()


def address_of(listening: socket.socket) -> str:
    """The root of a Bot API that listens there."""
    return f"http://127.0.0.1:{listening.getsockname()[1]}"
