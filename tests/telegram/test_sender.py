"""One try to send one message: what each answer of a Bot API, and each broken line to it, comes to."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from room_server.config import Settings
from room_server.core.delivery import Outcome
from room_server.protocols.bounded_http import bind
from room_server.telegram.sender import HALTED_SECONDS, TROUBLE_SECONDS, Sender, open_sender
from tests.telegram.bot_api import (
    TOKEN,
    Answer,
    BotApi,
    address_of,
    flood,
    plain,
    refuse,
    take,
    take_and_cut,
    take_and_hang,
    take_and_say,
)

CHAT = 11
SECONDS = 5.0


def settings(url: str, token: str | None = TOKEN) -> Settings:
    return Settings(telegram_token=token, telegram_base_url=url)


@pytest.fixture
async def sender(api: BotApi) -> AsyncIterator[Sender]:
    """A sender with the right token."""
    async with open_sender(settings(api.url)) as made:
        yield made


NO_JSON = "Parsing the server response b'<html>' failed"


def broken(status: int) -> Outcome:
    """Nobody knows whether the message arrived, and Telegram is in trouble."""
    return Outcome(kind="unknown", seconds=TROUBLE_SECONDS, error=f"ServerError: HTTP {status}")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (take, Outcome(kind="sent", message_id=1)),
        (refuse(403, "Forbidden: bot was blocked by the user"),
         Outcome(kind="final", error="Forbidden: bot was blocked by the user")),
        (refuse(403, "Forbidden: user is deactivated"), Outcome(kind="final", error="Forbidden: user is deactivated")),
        (refuse(400, "Bad Request: chat not found"), Outcome(kind="final", error="Chat not found")),
        (refuse(400, "Bad Request: can't parse entities"), Outcome(kind="final", error="Can't parse entities")),
        (refuse(400, "Bad Request: upgraded", migrate_to_chat_id=-1007),
         Outcome(kind="migrated", chat_id=-1007, error="migrated")),
        (flood(17), Outcome(kind="flood", seconds=17.0, error="flood")),
        (refuse(429, "Too Many Requests"), Outcome(kind="refused", error="NetworkError: Too Many Requests")),
        (refuse(500, "Internal Server Error"), broken(500)),
        (plain("<html>", 502), broken(502)),
        (take_and_say(504), broken(504)),
        (plain("<html>", 403), Outcome(kind="refused", error=f"Forbidden: Forbidden (403). {NO_JSON}")),
        (plain("<html>", 400), Outcome(kind="refused", error=f"BadRequest: Bad Request (400). {NO_JSON}")),
        (refuse(409, "Conflict: terminated"), Outcome(kind="unknown", error="Conflict: Conflict: terminated")),
        (plain("<html>"), Outcome(kind="unknown", error="TelegramError: Invalid server response")),
        (plain('{"ok":false}'), Outcome(kind="unknown", error="KeyError: 'result'")),
        (plain('{"ok":true,"result":true}'),
         Outcome(kind="unknown", error="TelegramError: the answer tells of no message")),
        (plain('{"ok":true,"result":{"message_id":"7"}}'),
         Outcome(kind="unknown", error="TelegramError: the answer tells of no message")),
        (plain('{"ok":true,"result":{"message_id":7}}'), Outcome(kind="sent", message_id=7)),
        (plain('{"ok":true,"result":{"message_id":7,"date":1795373000000,"chat":"of a kind to come"}}'),
         Outcome(kind="sent", message_id=7)),
        (plain(""), Outcome(kind="unknown", error="TelegramError: Invalid server response")),
    ],
)  # fmt: skip
async def test_each_answer_of_telegram_has_its_outcome(
    sender: Sender, api: BotApi, answer: Answer, outcome: Outcome
) -> None:
    api.next[CHAT].append(answer)

    assert await sender.send(CHAT, "text", SECONDS) == outcome


async def test_a_text_goes_out_as_html_whatever_it_holds(sender: Sender, api: BotApi) -> None:
    text = "<b>Анна &amp; Ко</b>\n100 % + 1 = ? 🎉 &#x27;"

    await sender.send(CHAT, text, SECONDS)

    assert api.texts(CHAT) == [text]


async def test_a_telegram_that_refuses_the_connection_got_nothing() -> None:
    with bind("127.0.0.1", 0) as taken:  # bound and not listening
        async with open_sender(settings(address_of(taken))) as sender:
            outcome = await sender.send(CHAT, "text", SECONDS)

    assert (outcome.kind, outcome.error) == (
        "refused",
        "NetworkError: httpx.ConnectError: All connection attempts failed",
    )


@pytest.mark.parametrize("url", ["http://no.such.host.invalid", "http://[::1]:1"])
async def test_an_address_that_leads_nowhere_got_nothing(url: str) -> None:
    async with open_sender(settings(url)) as sender:
        assert (await sender.send(CHAT, "text", SECONDS)).kind == "refused"


async def test_a_proxy_that_refuses_let_nothing_through(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse_everything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse_everything, "127.0.0.1", 0)
    monkeypatch.setenv("HTTPS_PROXY", address_of(server.sockets[0]))
    async with server, open_sender(settings("https://telegram.invalid")) as sender:
        outcome = await sender.send(CHAT, "text", SECONDS)

    assert (outcome.kind, outcome.error) == ("refused", "NetworkError: httpx.ProxyError: 403 Forbidden")


@pytest.mark.parametrize("answer", [take_and_hang, take_and_cut])
async def test_a_connection_that_breaks_after_the_request_leaves_the_outcome_unknown(
    sender: Sender, api: BotApi, answer: Answer
) -> None:
    api.next[CHAT].append(answer)

    outcome = await sender.send(CHAT, "text", 1.0)

    assert (outcome.kind, len(api.texts(CHAT))) == ("unknown", 1)


async def test_a_refused_token_halts_the_sender_and_is_logged_once(
    api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_sender(settings(api.url, "123:wrong")) as sender:
        before = sender.halted
        outcomes = await asyncio.gather(*(sender.send(chat, "text", SECONDS) for chat in range(1, 4)))
        later = await sender.send(CHAT, "text", SECONDS)

    assert (before, sender.halted, api.tries) == (False, True, [])
    assert outcomes == [Outcome(kind="halted", seconds=HALTED_SECONDS, error="invalid_token")] * 3
    assert later == Outcome(kind="halted", seconds=HALTED_SECONDS)
    assert [record.levelname for record in caplog.records if record.name.startswith("room_server")] == ["CRITICAL"]


@pytest.mark.parametrize("token", ["x", "123:with space", "123:with/slash", "123:кириллица", "123:a#b?c"])
async def test_a_token_that_cannot_be_one_halts_the_sender(api: BotApi, token: str) -> None:
    async with open_sender(settings(api.url, token)) as sender:
        outcome = await sender.send(CHAT, "text", SECONDS)

    assert (outcome.kind, api.tries) == ("halted", [])


async def test_without_a_token_everything_is_a_rehearsal() -> None:
    async with open_sender(settings("http://127.0.0.1:1", None)) as sender:
        outcome = await sender.send(CHAT, "text", SECONDS)

    assert (sender.is_dry_run, outcome) == (True, Outcome(kind="dry_run"))


async def test_no_library_logs_the_token_or_an_answer(
    sender: Sender, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    """Even where someone hears everything: httpx logs addresses, and the Bot API library what is no JSON."""
    caplog.set_level(logging.DEBUG)
    api.next[CHAT].append(plain('{"ok":true,"result":{"chat":{"first_name":"Zachary"}'))

    await sender.send(CHAT, "for Zachary", SECONDS)

    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("uvicorn", "asyncio"))]
    assert ours == []
