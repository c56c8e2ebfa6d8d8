"""`room-server telegram test`: one message to a chat, by a Bot API of our own."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from room_server.telegram import texts
from tests.telegram.bot_api import TOKEN, BotApi, bot_api, refuse
from tests.terminal import Terminal


@pytest.fixture
def running_api() -> Iterator[BotApi]:
    """A Bot API on a loop of its own: the command has one, too."""
    started, ending = threading.Event(), asyncio.Event()
    found: list[tuple[BotApi, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with bot_api() as api:
            found.append((api, asyncio.get_running_loop()))
            started.set()
            await ending.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait(60)
    api, loop = found[0]
    yield api
    loop.call_soon_threadsafe(ending.set)
    thread.join(60)


def environment(api: BotApi, token: str = TOKEN) -> dict[str, str]:
    return {"ROOM_SERVER_TELEGRAM_TOKEN": token, "ROOM_SERVER_TELEGRAM_BASE_URL": api.url}


def test_one_message_is_sent_in_either_language(terminal: Terminal, running_api: BotApi) -> None:
    said = terminal.says("telegram", "test", "4242", **environment(running_api))
    terminal.says("telegram", "test", "-100123", "--locale", "en", **environment(running_api))

    assert said == "Telegram has taken the message to 4242\n"
    assert [(sent.chat_id, sent.text) for sent in running_api.sent] == [
        (4242, texts.words("ru")["test"]),
        (-100123, texts.words("en")["test"]),
    ]


def test_what_went_wrong_is_said(terminal: Terminal, running_api: BotApi) -> None:
    running_api.always[4242] = refuse(403, "Forbidden: bot was blocked by the user")
    blocked = terminal.refuses("telegram", "test", "4242", **environment(running_api))
    wrong = terminal.refuses("telegram", "test", "4243", **environment(running_api, "123:wrong"))

    assert "the message to 4242 was not confirmed: final Forbidden: bot was blocked by the user" in blocked
    assert "halted invalid_token" in wrong
    assert running_api.sent == []


def test_without_a_token_it_is_shown(terminal: Terminal) -> None:
    said = terminal.says("telegram", "test", "4242")

    assert said.startswith("nothing was sent, since ROOM_SERVER_TELEGRAM_TOKEN is not set")
    assert texts.words("ru")["test"] in said


@pytest.mark.parametrize("chat", ["x", "", "1.5", "99999999999999999999", "-99999999999999999999"])
def test_what_is_no_chat_is_refused(terminal: Terminal, chat: str) -> None:
    assert "is no Telegram chat id" in terminal.misunderstands("telegram", "test", chat)


@pytest.mark.parametrize("option", ["--nonsense", "-x", "--nonsense=1"])
def test_an_option_that_there_is_not_is_no_chat(terminal: Terminal, option: str) -> None:
    assert f"No such option '{option.partition('=')[0]}'" in terminal.misunderstands("telegram", "test", option)
