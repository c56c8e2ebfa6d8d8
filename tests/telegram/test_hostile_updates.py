"""What anybody can write to a bot, and what a broken or hostile sender can post: each is taken for what it is, nothing
ends a process, nobody is bound by mistake, and the person who comes next is bound.
"""

import gzip
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from room_server.api.telegram_updates import HEADER
from room_server.core.bindings import lead, partner
from room_server.state import bindings
from room_server.state.startup import open_state
from room_server.state.store import Store
from room_server.telegram import texts
from room_server.telegram.deep_links import DeepLinks
from tests.support import PATIENCE, TOKEN_SECRET, eventually, settings_for, wait_until
from tests.telegram.bot_api import TOKEN, BotApi, said
from tests.terminal import Running, running

LINKS = DeepLinks((TOKEN_SECRET.encode(),))
FOREIGN = DeepLinks((b"the secret of another installation, which is long enough",))
SECRET = LINKS.webhook_secrets[0]
ONE_REQUEST_EACH = httpx.Limits(max_keepalive_connections=0)
"""For connections: one on which a body was refused is about to be closed."""
RU = {name: text.strip() for name, text in texts.words("ru").items()}
OURS = f"/start {LINKS.payload(lead(1))}"
CHAT = {"id": 11, "type": "private", "first_name": "x"}
SENDER = {"id": 11, "is_bot": False, "first_name": "x"}


def message(text: str, **chat: Any) -> dict[str, Any]:
    return said(5, CHAT | chat, text, SENDER)


SILENT: dict[str, dict[str, Any]] = {
    "an edited message": {"edited_message": message(OURS)},
    "a channel post": {"channel_post": message(OURS, id=-100, type="channel")},
    "a message in a group": {"message": message(OURS, id=-100, type="group")},
    "an edited channel post": {"edited_channel_post": message("/stop", id=-100, type="channel")},
    "a button of another bot": {"callback_query": {"id": "1", "from": SENDER, "message": message("x"), "data": "buy"}},
    "a button under nothing": {"callback_query": {"id": "1", "from": SENDER, "data": "yes lead:1 1"}},
    "an update of a new kind": {"something_new": {"x": 1}},
    "an update of nothing": {},
    "words": {"message": message("🎉" * 2048)},
    "half a character": {"message": message("\ud83c")},
    "a chat that is none": {"message": message("/start", id=10**30)},
    "a picture": {"message": {**message(""), "text": None, "photo": [{"file_id": "x" * 4096}]}},
    "a forest": {"message": {**message("words"), "reply_to_message": json.loads("[" * 900 + "]" * 900)}},
}
ANSWERED = {
    f"/start {FOREIGN.payload(lead(1))}": "unusable",
    f"/start {LINKS.payload(lead(1))}x": "unusable",
    f"/start {LINKS.payload(lead(1))} and more": "unusable",
    f"/start {'x' * 4089}": "unusable",
    "/start 🎉": "unusable",
    "/start": "started",
    "/Start@x": "started",
}
"""What is said to the bot, and what it replies; nobody is bound by it."""


def settings(url: str, api: BotApi, mode: str) -> dict[str, str]:
    return {
        "ROOM_SERVER_REDIS_URL": url,
        "ROOM_SERVER_TELEGRAM_TOKEN": TOKEN,
        "ROOM_SERVER_TELEGRAM_BASE_URL": api.url,
        "ROOM_SERVER_TELEGRAM_UPDATES": mode,
        "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
        "ROOM_SERVER_PUBLIC_URL": "https://rooms.example.org",
    }


@pytest.fixture
async def store(valkey_url: str) -> AsyncIterator[Store]:
    async with open_state(settings_for(valkey_url)) as state:
        yield state.store


async def is_bound(store: Store, lead_id: int, chat_id: int) -> None:
    async def found() -> bool:
        return await bindings.chats_of(store, [lead(lead_id)]) == {lead(lead_id): chat_id}

    await eventually(found, f"lead {lead_id} is bound")


def happen(api: BotApi) -> list[dict[str, Any]]:
    """All of it, each to a number of its own; what is answered comes from chats of their own, 100 and up."""
    for update in SILENT.values():
        api.inbox.put(**update)
    for chat_id, text in enumerate(ANSWERED, 100):
        api.inbox.says(chat_id, text)
    return api.inbox.waiting


async def no_reply_waits(store: Store) -> bool:
    return bool(await store.call("HLEN", store.keys.bot("replies")) == 0)


async def everything_is_answered(api: BotApi) -> None:
    """Each chat has heard what it should, and nobody else has heard anything."""
    expected = {chat_id: [RU[word]] for chat_id, word in enumerate(ANSWERED.values(), 100)} | {12: [RU["connected"]]}
    await wait_until(lambda: len(api.sent) >= len(expected), "everybody is answered")
    assert {chat_id: api.texts(chat_id) for chat_id in {sent.chat_id for sent in api.sent}} == expected


async def answer_to(http: httpx.AsyncClient, body: bytes, headers: dict[str, str] | dict[bytes, bytes]) -> int:
    """The status; 0 when the line was cut, since the answer came before all was sent."""
    try:
        return (await http.post("/hooks/telegram_update", content=body, headers=headers)).status_code
    except httpx.TransportError:
        return 0


async def is_well(process: Running) -> None:
    """It ends as it should, and has told of no fault of ours."""
    status, told = await process.end()
    assert (status, "Traceback" in told, "internal_error" in told) == (0, False, False), told


async def test_a_worker_that_polls_takes_all_of_it_and_binds_who_comes_next(
    valkey_url: str, api: BotApi, store: Store
) -> None:
    """It is killed then, and gets the same updates once more, as when their confirmation was lost."""
    happened = list(happen(api))
    async with running("worker", **settings(valkey_url, api, "poll")) as worker:
        api.inbox.says(12, f"/start {LINKS.payload(lead(2))}")
        happened.append(api.inbox.waiting[-1])
        await is_bound(store, 2, 12)
        await everything_is_answered(api)
        await eventually(lambda: no_reply_waits(store), "it knows that all were sent")
        os.kill(worker.process.pid, signal.SIGKILL)
    await store.call("DEL", store.keys.bot("receiver"))  # its lease, which would end by itself a while later
    api.inbox.waiting = [*happened]
    async with running("worker", **settings(valkey_url, api, "poll")) as worker:
        await wait_until(lambda: not api.inbox.waiting, "all are confirmed again")
        api.inbox.says(13, f"/start {LINKS.payload(lead(3))}")
        await wait_until(lambda: api.texts(13), "who comes then is answered")
        await is_well(worker)
    api.sent = [sent for sent in api.sent if sent.chat_id != 13]
    await everything_is_answered(api)
    assert await bindings.chats_of(store, [lead(1), partner(1)]) == {}


async def test_a_web_process_takes_all_of_it_and_refuses_who_is_not_telegram(
    valkey_url: str, api: BotApi, store: Store
) -> None:
    given = settings(valkey_url, api, "webhook")
    large, press = b'{"update_id": 1, "x": "' + b"y" * 5_000_000 + b'"}', {"update_id": 9, "message": message(OURS)}
    refused: list[tuple[bytes, dict[str, str] | dict[bytes, bytes], int]] = [
        (json.dumps(press).encode(), {}, 401),
        (json.dumps(press).encode(), {HEADER: FOREIGN.webhook_secrets[0]}, 401),
        (json.dumps(press).encode(), {HEADER.encode(): "🎉".encode()}, 401),
        (json.dumps(press).encode(), {"Authorization": f"Bearer {SECRET}"}, 401),
        (large, {HEADER: "x"}, 401),
        (large, {HEADER: SECRET}, 413),
        (gzip.compress(json.dumps(press).encode()), {HEADER: SECRET, "Content-Encoding": "gzip"}, 400),
    ]
    async with (
        running("web", "--port", "0", **given) as web,
        running("worker", **given) as worker,
        httpx.AsyncClient(base_url=web.address, timeout=PATIENCE, limits=ONE_REQUEST_EACH) as http,
    ):
        await wait_until(lambda: api.inbox.webhook, "Telegram knows where to")
        for body, headers, status in refused:
            assert await answer_to(http, body, headers) in ({status, 0} if body is large else {status})
        happen(api)
        api.inbox.says(12, f"/start {LINKS.payload(lead(2))}")
        for update in api.inbox.waiting * 2:
            body = json.dumps(update).encode()
            assert await answer_to(http, body, {HEADER: SECRET}) == 200
        await is_bound(store, 2, 12)
        await everything_is_answered(api)
        await is_well(worker)
        await is_well(web)

    assert await bindings.chats_of(store, [lead(1), partner(1)]) == {}
