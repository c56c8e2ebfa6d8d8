"""Messages about a plan, from the outbox to the chat: what is not so any more is not sent, however far it had come."""

import asyncio
from datetime import timedelta
from typing import Any

from room_server.clock import utc_now
from room_server.core.decision_types import Command
from room_server.core.messages import Actor, Entered, Inbound, Role, SetStatus
from room_server.core.planning import PlanWebinar
from room_server.core.room import Room, RosterEntry
from room_server.ids import new_id
from room_server.jobs.announcements import Announcements
from room_server.operations import webinars
from room_server.state.roster import import_roster, withdraw
from room_server.telegram import texts
from tests.proxy import proxy_to
from tests.support import OPERATOR, PATIENCE, eventually, transactions, wait_until
from tests.telegram.bot_api import BotApi, take_slowly
from tests.telegram.outgoing import Outgoing


async def plan(outgoing: Outgoing, **fields: Any) -> Room:
    """The webinar after this plan; what is due is queued."""
    await webinars.plan(transactions(outgoing.store), OPERATOR, PlanWebinar(webinar_id="w", **fields))
    await Announcements(outgoing.store).run_due(outgoing.store.keys.tag("w"))
    room = (await outgoing.store.load("w")).room
    assert room is not None
    return room


async def ended(outgoing: Outgoing, lead: int, name: str) -> tuple[str, str | None]:
    """Status and error of a message once it has come to its end."""

    async def is_over() -> bool:
        stored = await outgoing.outbox.load("w", f"{lead}:{name}")
        return stored is not None and stored.delivery.status not in {"queued", "sending"}

    await eventually(is_over, "it has ended")
    stored = await outgoing.outbox.load("w", f"{lead}:{name}")
    assert stored is not None
    return stored.delivery.status.value, stored.delivery.error


async def prepare(outgoing: Outgoing, leads: range = range(1, 4)) -> Room:
    standing = await plan(outgoing, title="Webinar", scheduled_at=utc_now() + timedelta(days=1, hours=2))
    entries = [RosterEntry(lead_id=lead, candidate_chat_id=10 + lead) for lead in leads]
    await import_roster(outgoing.store, "w", entries, replace=False)
    return standing


async def test_a_new_time_is_told_with_the_time_in_the_readers_zone(outgoing: Outgoing, api: BotApi) -> None:
    await prepare(outgoing)
    moved = await plan(outgoing, scheduled_at=utc_now() + timedelta(days=3))
    async with outgoing.delivering():
        assert await ended(outgoing, 1, "moved") == ("sent", None)
        await wait_until(lambda: len(api.sent) == 3, "all are told")

    assert api.texts(11) == [f"📅 Участник, у вебинара «Webinar» новое время: {texts.when(moved.scheduled_at)}."]


async def test_what_was_queued_for_an_older_time_is_not_sent(outgoing: Outgoing, api: BotApi) -> None:
    await prepare(outgoing)
    await plan(outgoing, scheduled_at=utc_now() + timedelta(days=3))
    await plan(outgoing, scheduled_at=utc_now() + timedelta(days=4), silent=True)
    async with outgoing.delivering():
        results = [await ended(outgoing, lead, "moved") for lead in (1, 2, 3)]

    assert (results, api.tries) == ([("undeliverable", "outdated")] * 3, [])


async def test_a_lead_that_was_withdrawn_hears_no_more_of_it(outgoing: Outgoing, api: BotApi) -> None:
    await prepare(outgoing)
    await plan(outgoing, scheduled_at=utc_now() + timedelta(days=3))
    await withdraw(outgoing.store, "w", [2])
    async with outgoing.delivering():
        results = [await ended(outgoing, lead, "moved") for lead in (1, 2, 3)]

    assert [status for status, _ in results] == ["sent", "undeliverable", "sent"]
    assert sorted(sent.chat_id for sent in api.tries) == [11, 13]


async def test_once_a_plan_has_changed_nobody_hears_of_the_old_one(outgoing: Outgoing, api: BotApi) -> None:
    """Also those whose messages were claimed, and waited for their slot, at that moment."""
    api.usual = take_slowly
    await prepare(outgoing, range(1, 61))
    first = await plan(outgoing, scheduled_at=utc_now() + timedelta(days=3))
    async with outgoing.delivering(workers=2):
        await wait_until(lambda: len(api.tries) > 5, "some are told")
        second = await plan(outgoing, scheduled_at=utc_now() + timedelta(days=4))
        changed = len(api.tries)

        async def all_know() -> bool:
            await Announcements(outgoing.store).run_due(outgoing.store.keys.tag("w"))  # those that were being sent
            found = [one.delivery async for one in outgoing.outbox.deliveries("w")]
            return all(one.status == "sent" and one.planned_at == second.scheduled_at for one in found)

        await eventually(all_know, "all know the last time")

    late = [sent for sent in api.tries[changed + 8 :] if texts.when(first.scheduled_at) in sent.text]
    assert late == []


async def test_a_reminder_says_how_long_it_is_until_then_when_it_is_sent(outgoing: Outgoing, api: BotApi) -> None:
    await prepare(outgoing)
    await plan(outgoing, remind=("24h",))
    key = outgoing.store.keys.announcements(outgoing.store.keys.tag("w"))
    await outgoing.store.call("ZADD", key, 0, "w reminder_24h")
    await Announcements(outgoing.store).run_due(outgoing.store.keys.tag("w"))
    async with outgoing.delivering():
        await wait_until(lambda: len(api.sent) == 3, "all are reminded")

    assert {text.partition(":")[0] for text in api.texts(11)} == {"⏰ Участник, вебинар «Webinar» начнётся через 26 ч"}


CLAIM = b'"kind":"arrival","status":"sending"'
SPEAKER = Actor(role=Role.SPEAKER, subject="speaker", webinar_id="w")


async def apply(outgoing: Outgoing, actor: Actor, hook: Inbound) -> None:
    await transactions(outgoing.store).apply(Command(id=new_id(), actor=actor, hook=hook))


async def enter(outgoing: Outgoing, *leads: int) -> None:
    """The webinar starts, and the leads enter."""
    await apply(outgoing, SPEAKER, SetStatus(webinar_id="w", status="start"))
    for lead in leads:
        await apply(outgoing, OPERATOR, Entered(webinar_id="w", lead_id=lead, timestamp=1))


async def with_partners(outgoing: Outgoing, *entries: RosterEntry) -> None:
    """These leads are registered, and their partners are told that they come."""
    await prepare(outgoing, range(0))
    await import_roster(outgoing.store, "w", entries, replace=False)
    await plan(outgoing, tell_arrivals=True)


async def test_after_the_end_no_partner_hears_that_somebody_is_there(outgoing: Outgoing, api: BotApi) -> None:
    """A group gets 20 messages a minute, so what tells it who has come may still wait at the end."""
    await with_partners(outgoing, *(RosterEntry(lead_id=lead, partner_chat_id=-9) for lead in (1, 2)))
    await enter(outgoing, 1, 2)
    async with outgoing.delivering():
        await wait_until(lambda: api.texts(-9), "the group hears of the first")
        await apply(outgoing, SPEAKER, SetStatus(webinar_id="w", status="stop"))
        results = [await ended(outgoing, lead, "arrival") for lead in (1, 2)]

    assert sorted(results) == [("sent", None), ("undeliverable", "outdated")]
    assert len(api.tries) == 1


async def test_nor_one_whose_message_was_made_before_the_end_and_waited_for_its_moment(
    outgoing: Outgoing, api: BotApi, valkey_url: str
) -> None:
    await with_partners(outgoing, RosterEntry(lead_id=1, partner_chat_id=11))
    async with proxy_to(valkey_url) as proxy, outgoing.delivering(redis_url=proxy.url):
        claim = proxy.hold(CLAIM)
        await enter(outgoing, 1)
        async with asyncio.timeout(PATIENCE):
            await claim.arrived.wait()
        await apply(outgoing, SPEAKER, SetStatus(webinar_id="w", status="stop"))
        claim.released.set()
        result = await ended(outgoing, 1, "arrival")

    assert (result, api.tries) == (("undeliverable", "outdated"), [])


async def test_urgent_messages_go_before_all_others(outgoing: Outgoing, api: BotApi) -> None:
    """A partner does not wait for what ten thousand leads are told."""
    await prepare(outgoing, range(1, 101))
    await plan(outgoing, scheduled_at=utc_now() + timedelta(days=3))
    await import_roster(outgoing.store, "w", [RosterEntry(lead_id=200, partner_chat_id=999)], replace=False)
    await plan(outgoing, tell_arrivals=True)
    async with outgoing.delivering():
        await wait_until(lambda: len(api.tries) > 3, "it has begun")
        await enter(outgoing, 200)
        before = len(api.tries)
        await wait_until(lambda: 999 in [sent.chat_id for sent in api.tries], "the partner knows")
        after = [sent.chat_id for sent in api.tries].index(999)

    assert after - before <= 12
