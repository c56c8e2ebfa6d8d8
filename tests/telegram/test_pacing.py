"""The send rate: which slots the script grants, and when messages of several workers arrive at the Bot API."""

import asyncio
import time
from itertools import pairwise

import pytest
from starlette.responses import Response

from room_server.clock import utc_now
from room_server.core.room import RosterEntry
from room_server.state.commits import unix_ms
from room_server.state.store import Store
from room_server.telegram.pacing import (
    BOT_GAP_MS,
    CHAT_GAP_MS,
    FLOODED_CHATS,
    GROUP_GAP_MS,
    HORIZON_MS,
    SendRateLimiter,
)
from room_server.telegram.sender import IN_FLIGHT
from tests.support import wait_until
from tests.telegram.bot_api import BotApi, flood, take
from tests.telegram.outgoing import Outgoing

MOST = 30
"""Messages that Telegram takes from a bot in any second (Bots FAQ)."""


async def busy(store: Store) -> SendRateLimiter:
    """The send rate of a bot that sent something a moment ago."""
    await store.call("SET", store.keys.pace("bot"), 0, "PX", 60_000)
    return SendRateLimiter(store)


async def free_at(store: Store, owner: str) -> int:
    """The stored time of the next slot, Unix ms."""
    return int(await store.call("GET", store.keys.pace(owner)) or 0)


async def test_the_first_message_goes_at_once(store: Store) -> None:
    slot = await (await busy(store)).acquire(1)

    assert (slot.granted, slot.seconds) == (True, 0.0)


async def test_slots_are_evenly_spaced(store: Store) -> None:
    limiter = await busy(store)
    times = []
    for chat in range(1, 11):
        assert (await limiter.acquire(chat)).granted
        times.append(await free_at(store, "bot"))

    assert min(later - earlier for earlier, later in pairwise(times)) == BOT_GAP_MS
    assert 1000 / BOT_GAP_MS < MOST - 1


async def test_a_chat_waits_for_its_own_slot_and_takes_none_of_the_bots(store: Store) -> None:
    limiter = await busy(store)
    await limiter.acquire(1)
    before = await free_at(store, "bot")

    slot = await limiter.acquire(1)

    assert (slot.granted, slot.chat_waits) == (False, True)
    assert 0.5 < slot.seconds <= CHAT_GAP_MS / 1000
    assert await free_at(store, "bot") == before


async def test_messages_that_wait_for_a_chat_get_places_one_after_the_other(store: Store) -> None:
    limiter = await busy(store)
    await limiter.acquire(1)

    ends = []
    for _ in range(5):
        assert (await limiter.acquire(1)).chat_waits
        ends.append(await free_at(store, "1:line"))

    assert [later - earlier for earlier, later in pairwise(ends)] == [CHAT_GAP_MS] * 4


async def test_a_group_waits_longer_and_delays_no_private_chat(store: Store) -> None:
    limiter = await busy(store)
    await limiter.acquire(-1)

    waits, again, other = await limiter.acquire(-1), await limiter.acquire(-1), await limiter.acquire(2)

    assert (waits.granted, waits.chat_waits, other.granted) == (False, True, True)
    assert CHAT_GAP_MS / 1000 < waits.seconds <= GROUP_GAP_MS / 1000
    assert again.seconds - waits.seconds > 2  # places are as far apart as messages
    assert 20 * GROUP_GAP_MS > 60_000


async def test_a_group_after_a_pause_makes_the_bot_wait_no_longer_than_a_private_chat(store: Store) -> None:
    slot = await SendRateLimiter(store).acquire(-1)

    assert slot.granted
    assert slot.seconds * 1000 < GROUP_GAP_MS / 2


async def test_no_slot_is_granted_that_is_far_away(store: Store) -> None:
    limiter = await busy(store)
    taken = unix_ms(utc_now()) + 20 * HORIZON_MS
    await store.call("SET", store.keys.pace("bot"), taken, "PX", 60_000)

    slot = await limiter.acquire(1)

    assert (slot.granted, slot.chat_waits) == (False, False)
    assert slot.seconds * 1000 > HORIZON_MS
    assert (await free_at(store, "bot"), await free_at(store, "1")) == (taken, 0)


async def test_a_chat_that_is_held_waits_and_no_other(store: Store) -> None:
    limiter = await busy(store)

    bot_waits = await limiter.hold(1, 30)

    held, other = await limiter.acquire(1), await limiter.acquire(2)
    assert (bot_waits, held.granted, held.chat_waits, other.granted) == (False, False, True, True)
    assert 29 < held.seconds <= 30


async def test_a_shorter_hold_does_not_end_a_longer_one(store: Store) -> None:
    limiter = await busy(store)
    await limiter.hold(1, 30)
    await limiter.hold(1, 1)

    assert (await limiter.acquire(1)).seconds > 29


async def test_three_chats_in_flood_hold_the_bot_whichever_workers_saw_them(store: Store) -> None:
    one, other = await busy(store), SendRateLimiter(store)

    holds = [await one.hold(1, 30), await other.hold(2, 30), await one.hold(2, 30), await other.hold(3, 20)]

    slot = await one.acquire(4)
    assert FLOODED_CHATS == 3
    assert holds == [False, False, False, True]
    assert (slot.granted, slot.chat_waits) == (False, False)
    assert 19 < slot.seconds <= 20


async def test_groups_in_flood_wait_each_for_itself(store: Store) -> None:
    limiter = await busy(store)

    holds = [await limiter.hold(group, 30) for group in (-1, -2, -3, -4)]

    held, other = await limiter.acquire(-1), await limiter.acquire(5)
    assert holds == [False] * 4
    assert (held.granted, held.chat_waits, other.granted) == (False, True, True)


async def test_a_flood_that_is_over_does_not_count(store: Store) -> None:
    limiter = await busy(store)
    await limiter.hold(1, 0.001)
    await limiter.hold(2, 0.001)
    await asyncio.sleep(0.01)  # the two floods' own time

    assert not await limiter.hold(3, 30)


async def test_after_a_loss_the_first_slot_is_later_than_all_that_may_have_been_granted(store: Store) -> None:
    """As after a fail-over: which slots were granted a moment ago is unknown."""
    slot = await SendRateLimiter(store).acquire(1)

    assert slot.granted
    assert slot.seconds * 1000 >= max(CHAT_GAP_MS, HORIZON_MS + BOT_GAP_MS)


def most_in_a_second(arrivals: list[float]) -> int:
    """The fullest second: what was in hand when the machine was busy arrives with what comes after it."""
    return max(sum(start <= at < start + 1 for at in arrivals) for start in arrivals)


@pytest.mark.parametrize("workers", [2, 3])
async def test_no_second_has_more_than_thirty_messages(outgoing: Outgoing, api: BotApi, workers: int) -> None:
    await outgoing.put(*range(1, 51))

    async with outgoing.delivering(workers):
        await wait_until(lambda: len(api.sent) == 50, "all have arrived")

    assert most_in_a_second([sent.at for sent in api.sent]) <= MOST + workers * IN_FLIGHT


async def test_no_second_has_more_when_the_send_rate_is_lost(outgoing: Outgoing, api: BotApi) -> None:
    await outgoing.put(*range(1, 56))

    async with outgoing.delivering(3):
        await wait_until(lambda: len(api.sent) >= 25, "half of them have arrived")
        pace = outgoing.store.keys.pace
        await outgoing.store.call("DEL", pace("bot"), *(pace(str(chat)) for chat in range(1, 56)))
        await wait_until(lambda: len(api.sent) == 55, "all have arrived")

    assert most_in_a_second([sent.at for sent in api.sent]) <= MOST + 3 * IN_FLIGHT


async def test_a_chat_gets_one_a_second(outgoing: Outgoing, api: BotApi) -> None:
    await outgoing.put_leads(*(RosterEntry(lead_id=lead, partner_chat_id=11) for lead in (1, 2)))
    await outgoing.put(*range(21, 31))

    async with outgoing.delivering(2):
        await wait_until(lambda: len(api.sent) == 12, "all have arrived")

    first, second = api.tried(11)
    assert second - first > 0.5  # on an idle machine a second: the first may arrive late


class StrictGroups:
    """Telegram's limit for groups: so many messages in any so many seconds; it answers what is more with 429."""

    def __init__(self, many: int, seconds: float) -> None:
        self._many = many
        self._seconds = seconds
        self.refused = 0

    async def answer(self, api: BotApi, chat_id: int, text: str) -> Response:
        """Take the message, unless its group has had too many."""
        since = time.monotonic() - self._seconds
        if chat_id < 0 and sum(sent.chat_id == chat_id and sent.at > since for sent in api.sent) >= self._many:
            self.refused += 1
            return await flood(1)(api, chat_id, text)
        return await take(api, chat_id, text)


async def test_groups_never_reach_telegrams_limit(outgoing: Outgoing, api: BotApi, soak: bool) -> None:
    """By two workers. The short form has a shorter minute: with a second between messages it refuses some, too."""
    limit = StrictGroups(20, 60.0) if soak else StrictGroups(3, 6.0)
    api.usual = limit.answer
    groups, many = (-1, -2, -3), 42 if soak else 4
    await outgoing.put_leads(
        *(RosterEntry(lead_id=100 * -group + lead, partner_chat_id=group) for group in groups for lead in range(many))
    )

    async with outgoing.delivering(2):
        await wait_until(lambda: len(api.sent) == many * len(groups), "all have arrived", 60 + many * 10.0)

    assert limit.refused == 0
    assert [len(api.texts(group)) for group in groups] == [many] * 3
