"""Messages while no replica confirms anything: nothing is sent, nothing counts as a try, and then each is sent once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial

import pytest

from room_server.clock import utc_now
from room_server.core.delivery import LEASE
from room_server.errors import StateUnavailable
from room_server.state.outbox import Outbox, OutboxEntry
from room_server.state.startup import open_state
from room_server.telegram.dispatch import Dispatch
from room_server.telegram.sender import Sender, open_sender
from tests.proxy import proxy_to
from tests.replicas import Pair, pair
from tests.support import PATIENCE, eventually, settings_for, wait_until
from tests.telegram.bot_api import TOKEN, BotApi
from tests.telegram.outgoing import Outgoing, telegram_of

CLAIM = b'"status":"sending"'
CHATS = (11, 12, 13)
LONG = 4 * PATIENCE
"""Seconds: what a worker could not handle is taken up again after eight."""


@pytest.fixture
async def servers() -> AsyncIterator[Pair]:
    """A primary and its replica."""
    async with pair() as opened:
        yield opened


@pytest.fixture
async def outgoing(servers: Pair, api: BotApi) -> AsyncIterator[Outgoing]:
    """Messages on the primary, seen without waiting for a replica; its workers wait for one."""
    settings = settings_for(servers.primary.url, telegram_token=TOKEN, telegram_base_url=api.url)
    async with open_state(settings) as state:
        yield Outgoing(settings, state, api)


async def waiting(outgoing: Outgoing) -> list[OutboxEntry]:
    """What is on the stream, left there for the workers."""
    tag = outgoing.store.keys.tags[0]
    lines = await outgoing.store.call("XRANGE", outgoing.store.keys.urgent(tag), "-", "+")
    said = [
        (number, {name.decode(): value.decode() for name, value in dict(fields).items()}) for number, fields in lines
    ]
    return [OutboxEntry(tag, number.decode(), each["webinar"], each["field"]) for number, each in said]


async def is_handled(dispatch: Dispatch, entry: OutboxEntry) -> bool:
    """Whether what the record asks for could be done."""
    try:
        await dispatch.handle(entry)
    except StateUnavailable:
        return False
    return True


class Clock:
    """A time of day that the test sets forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


async def test_a_minute_without_replicas_costs_no_message_a_try(outgoing: Outgoing, servers: Pair, api: BotApi) -> None:
    """Several leases long, with one look at each message in every lease."""
    await outgoing.put(*CHATS)
    entries, clock = await waiting(outgoing), Clock()
    servers.replica.freeze()
    async with open_state(settings_for(servers.primary.url, replicas=1)) as state, asyncio.timeout(6 * PATIENCE):
        dispatch = Dispatch(Outbox(state.store), telegram_of(state.store, Sender(None)), "w", clock)
        for _ in range(4):
            looks = await asyncio.gather(*map(dispatch.handle, entries), return_exceptions=True)
            assert {type(look) for look in looks} == {StateUnavailable}
            clock.ahead += 2 * LEASE
    kept = [await outgoing.record(lead) for lead in CHATS]
    servers.replica.thaw()
    async with outgoing.delivering(replicas=1):
        sent = [await outgoing.until(lead, "sent", LONG) for lead in CHATS]

    assert len(entries) == len(CHATS)
    assert {(record.status, record.attempts, record.doubts) for record in kept} == {("queued", 0, 0)}
    assert {(record.attempts, record.doubts) for record in sent} == {(1, 0)}
    assert sorted(tried.chat_id for tried in api.tries) == list(CHATS)


async def test_a_claim_that_no_replica_has_is_taken_back(outgoing: Outgoing, servers: Pair, api: BotApi) -> None:
    """The replica goes just before the claim. Nothing was sent by it, so it was no try and is not in doubt."""
    async with (
        proxy_to(servers.primary.url) as proxy,
        outgoing.delivering(replicas=1, redis_url=proxy.url),
    ):
        claim = proxy.hold(CLAIM)
        await outgoing.put(11)
        async with asyncio.timeout(PATIENCE):
            await claim.arrived.wait()
        servers.replica.freeze()
        claim.released.set()
        claimed = await outgoing.until(11, "sending")
        taken_back = await outgoing.until(11, "queued")
        tried = len(api.tries)
        servers.replica.thaw()
        sent = await outgoing.until(11, "sent", LONG)

    assert (claimed.attempts, taken_back.attempts, taken_back.doubts, tried) == (1, 0, 0, 0)
    assert (sent.attempts, sent.doubts, len(api.tries)) == (1, 0, 1)


async def test_a_sender_that_dies_with_such_a_claim_leaves_a_doubt_and_one_message(
    outgoing: Outgoing, servers: Pair, api: BotApi
) -> None:
    """Nobody is left who knows that nothing was sent."""
    await outgoing.put(11)
    (entry,) = await waiting(outgoing)
    async with (
        proxy_to(servers.primary.url) as proxy,
        open_state(settings_for(proxy.url, replicas=1)) as state,
        open_sender(outgoing.settings) as sender,
    ):
        claim, clock = proxy.hold(CLAIM), Clock()
        dispatch = Dispatch(Outbox(state.store), telegram_of(state.store, sender), "w", clock)
        dying = asyncio.create_task(dispatch.handle(entry))
        async with asyncio.timeout(PATIENCE):
            await claim.arrived.wait()
        servers.replica.freeze()
        claim.released.set()
        await outgoing.until(11, "sending")
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        servers.replica.thaw()
        clock.ahead = 2 * LEASE
        await eventually(partial(is_handled, dispatch, entry), "the replica is back")
    doubted = await outgoing.record(11)
    async with outgoing.delivering(replicas=1):
        sent = await outgoing.until(11, "sent", LONG)
        await wait_until(lambda: api.sent, "it has arrived")

    assert (doubted.status, doubted.doubts) == ("doubtful", 1)
    assert (sent.doubts, len(api.tries)) == (1, 1)
