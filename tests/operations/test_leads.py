"""Leads are registered, withdrawn and forgotten: whole, counted, and whatever else happens at the same moment."""

import asyncio

from msgspec.structs import replace

from room_server.core.registration import Lead
from room_server.core.room import RosterEntry
from room_server.core.site_hooks import ForgetLead, RegisterLeads, WithdrawLeads
from room_server.jobs import erased_entries
from room_server.operations import leads
from room_server.operations.leads import Forgotten, Registered, Withdrawn
from room_server.state import roster
from room_server.state.redis.pipeline import pairs
from room_server.state.store import Store
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.state.acts import done, prepare
from tests.support import OPERATOR, transactions


async def register(store: Store, *people: Lead, webinar_id: str = WEBINAR) -> Registered:
    return await leads.register(transactions(store), OPERATOR, RegisterLeads(webinar_id=webinar_id, leads=people))


async def stored(store: Store) -> dict[int, RosterEntry]:
    return {entry.lead_id: entry async for entry in roster.entries(store, WEBINAR)}


async def test_leads_are_added_and_changed_and_what_stands_is_a_duplicate(any_store: Store) -> None:
    await prepare(any_store)
    anna, ivan = Lead(lead_id=1, name="Анна", candidate_chat_id=5), Lead(lead_id=2)

    assert await register(any_store, anna, ivan) == Registered(WEBINAR, False, 2, 0, [])
    assert await register(any_store, anna, ivan) == Registered(WEBINAR, True, 0, 0, [])
    assert await register(any_store, ivan, replace(anna, name="Anna")) == Registered(WEBINAR, False, 0, 1, [])


async def test_registrations_at_once_lose_nobody_and_no_field(any_store: Store) -> None:
    await prepare(any_store)
    single = [Lead(lead_id=number, name=str(number)) for number in range(1, 5)]
    answers = await asyncio.gather(
        *(register(any_store, one) for one in single),
        register(any_store, Lead(lead_id=9, candidate_chat_id=5)),
        register(any_store, Lead(lead_id=9, partner_chat_id=6)),
    )

    assert sum(answer.added for answer in answers) == 5
    assert (await stored(any_store)).keys() == {1, 2, 3, 4, 9}
    assert (await stored(any_store))[9] == RosterEntry(lead_id=9, candidate_chat_id=5, partner_chat_id=6)


async def test_forgotten_leads_are_left_out_and_named(any_store: Store) -> None:
    await prepare(any_store, "scheduled")
    await leads.forget(transactions(any_store), OPERATOR, ForgetLead(lead_id=1))

    assert await register(any_store, Lead(lead_id=1), Lead(lead_id=2)) == Registered(WEBINAR, False, 1, 0, [1])
    assert await register(any_store, Lead(lead_id=1)) == Registered(WEBINAR, True, 0, 0, [1])


async def test_who_has_entered_is_not_withdrawn(any_store: Store) -> None:
    await prepare(any_store)
    await register(any_store, Lead(lead_id=1), Lead(lead_id=2))
    await done(any_store, builders.enter(2))
    hook = WithdrawLeads(webinar_id=WEBINAR, lead_ids=(1, 2, 3))
    answers = [await leads.withdraw(transactions(any_store), OPERATOR, hook) for _ in range(2)]

    assert answers == [Withdrawn(WEBINAR, False, [1], [2]), Withdrawn(WEBINAR, True, [], [2])]


async def test_a_person_is_forgotten_at_once_and_by_the_streams_when_the_worker_comes(any_store: Store) -> None:
    await prepare(any_store)
    for lead in (1, 2):
        await done(any_store, builders.enter(lead))
    await done(any_store, builders.stop())
    hook = ForgetLead(lead_id=1)
    answers = [await leads.forget(transactions(any_store), OPERATOR, hook) for _ in range(2)]

    assert answers == [Forgotten(None, False, 1, [WEBINAR]), Forgotten(None, True, 1, [])]
    assert (await any_store.load(WEBINAR, 1)).participation is None
    assert (await any_store.load(WEBINAR, 2)).participation is not None
    tag = any_store.keys.tag(WEBINAR)
    assert await erased_entries.erase_queued(any_store, tag) == {1: 1, 2: 0}
    assert await erased_entries.erase_queued(any_store, tag) == {}
    rows = await any_store.call("XRANGE", any_store.keys.events(tag), "-", "+")
    assert [b'"lead_id":1,' in dict(pairs(fields))[b"payload"] for _, fields in rows] == [False] * 2
