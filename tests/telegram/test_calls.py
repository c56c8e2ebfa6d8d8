"""Calls of the Bot API: what an answer gives, and what each failure is called."""

from collections.abc import AsyncIterator

import pytest
from starlette.responses import JSONResponse, Response

from room_server.config import Settings
from room_server.telegram.calls import MOST_BYTES, CallFailed, Calls, open_calls
from tests.support import settings_for
from tests.telegram.bot_api import TOKEN, BotApi, problem

QUESTION = {"offset": 0, "limit": 100, "timeout": 0}


@pytest.fixture
def settings(api: BotApi) -> Settings:
    return settings_for("redis://unused", telegram_token=TOKEN, telegram_base_url=api.url + "/")


@pytest.fixture
async def calls(settings: Settings) -> AsyncIterator[Calls]:
    async with open_calls(settings) as opened:
        yield opened


async def test_the_result_is_given_as_it_came(calls: Calls, api: BotApi) -> None:
    api.inbox.says(11, "/start")

    assert b'"text":"/start"' in bytes(await calls.call("getUpdates", QUESTION))


@pytest.mark.parametrize(
    ("answer", "status", "wait", "text"),
    [
        (problem(409, "Conflict: terminated"), 409, 0.0, "409: Conflict: terminated"),
        (problem(429, "Too Many Requests", retry_after=7), 429, 7.0, "429: Too Many Requests"),
        (Response("<html>", 502), 502, 0.0, "502: the answer is none of the Bot API's"),
        (Response(b"x" * (MOST_BYTES + 1)), 200, 0.0, "200: the answer is too long"),
        (JSONResponse({"ok": False}), 200, 0.0, "200: "),
    ],
)
async def test_each_refusal_says_what_it_is(
    calls: Calls, api: BotApi, answer: Response, status: int, wait: float, text: str
) -> None:
    api.inbox.refusals.append(answer)

    with pytest.raises(CallFailed) as failed:
        await calls.call("getUpdates", QUESTION)

    assert (failed.value.status, failed.value.wait, str(failed.value)) == (status, wait, text)


async def test_without_an_answer_the_failure_shows_no_token() -> None:
    nowhere = settings_for("redis://unused", telegram_token=TOKEN, telegram_base_url="http://127.0.0.1:9")
    async with open_calls(nowhere) as calls:
        with pytest.raises(CallFailed) as failed:
            await calls.call("getUpdates", QUESTION)

    assert (failed.value.status, str(failed.value)) == (0, "ConnectError")
