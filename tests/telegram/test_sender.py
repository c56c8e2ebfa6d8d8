"""One try to send one message: what each answer of a Bot API, and each broken line to it, comes to."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from starlette.responses import JSONResponse, Response

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
from tests.telegram.socks import proxy_named, socks_proxy

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


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "NetworkError: httpx.ProxyError: 403 Forbidden"),
     (b"nonsense\r\n\r\n", "NetworkError: httpx.RemoteProtocolError: illegal status line: bytearray(b'nonsense')"),
     (None, "TimeoutError: ")],
)  # fmt: skip
async def test_a_proxy_that_lets_nothing_through_got_nothing(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, error: str
) -> None:
    async def refuse_everything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer or b"")
        await (writer.drain() if answer else reader.read())
        writer.close()

    server = await asyncio.start_server(refuse_everything, "127.0.0.1", 0)
    monkeypatch.setenv("HTTPS_PROXY", address_of(server.sockets[0]))
    async with server, open_sender(settings("https://telegram.invalid")) as sender:
        outcome = await sender.send(CHAT, "text", SECONDS if answer else 0.5)

    assert (outcome.kind, outcome.error) == ("refused", error)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_a_message_goes_through_a_socks_proxy(api: BotApi, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    async with (
        socks_proxy() as proxy,
        proxy_named(monkeypatch, f"{scheme}://{proxy.address}"),
        open_sender(settings(api.url)) as sender,
    ):
        outcome = await sender.send(CHAT, "text", SECONDS)

    assert (outcome.kind, api.texts(CHAT), proxy.used) == ("sent", ["text"], 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("reply", [b"\x05\xff", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
async def test_a_socks_proxy_that_lets_nothing_through_got_nothing(
    api: BotApi, monkeypatch: pytest.MonkeyPatch, reply: bytes | None
) -> None:
    """The warning is httpcore's: it leaves such a connection to the garbage collector, which closes it."""
    async with (
        socks_proxy(greeting=reply) as proxy,
        proxy_named(monkeypatch, f"socks5://{proxy.address}"),
        open_sender(settings(api.url)) as sender,
    ):
        outcome = await sender.send(CHAT, "text", SECONDS if reply is not None else 0.5)

    assert (outcome.kind, api.tries) == ("refused", [])


async def test_a_setting_that_names_no_proxy_is_one_warning_and_messages_wait(
    api: BotApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxy_named(monkeypatch, "socks://user:secret@p:1080"), open_sender(settings(api.url)) as sender:
        outcome = await sender.send(CHAT, "text", SECONDS)
        found = await sender.check()

    assert (outcome.kind, found, sender.status, sender.is_dry_run) == ("halted", True, "proxy_unusable", False)
    (warning,) = [record.getMessage() for record in caplog.records if record.name.startswith("room_server")]
    assert warning.startswith("ALL_PROXY names no proxy")
    assert "secret" not in caplog.text


async def test_what_no_proxy_names_is_reached_without_one(api: BotApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "::1/128,127.0.0.0/8")
    async with proxy_named(monkeypatch, "socks5://127.0.0.1:1"), open_sender(settings(api.url)) as sender:
        assert (await sender.send(CHAT, "text", SECONDS)).kind == "sent"


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


async def test_the_token_is_checked_before_any_message(api: BotApi, caplog: pytest.LogCaptureFixture) -> None:
    async with open_sender(settings(api.url)) as right, open_sender(settings(api.url, "123:wrong")) as wrong:
        before = right.status
        found = await right.check(), await wrong.check(), await wrong.check()

    assert (before, right.status, wrong.status) == ("no_answer", "ok", "token_refused")
    assert (found, right.halted, wrong.halted) == ((True, True, True), False, True)
    (critical,) = [record.getMessage() for record in caplog.records if record.name.startswith("room_server")]
    assert "ROOM_SERVER_TELEGRAM_TOKEN" in critical
    assert "wrong" not in critical


@pytest.mark.parametrize("answer", [Response("<html>", 502), Response("<html>"), JSONResponse({"ok": True}),
                                    JSONResponse({"ok": True, "result": {"message_id": 1}})])  # fmt: skip
async def test_a_telegram_that_does_not_answer_is_one_warning_and_asked_again(
    sender: Sender, api: BotApi, caplog: pytest.LogCaptureFixture, answer: Response
) -> None:
    api.introductions.extend([answer, answer])

    found = [await sender.check() for _ in range(2)]
    between, halted = sender.status, sender.halted
    found.append(await sender.check())

    assert (found, between, halted, sender.status) == ([False, False, True], "no_answer", False, "ok")
    (warning,) = [record.getMessage() for record in caplog.records if record.name.startswith("room_server")]
    assert warning.startswith("Telegram does not answer (")


async def test_the_warning_names_the_variable_of_the_proxy(
    api: BotApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxy_named(monkeypatch, "http://127.0.0.1:1"), open_sender(settings(api.url)) as sender:
        assert not await sender.check()

    assert "Telegram does not answer through the proxy of ALL_PROXY (NetworkError: httpx.ConnectError" in caplog.text


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
