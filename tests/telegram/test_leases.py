"""The lease of a sender whose clock is ahead of the others', or that was alive before a clock was set back."""

from datetime import timedelta

from msgspec.structs import replace
from starlette.responses import Response

from room_server.clock import utc_now
from room_server.core.delivery import LEASE, claim, look_again
from room_server.state.outbox import FollowOn, OutboxEntry
from room_server.telegram.dispatch import Dispatch
from room_server.telegram.sender import Sender
from tests.telegram.bot_api import BotApi, take
from tests.telegram.outgoing import Outgoing, telegram_of

HOUR = timedelta(hours=1)


async def entry_of(outgoing: Outgoing) -> OutboxEntry:
    """The one message that there is, in the hand of a reader."""
    tag = outgoing.store.keys.tags[0]
    await outgoing.outbox.open(tag)
    (entry,) = await outgoing.outbox.read_new(tag, "w0", 10)
    return entry


async def test_the_lease_of_a_worker_whose_clock_was_ahead_is_cut_to_a_whole_one(outgoing: Outgoing) -> None:
    await outgoing.put(11)
    entry = await entry_of(outgoing)
    stored = await outgoing.outbox.load("w", "11:attendance")
    assert stored is not None
    assert await outgoing.outbox.update("w", stored, claim(stored.delivery, "dead", utc_now() + HOUR), FollowOn())

    await Dispatch(outgoing.outbox, telegram_of(outgoing.store, Sender(None)), "w0").handle(entry)

    current = await outgoing.record(11)
    keys, tag = outgoing.store.keys, outgoing.store.keys.tags[0]
    ((_, due),) = await outgoing.store.call("ZRANGE", keys.due(tag), 0, -1, "WITHSCORES")
    assert (current.status, current.owner) == ("sending", "dead")
    assert current.lease_until is not None
    assert current.lease_until - utc_now() <= LEASE
    assert float(due) / 1000 - utc_now().timestamp() <= LEASE.total_seconds()


async def test_a_living_sender_whose_lease_was_cut_still_tells_its_outcome(outgoing: Outgoing, api: BotApi) -> None:
    """Its clock is ahead: to another worker, which looked meanwhile, its lease seemed to end in an hour."""

    async def take_and_be_cut(api: BotApi, chat_id: int, text: str) -> Response:
        for ahead in (HOUR, timedelta()):
            current = await outgoing.outbox.load("w", "11:attendance")
            assert current is not None
            assert current.delivery.lease_until is not None
            longer = replace(current.delivery, lease_until=current.delivery.lease_until + ahead)
            assert await outgoing.outbox.update("w", current, look_again(longer, utc_now()).delivery, FollowOn())
        return await take(api, chat_id, text)

    api.next[11].append(take_and_be_cut)
    await outgoing.put(11)

    async with outgoing.delivering():
        sent = await outgoing.until(11, "sent")

    assert (sent.attempts, sent.doubts, len(api.texts(11))) == (1, 0, 1)
