"""A person is forgotten: nothing is stored any more, what was on its way is never sent, and the counts are right."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from room_server import attendance_report
from room_server.clock import utc_now
from room_server.core.delivery import claim
from room_server.core.messages import DeliveryStatus
from room_server.core.room import RosterEntry, Status
from room_server.errors import Conflict, StateUnavailable, Unknown
from room_server.jobs.erasure import (
    LOOKUP_BATCH,
    Forgotten,
    KnownIn,
    StillRunning,
    forget,
    forget_in,
    webinars_of,
)
from room_server.jobs.evaluation import Evaluations
from room_server.state import roster, short_links, webinars
from room_server.state.outbox import FollowOn, Outbox
from room_server.state.records import LeadRecords
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.core import builders
from tests.core.builders import Hook
from tests.outage import own_redis
from tests.state.acts import servers
from tests.support import AT, few_at_once, room, settings_for, transactions

LEAD, OTHER = 4207001, 4207002
NAME, CHAT, PARTNER = "Zinaida Unmistakable", 7700700700, 8800800800
OVER = [f"over-{number}" for number in range(6)]
"""Webinars in several partitions, where there are some."""


def soon() -> int:
    """In an hour, Unix seconds."""
    return int(utc_now().timestamp()) + 3600


def entry(lead: int) -> RosterEntry:
    personal = {"name": NAME, "candidate_chat_id": CHAT, "partner_chat_id": PARTNER} if lead == LEAD else {}
    return RosterEntry(lead_id=lead, **personal)  # type: ignore[arg-type]


async def does(store: Store, name: str, hook: Hook, role: str = "system") -> None:
    await transactions(store).apply(builders.command(replace(hook, webinar_id=name), role, webinar_id="*"))


async def begin(store: Store, name: str, *leads: int) -> None:
    """A live webinar, these leads on its roster and in its room."""
    await transactions(store).create(room(name, status=Status.LIVE, started_at=AT, on_air_since=AT))
    await roster.import_roster(store, name, [entry(lead) for lead in leads], replace=False)
    for lead in leads:
        await does(store, name, builders.enter(lead))


async def finish(store: Store, name: str, *completing: int) -> None:
    """Over and evaluated; these leads stayed to the end."""
    await does(store, name, builders.stop(), "speaker")
    for lead in completing:
        await does(store, name, builders.complete(lead))
    await Evaluations(transactions(store)).run_pending(name)


async def live_through(store: Store) -> None:
    """Both leads were in every webinar; LEAD attended the first half of them. There is one planned, and one without."""
    for number, name in enumerate(OVER):
        await begin(store, name, LEAD, OTHER)
        await finish(store, name, OTHER, *([LEAD] if number < 3 else []))
    await transactions(store).create(room("planned"))
    await roster.import_roster(store, "planned", [entry(LEAD), entry(OTHER)], replace=False)
    await short_links.save(store, "planned", [LEAD, OTHER], soon())
    await begin(store, "without", OTHER)


async def mentions(state: State) -> list[str]:
    """Every place where the lead's number, name or chats stand, but for the tombstone."""
    personal = re.compile("|".join(map(str, (LEAD, NAME, CHAT, PARTNER))))
    async with servers(state) as clients:
        stored = {
            key.decode(): await contents(client, key)
            for client in clients
            for key in [key async for key in client.scan_iter(count=1000)]
        }
    named = [key for key, value in stored.items() if personal.search(key + repr(value))]
    return [key for key in named if not key.endswith(":forgotten")]


async def contents(client: Redis, key: bytes) -> Any:
    """All that stands at a key."""
    match await client.type(key):
        case b"hash":
            return await client.hgetall(key)
        case b"stream":
            return await client.xrange(key)
        case b"zset":
            return await client.zrange(key, 0, -1)
        case _:
            return await client.get(key)


async def tallies(store: Store, name: str) -> dict[str, int]:
    found = await store.call("HGETALL", store.keys.tally(name))
    return {counter.decode(): int(count) for counter, count in pairs(found)}


async def test_nothing_of_the_person_is_left_and_all_of_everyone_else(any_state: State) -> None:
    store = any_state.store
    await live_through(store)
    lines = {name: await attendance_report.attendance(store, name) for name in [*OVER, "planned", "without"]}
    assert len(await mentions(any_state)) > 10

    forgotten = await forget(any_state.store, LEAD)

    assert await mentions(any_state) == []
    assert (forgotten.entries, forgotten.participations) == (len(OVER) + 1, len(OVER))
    assert forgotten.messages == 3 * 2 + 3 * 3
    assert forgotten.events == 6 + 3 * 4 + 3 * 2
    for name, before in lines.items():
        assert await attendance_report.attendance(store, name) == [line for line in before if line.lead_id == OTHER]


async def test_the_counts_are_those_of_the_leads_that_are_left(any_state: State) -> None:
    store = any_state.store
    await begin(store, "alone", OTHER)
    await finish(store, "alone", OTHER)
    wanted = await tallies(store, "alone"), await webinars.delivery_counts(store)
    await store.delete("alone")
    await begin(store, "alone", LEAD, OTHER, LEAD + 2)
    await finish(store, "alone", OTHER, LEAD)
    await does(store, "alone", builders.complete(LEAD + 2))  # too late: kept, and not counted

    for lead in (LEAD, LEAD + 2):
        await forget(any_state.store, lead)

    left = {counter: count for counter, count in (await tallies(store, "alone")).items() if count}
    assert (left, await webinars.delivery_counts(store)) == wanted
    assert await webinars.evaluation_progress(store, "alone") == (1, 1)


async def test_a_persons_short_links_end_and_those_of_others_hold(any_state: State) -> None:
    store = any_state.store
    codes: dict[int, list[str]] = {LEAD: [], OTHER: []}
    for name in ("planned", "removed"):
        await transactions(store).create(room(name))
        await roster.import_roster(store, name, [entry(LEAD), entry(OTHER)], replace=False)
        for _ in range(2):
            for lead, code in (await short_links.save(store, name, [LEAD, OTHER], soon())).items():
                codes[lead].append(code)
    await roster.import_roster(store, "removed", [entry(OTHER)], replace=True)  # nothing but links is left of LEAD

    await forget(store, LEAD)

    assert [await short_links.find(store, code) for code in codes[LEAD]] == [None] * 4
    assert None not in [await short_links.find(store, code) for code in codes[OTHER]]
    assert await mentions(any_state) == []


async def test_a_second_time_there_is_nothing_to_forget(any_state: State) -> None:
    await live_through(any_state.store)
    await forget(any_state.store, LEAD)

    assert await webinars_of(any_state.store, LEAD) == []
    assert await forget(any_state.store, LEAD) == Forgotten()


async def test_one_webinar_may_be_named(any_state: State) -> None:
    store = any_state.store
    await live_through(store)

    assert await forget(any_state.store, LEAD, OVER[0]) == Forgotten(1, 1, 2, 5)
    assert await webinars_of(store, LEAD) == [
        *(KnownIn(name, Status.FINISHED) for name in OVER[1:]),
        KnownIn("planned", Status.SCHEDULED),
    ]
    assert [line.lead_id for line in await attendance_report.attendance(store, OVER[0])] == [OTHER]
    with pytest.raises(Unknown, match="there is no webinar nowhere"):
        await forget(any_state.store, LEAD, "nowhere")


async def test_events_of_a_webinar_that_is_gone_are_found(any_state: State) -> None:
    await begin(any_state.store, "gone", LEAD)
    await any_state.store.delete("gone")

    assert await forget(any_state.store, LEAD) == Forgotten(events=1)


@pytest.mark.parametrize("paused", [False, True])
async def test_a_lead_of_a_running_webinar_is_not_forgotten(any_state: State, paused: bool) -> None:
    store = any_state.store
    await live_through(store)
    await begin(store, "running", LEAD)
    if paused:
        await does(store, "running", builders.act("pause"))
    before = await mentions(any_state)

    with pytest.raises(StillRunning, match=f"running is running and knows lead {LEAD}"):
        await forget(any_state.store, LEAD)
    assert await mentions(any_state) == before
    assert (await forget(any_state.store, LEAD, OVER[0])).entries == 1


async def test_a_webinar_that_starts_during_the_erasure_is_not_touched(store: Store) -> None:
    """It was not running when the webinars were looked at."""
    await begin(store, "running", LEAD)

    with pytest.raises(StillRunning):
        await forget_in(store, LEAD, "running")
    assert (await store.load("running", LEAD)).participation is not None


async def test_queued_messages_of_a_forgotten_lead_are_never_sent(any_state: State) -> None:
    """A sender that has just read the record may no longer claim it, and its entry is nobody's."""
    store, outbox = any_state.store, Outbox(any_state.store)
    tag = store.keys.tag("w")
    await outbox.open(tag)
    await begin(store, "w", LEAD)
    await finish(store, "w", LEAD)
    entries = await outbox.read_new(tag, "sender", 10)
    held = await outbox.load("w", entries[0].field)
    assert held is not None
    assert await outbox.update("w", held, None, FollowOn(again_in=0.0))

    await forget(any_state.store, LEAD)

    wanted = claim(held.delivery, "sender", utc_now())
    assert await outbox.update("w", held, wanted, FollowOn()) is None
    assert await outbox.enqueue_due(tag) == 0
    assert await outbox.read_new(tag, "sender", 10) == []
    assert (await store.call("XPENDING", store.keys.outbox(tag), "senders"))["pending"] == 0
    assert await mentions(any_state) == []


async def sending(store: Store, lease: timedelta) -> None:
    """A message that is just being sent."""
    await begin(store, "w", LEAD)
    await finish(store, "w", LEAD)
    held = await Outbox(store).load("w", f"{LEAD}:attendance")
    assert held is not None
    wanted = replace(held.delivery, status=DeliveryStatus.SENDING, owner="sender", lease_until=utc_now() + lease)
    assert await Outbox(store).update("w", held, wanted, FollowOn())


async def test_a_message_that_is_being_sent_is_waited_for(state: State) -> None:
    await sending(state.store, timedelta(seconds=60))
    outbox = Outbox(state.store)
    forgetting = asyncio.create_task(forget(state.store, LEAD))
    ended, _ = await asyncio.wait([forgetting], timeout=0.3)
    assert ended == set()
    held = await outbox.load("w", f"{LEAD}:attendance")
    assert held is not None, "nothing was deleted yet"

    assert await outbox.update("w", held, replace(held.delivery, status=DeliveryStatus.SENT, message_id=1), FollowOn())

    assert (await forgetting).messages == 2
    assert await mentions(state) == []


async def test_a_message_of_a_worker_that_died_ends_with_its_lease(state: State) -> None:
    await sending(state.store, timedelta(seconds=0.5))

    assert (await forget(state.store, LEAD)).messages == 2
    assert await webinars.delivery_counts(state.store) == {}


async def test_a_message_that_stays_in_sending_is_an_error(store: Store) -> None:
    await sending(store, timedelta(seconds=60))

    with pytest.raises(StateUnavailable, match="sent again and again; stop the workers"):
        await forget_in(store, LEAD, "w", seconds=0.2)


async def test_records_that_cannot_be_read_go_like_the_others(any_state: State) -> None:
    store, keys = any_state.store, any_state.store.keys
    await transactions(store).create(room("w", status=Status.FINISHED, started_at=AT, finished_at=AT))
    for key, field in ((keys.participations("w"), LEAD), (keys.deliveries("w"), f"{LEAD}:attendance")):
        await store.call("HSET", key, field, b"{")

    assert await forget(any_state.store, LEAD) == Forgotten(participations=1, messages=1)
    assert await tallies(store, "w") == {}


async def test_a_lead_of_many_webinars_is_found_in_all(store: Store) -> None:
    names = [f"w-{number:03}" for number in range(2 * LOOKUP_BATCH + 1)]
    await few_at_once(transactions(store).create(room(name)) for name in names)
    for name in (names[0], names[LOOKUP_BATCH], names[-1]):
        await roster.import_roster(store, name, [entry(LEAD)], replace=False)

    assert [place.webinar_id for place in await webinars_of(store, LEAD)] == [names[0], names[LOOKUP_BATCH], names[-1]]


async def test_an_evaluation_that_read_the_lead_before_restores_no_record(any_state: State) -> None:
    """Its sweep has read the lead before it was forgotten."""
    store = any_state.store
    await begin(store, "w", LEAD, OTHER)
    await does(store, "w", builders.stop(), "speaker")
    keys = store.keys
    roster_entry = await store.call("HGET", keys.roster("w"), LEAD)
    participation = await store.call("HGET", keys.participations("w"), LEAD)
    loaded = store.with_records("w", await store.load("w"), LeadRecords(b"%d" % LEAD, participation, roster_entry))

    await forget(any_state.store, LEAD)
    hook = replace(builders.evaluate(LEAD), webinar_id="w")
    await transactions(store).apply(builders.command(hook, webinar_id="*"), loaded)

    assert await mentions(any_state) == []


async def test_a_completion_decided_before_the_erasure_restores_no_record(any_state: State) -> None:
    store = any_state.store
    await begin(store, "w", LEAD, OTHER)
    await does(store, "w", builders.stop(), "speaker")
    stored = [await store.call("HGET", key("w"), LEAD) for key in (store.keys.participations, store.keys.roster)]
    loaded = store.with_records("w", await store.load("w"), LeadRecords(b"%d" % LEAD, *stored))

    await forget(store, LEAD)
    hook = replace(builders.complete(LEAD), webinar_id="w")
    with pytest.raises(Conflict, match="never entered"):
        await transactions(store).apply(builders.command(hook, webinar_id="*"), loaded)

    assert await mentions(any_state) == []


async def test_without_redis_it_is_refused_and_may_be_repeated() -> None:
    async with own_redis() as server, open_state(settings_for(server.url)) as state:
        await begin(state.store, "w", LEAD)
        await finish(state.store, "w", LEAD)
        server.freeze()
        with pytest.raises(StateUnavailable):
            await forget(state.store, LEAD)
        server.thaw()

        assert (await forget(state.store, LEAD)).entries == 1


async def test_a_reply_that_was_lost_is_given_again(store: Store) -> None:
    await begin(store, "w", LEAD)
    await finish(store, "w", LEAD)
    keys, tag = store.keys, store.keys.tag("w")
    webinars_of = [
        *(keys.done("w", "id"), keys.room("w"), keys.roster("w"), keys.participations("w")),
        *(keys.deliveries("w"), keys.tally("w"), keys.links("w"), keys.fates(tag), keys.due(tag), keys.watch("w")),
    ]
    script, arguments = Script.read("forget"), [60, "w", LEAD, f"{LEAD}:attendance", f"{LEAD}:follow_up"]
    replies = [await store.run(script, webinars_of, arguments) for _ in range(2)]

    assert replies == [[b"forgotten", 1, 1, 2]] * 2
    assert set((await tallies(store, "w")).values()) == {0}
