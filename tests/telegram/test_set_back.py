"""Redis' clock is set back while messages go, on a real server: none waits for it to catch up."""

import time
from collections.abc import AsyncIterator, Iterator

import pytest

from room_server.core.room import RosterEntry
from room_server.state.startup import open_state
from room_server.telegram.pacing import FLOODED_CHATS, SendRateLimiter
from tests.clocks import OwnClock, own_clock
from tests.support import settings_for, wait_until
from tests.telegram.bot_api import TOKEN, BotApi, flood
from tests.telegram.outgoing import Outgoing

HOUR = 3600.0


@pytest.fixture(scope="module")
def server() -> Iterator[OwnClock]:
    """One server for the tests of this file."""
    with own_clock() as running:
        yield running


@pytest.fixture
async def served(server: OwnClock, api: BotApi) -> AsyncIterator[tuple[OwnClock, Outgoing]]:
    """Messages on a server whose clock may be set: empty, and its clock is right."""
    server.set(0)
    settings = settings_for(server.url, telegram_token=TOKEN, telegram_base_url=api.url)
    async with open_state(settings) as state:
        await state.client.flushall()
        yield server, Outgoing(settings, state, api)


@pytest.mark.parametrize("steps", [[-HOUR], [HOUR, 0.0], [-1.0, -2.0, -HOUR]])
async def test_messages_are_still_sent(served: tuple[OwnClock, Outgoing], api: BotApi, steps: list[float]) -> None:
    server, outgoing = served
    await outgoing.put(1)
    async with outgoing.delivering():
        await outgoing.until(1, "sent")
        for number, step in enumerate(steps, 1):
            server.set(step)
            mine, same = 10 * number, 10 * number + 1
            await outgoing.put(mine)
            await outgoing.put_leads(RosterEntry(lead_id=same, partner_chat_id=1))  # this chat was written to just now
            await outgoing.until(mine, "sent")
            await outgoing.until(same, "sent")

    assert len(api.sent) == 1 + 2 * len(steps)


async def test_a_wait_that_telegram_asked_for_is_kept_and_is_no_longer(
    served: tuple[OwnClock, Outgoing], api: BotApi
) -> None:
    server, outgoing = served
    api.next[1].append(flood(2))
    await outgoing.put(1)
    async with outgoing.delivering():
        await wait_until(lambda: api.tried(1), "the chat was tried")
        asked = time.monotonic()
        server.set(-HOUR)
        await outgoing.until(1, "sent")

    assert api.tried(1)[-1] - asked > 1.5


async def test_flooded_chats_count_no_longer_than_their_flood(served: tuple[OwnClock, Outgoing]) -> None:
    """Three at once would stop the bot."""
    server, outgoing = served
    limiter = SendRateLimiter(outgoing.store)
    for chat in range(1, FLOODED_CHATS):
        await limiter.hold(chat, 30)
    server.set(-HOUR)
    await limiter.hold(100, 0.0)
    server.set(-HOUR + 60)

    assert not await limiter.hold(101, 30)


async def test_a_granted_slot_is_no_further_away(served: tuple[OwnClock, Outgoing]) -> None:
    server, outgoing = served
    await outgoing.is_busy()
    limiter = SendRateLimiter(outgoing.store)
    slots = [await limiter.acquire(chat) for chat in (1, 2, 1)]
    server.set(-HOUR)

    after = [await limiter.acquire(chat) for chat in (3, 1)]

    assert [slot.granted for slot in slots] == [True, True, False]
    assert [slot.granted for slot in after] == [True, False]
    assert after[0].seconds < 0.4
    assert after[1].seconds < 5
