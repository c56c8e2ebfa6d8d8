"""A Bot API on loopback that answers as Telegram does, faults included: a real HTTP server in Telegram's place."""

import asyncio
import json
import socket
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl

import msgspec
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
    """A message that arrived: when (monotonic seconds), where, what, and what its buttons say to the bot."""

    at: float
    chat_id: int
    text: str
    buttons: tuple[str, ...] = ()


Answer = Callable[["BotApi", int, str], Awaitable[Response]]


class Inbox:
    """The updates that people cause, kept until the bot has confirmed them, and where the bot wants them."""

    def __init__(self) -> None:
        self.waiting: list[dict[str, Any]] = []
        self.number = 1000
        self.clicked: list[str] = []
        """The buttons that were answered."""
        self.webhook: dict[str, Any] | None = None
        self.asked: list[dict[str, Any]] = []
        """Every getUpdates."""
        self.refusals: deque[Response] = deque()
        """Answers for the next questions for updates."""
        self.trouble: dict[str, Any] = {}
        """Why updates do not get through to the webhook (Bot API, WebhookInfo)."""
        self.looked = 0
        """How often the bot asked for that."""
        self.came = asyncio.Event()

    def put(self, **update: Any) -> int:
        """Something happened; its number."""
        self.number += 1
        self.waiting.append({"update_id": self.number, **update})
        self.came.set()
        return self.number

    def says(self, chat_id: int, text: str, language: str = "ru", kind: str = "private") -> int:
        """A person writes to the bot."""
        chat = {"id": chat_id, "type": kind, "first_name": "x"}
        sender = {"id": chat_id, "is_bot": False, "first_name": "x", "language_code": language}
        return self.put(message=said(self.number + 1, chat, text, sender))

    def presses(self, chat_id: int, button: str) -> int:
        """A person presses a button that says this to the bot."""
        message = said(1, {"id": chat_id, "type": "private"}, "x", {"id": 1, "is_bot": True, "first_name": "x"})
        sender = {"id": chat_id, "is_bot": False, "first_name": "x"}
        return self.put(callback_query={"id": str(chat_id), "from": sender, "message": message, "data": button})

    def is_let(self, chat_id: int, status: str) -> int:
        """A person blocks the bot (`kicked`), or lets it in again (`member`)."""
        chat = {"id": chat_id, "type": "private"}
        bot = {"status": status, "user": {"id": 123456, "is_bot": True, "first_name": "x"}}
        changed = {"chat": chat, "from": {"id": chat_id}, "date": int(time.time()), "new_chat_member": bot}
        return self.put(my_chat_member={**changed, "old_chat_member": bot})

    async def give(self, request: Request) -> Response:
        """GetUpdates, which confirms all before `offset`, and waits for as long as it is told while there is none."""
        question = await request.json()
        self.asked.append(question)
        if self.refusals:
            return self.refusals.popleft()
        if self.webhook:
            return problem(409, "Conflict: can't use getUpdates method while webhook is active")
        self.waiting = [update for update in self.waiting if update["update_id"] >= question["offset"]]
        if not self.waiting:
            self.came.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(question["timeout"]):
                    await self.came.wait()
        result = self.waiting[: question["limit"]]
        found = json.dumps({"ok": True, "result": result}, separators=(",", ":"))  # in ASCII, as Telegram does
        return Response(found, media_type="application/json")

    async def set_webhook(self, request: Request) -> Response:
        """SetWebhook."""
        self.webhook = await request.json()
        return done()

    async def tell_webhook(self, _: Request) -> Response:
        """GetWebhookInfo."""
        self.looked += 1
        url = self.webhook["url"] if self.webhook else ""
        known = {"url": url, "pending_update_count": len(self.waiting), **self.trouble}
        return JSONResponse({"ok": True, "result": known})

    async def delete_webhook(self, _: Request) -> Response:
        """DeleteWebhook."""
        self.webhook = None
        return done()

    async def answer_button(self, request: Request) -> Response:
        """AnswerCallbackQuery."""
        self.clicked.append((await request.json())["callback_query_id"])
        return done()


def said(number: int, chat: dict[str, Any], text: str, sender: dict[str, Any]) -> dict[str, Any]:
    """A message as it stands in an update."""
    return {"message_id": number, "date": int(time.time()), "chat": chat, "from": sender, "text": text}


def done() -> Response:
    """The answer to what has no result."""
    return JSONResponse({"ok": True, "result": True})


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
        self.buttons: tuple[str, ...] = ()
        """Those of the message that is just being taken."""
        self.usual: Answer = take
        self.introductions: deque[Response] = deque()
        """Answers for the next questions of who the bot is."""
        self.inbox = Inbox()
        self.strangers = 0
        """Requests about updates with another token."""

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
        self.buttons = tuple(
            row[0]["callback_data"]
            for row in msgspec.json.decode(form.get("reply_markup", "{}")).get("inline_keyboard", [])
        )
        if self.next[chat_id]:
            return await self.next[chat_id].popleft()(self, chat_id, text)
        return await self.always.get(chat_id, self.usual)(self, chat_id, text)

    def known(self, handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """`handle` for requests with the bot's token."""

        async def check(request: Request) -> Response:
            if request.path_params["token"] == self.token:
                return await handle(request)
            self.strangers += 1
            return problem(401, "Unauthorized")

        return check

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
    api.sent.append(Sent(time.monotonic(), chat_id, text, api.buttons))
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
        Route("/bot{token}/getUpdates", api.known(api.inbox.give), methods=["POST"]),
        Route("/bot{token}/setWebhook", api.known(api.inbox.set_webhook), methods=["POST"]),
        Route("/bot{token}/getWebhookInfo", api.known(api.inbox.tell_webhook), methods=["POST"]),
        Route("/bot{token}/deleteWebhook", api.known(api.inbox.delete_webhook), methods=["POST"]),
        Route("/bot{token}/answerCallbackQuery", api.known(api.inbox.answer_button), methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    config = uvicorn.Config(app, log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listening]))
    try:
        yield api
    finally:
        api.closing.set()
        api.inbox.came.set()  # who waits for updates waits no longer
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
