"""A roster is imported as a whole or not at all, and read in slices."""

import asyncio
import time
from collections.abc import Iterator

import msgspec
import pytest
from redis import Redis as BlockingRedis

from room_server.core.registration import Lead
from room_server.core.room import RosterEntry
from room_server.errors import StateUnavailable, Unknown
from room_server.jobs.evaluation import Evaluations
from room_server.state import short_links
from room_server.state.commits import unix_ms
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.roster import (
    BATCH,
    STAGED_SECONDS,
    ImportResult,
    RosterChanged,
    Withdrawal,
    entries,
    import_roster,
    withdraw,
)
from room_server.state.startup import State
from room_server.state.store import Store
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.proxy import proxy_to
from tests.state.acts import another, done, everything, prepare
from tests.support import transactions


def leads(numbers: range, name: str = "Lead") -> list[RosterEntry]:
    """An entry for each number."""
    return [RosterEntry(lead_id=number, name=f"{name} {number}", candidate_chat_id=-number) for number in numbers]


async def roster(store: Store) -> list[RosterEntry]:
    """All entries, by lead; one that is read twice counts once."""
    found = {entry.lead_id: entry async for entry in entries(store, WEBINAR)}
    return [found[lead] for lead in sorted(found)]


async def staged(store: Store) -> dict[str, int]:
    """The staged parts of imports, each with its time to live in seconds."""
    found = await store.call("KEYS", "rs:*:staged:*")
    return {key.decode(): await store.call("TTL", key.decode()) for key in found}


async def test_imported_leads_are_read(any_store: Store) -> None:
    await prepare(any_store)
    imported = await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)

    assert imported == ImportResult(before=0, now=3, added=3)
    assert await roster(any_store) == leads(range(1, 4))


async def test_a_second_import_updates_and_removes_no_lead(any_store: Store) -> None:
    await prepare(any_store)
    await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)
    imported = await import_roster(any_store, WEBINAR, leads(range(3, 6), "New"), replace=False)

    assert imported == ImportResult(before=3, now=5, added=2, updated=1)
    assert await roster(any_store) == leads(range(1, 3)) + leads(range(3, 6), "New")


async def test_a_replacement_removes_all_other_leads(any_store: Store) -> None:
    await prepare(any_store)
    await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)
    imported = await import_roster(any_store, WEBINAR, leads(range(3, 6), "New"), replace=True)

    assert imported == ImportResult(before=3, now=3, removed=2, added=2, updated=1)
    assert await roster(any_store) == leads(range(3, 6), "New")


async def test_a_replacement_by_no_leads_empties_the_roster(any_store: Store) -> None:
    await prepare(any_store)
    await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)

    assert await import_roster(any_store, WEBINAR, [], replace=True) == ImportResult(before=3, now=0, removed=3)
    assert await roster(any_store) == []


async def test_an_import_of_no_leads_changes_nothing(any_state: State) -> None:
    await prepare(any_state.store)
    await import_roster(any_state.store, WEBINAR, leads(range(1, 4)), replace=False)
    before = await everything(any_state)

    assert await import_roster(any_state.store, WEBINAR, [], replace=False) == ImportResult(before=3, now=3, removed=0)
    assert await everything(any_state) == before


async def test_without_a_webinar_nothing_is_stored(any_state: State) -> None:
    with pytest.raises(Unknown):
        await import_roster(any_state.store, WEBINAR, leads(range(1, 4)), replace=False)

    assert set(await everything(any_state)) == {"rs:partitions"}


async def test_an_incomplete_import_changes_nothing_and_its_parts_expire(store: Store) -> None:
    await prepare(store)
    await import_roster(store, WEBINAR, leads(range(1, 4)), replace=False)

    def broken() -> Iterator[RosterEntry]:
        yield from leads(range(10, 10 + 2 * BATCH))
        raise OSError("the file ended")

    with pytest.raises(OSError, match="the file ended"):
        await import_roster(store, WEBINAR, broken(), replace=True)

    assert await roster(store) == leads(range(1, 4))
    assert [STAGED_SECONDS - 5 < seconds <= STAGED_SECONDS for seconds in (await staged(store)).values()] == [True]


async def test_staged_leads_always_have_a_time_to_live(store: Store) -> None:
    """The time to live is set in the same step, so a connection that breaks after it leaves nothing for ever."""
    staging, key = Script.read("stage_roster"), store.keys.staged(WEBINAR, "token")

    assert await store.run(staging, [key], [60, 1, "one", 2, "two"]) == 2
    assert await store.run(staging, [key], [60, 2, "two", 3, "three"]) == 3
    assert 0 < await store.call("TTL", key) <= 60


async def test_leads_that_were_lost_on_their_way_in_are_noticed(state: State) -> None:
    """As after a fail-over to a server without the last writes."""
    store = state.store
    await prepare(store)
    await import_roster(store, WEBINAR, leads(range(1, 4)), replace=False)

    def forgotten() -> Iterator[RosterEntry]:
        yield from leads(range(10, 10 + 2 * BATCH))
        with BlockingRedis.from_url(state.url) as server:
            server.delete(*server.keys("rs:*:staged:*"))
        yield from leads(range(10 + 2 * BATCH, 10 + 3 * BATCH))

    with pytest.raises(StateUnavailable, match="import again"):
        await import_roster(store, WEBINAR, forgotten(), replace=True)

    assert await roster(store) == leads(range(1, 4))
    assert await staged(store) == {}


@pytest.mark.parametrize("replace", [False, True], ids=["merged", "replaced"])
async def test_a_lost_reply_is_no_second_import(state: State, replace: bool) -> None:
    """The retry gets the same result, and changes since the first try stay."""
    store, adopting = state.store, Script.read("import_roster")
    await prepare(store)
    await import_roster(store, WEBINAR, leads(range(1, 4)), replace=False)
    await store.call("SCRIPT LOAD", adopting.text)
    async with proxy_to(state.url) as proxy, another(proxy.url) as far:
        proxy.lose_reply_to(adopting.sha.encode())
        again = proxy.hold(adopting.sha.encode())
        first = asyncio.create_task(import_roster(far, WEBINAR, leads(range(3, 6)), replace))
        await again.arrived.wait()
        await import_roster(store, WEBINAR, leads(range(1, 3), "Later"), replace=True)
        again.released.set()
        imported = await first

    assert (imported.before, imported.removed) == (3, 2 if replace else 0)
    assert await roster(store) == leads(range(1, 3), "Later")


@pytest.mark.parametrize("status", ["draft", "scheduled", "live", "paused"])
async def test_before_the_end_an_import_schedules_no_evaluation(any_store: Store, status: str) -> None:
    await prepare(any_store, status)
    await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)

    assert await due(any_store) is None


@pytest.mark.parametrize("status", ["finished", "archived"])
async def test_after_the_end_new_leads_are_evaluated(any_store: Store, status: str) -> None:
    await prepare(any_store, status)
    before = unix_ms(builders.NOW)
    await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)

    assert (await due(any_store) or 0) > before


async def test_an_evaluation_that_waits_for_the_grace_is_not_made_sooner(any_store: Store) -> None:
    await prepare(any_store, "finished")
    later = 9_000_000_000_000
    await any_store.call("ZADD", any_store.keys.evaluations(any_store.keys.tag(WEBINAR)), later, WEBINAR)
    await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)

    assert (await due(any_store) or 0) >= later


async def due(store: Store) -> float | None:
    """When the evaluation is due, Unix milliseconds."""
    found: float | None = await store.call("ZSCORE", store.keys.evaluations(store.keys.tag(WEBINAR)), WEBINAR)
    return found


async def test_many_leads_are_imported_and_read_to_the_last(any_store: Store) -> None:
    await prepare(any_store)
    many = leads(range(1, 20_001))

    assert await import_roster(any_store, WEBINAR, many, replace=False) == ImportResult(0, 20_000, added=20_000)
    assert await roster(any_store) == many
    assert (await import_roster(any_store, WEBINAR, many[:100], replace=True)).removed == 19_900


async def test_an_entry_is_stored_as_the_commit_compares_it(any_store: Store) -> None:
    await prepare(any_store)
    await import_roster(any_store, WEBINAR, [builders.entry()], replace=False)
    stored = await any_store.call("HGETALL", any_store.keys.roster(WEBINAR))

    assert dict(pairs(stored)) == {str(builders.LEAD).encode(): msgspec.json.encode(builders.entry())}
    assert (await any_store.load(WEBINAR, builders.LEAD)).entry == builders.entry()


async def test_what_stands_already_is_counted_as_nothing_and_schedules_no_evaluation(any_store: Store) -> None:
    await prepare(any_store, "finished")
    await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)
    at = await due(any_store)
    again = await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)

    assert again == ImportResult(before=3, now=3)
    assert await due(any_store) == at


@pytest.mark.parametrize("replace", [False, True])
async def test_what_is_not_said_of_a_lead_stays(any_store: Store, replace: bool) -> None:
    await prepare(any_store)
    await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)
    said = [Lead(lead_id=1, locale="en"), Lead(lead_id=2), Lead(lead_id=3, name=None), Lead(lead_id=4, name="New")]
    imported = await import_roster(any_store, WEBINAR, said, replace)

    assert imported == ImportResult(before=3, now=4, added=1, updated=2)
    assert await roster(any_store) == [
        RosterEntry(lead_id=1, name="Lead 1", candidate_chat_id=-1, locale="en"),
        RosterEntry(lead_id=2, name="Lead 2", candidate_chat_id=-2),
        RosterEntry(lead_id=3, candidate_chat_id=-3),
        RosterEntry(lead_id=4, name="New"),
    ]


@pytest.mark.parametrize("known", [0, 3])
async def test_an_import_that_was_made_of_an_older_roster_changes_nothing(state: State, known: int) -> None:
    store, taking = state.store, Script.read("import_roster")
    await prepare(store)
    await import_roster(store, WEBINAR, leads(range(1, known + 1)), replace=False)
    await store.call("SCRIPT LOAD", taking.text)
    async with proxy_to(state.url) as proxy, another(proxy.url) as far:
        held = proxy.hold(taking.sha.encode())
        overtaken = asyncio.create_task(import_roster(far, WEBINAR, [Lead(lead_id=1, locale="en")], replace=False))
        await held.arrived.wait()
        await import_roster(store, WEBINAR, leads(range(1, 2), "Other"), replace=False)
        held.released.set()
        with pytest.raises(RosterChanged):
            await overtaken

    assert await roster(store) == leads(range(1, 2), "Other") + leads(range(2, known + 1))
    assert await staged(store) == {}


async def test_leads_are_withdrawn_with_their_short_links_and_who_has_entered_stays(any_store: Store) -> None:
    await prepare(any_store)
    await import_roster(any_store, WEBINAR, leads(range(1, 5)), replace=False)
    codes = await short_links.save(any_store, WEBINAR, [1, 2], int(time.time()) + 60)
    await done(any_store, builders.enter(2))
    await done(any_store, builders.enter(9))

    assert await withdraw(any_store, WEBINAR, [1, 2, 3, 7, 9]) == Withdrawal(removed=(1, 3), kept=(2, 9))
    assert [entry.lead_id for entry in await roster(any_store)] == [2, 4]
    assert [await short_links.find(any_store, codes[lead]) is None for lead in (1, 2)] == [True, False]
    assert await withdraw(any_store, WEBINAR, [1, 2, 3, 7]) == Withdrawal(removed=(), kept=(2,))


async def test_a_lead_that_only_clicked_is_withdrawn_and_not_evaluated(any_store: Store) -> None:
    await transactions(any_store).create(builders.visible("live"))
    await import_roster(any_store, WEBINAR, leads(range(1, 3)), replace=False)
    await done(any_store, builders.click(1))
    assert await withdraw(any_store, WEBINAR, [1]) == Withdrawal(removed=(1,), kept=())
    await done(any_store, builders.stop())
    await Evaluations(transactions(any_store)).run_pending(WEBINAR)

    assert (await any_store.load(WEBINAR, 1)).participation is None
    assert await any_store.call("HGET", any_store.keys.tally(WEBINAR), "classified") == b"1"


async def test_nobody_is_withdrawn_from_a_webinar_that_is_not_there(any_store: Store) -> None:
    with pytest.raises(Unknown):
        await withdraw(any_store, WEBINAR, [1])


async def test_a_lost_reply_is_no_second_withdrawal(state: State) -> None:
    store, script = state.store, Script.read("withdraw")
    await prepare(store)
    await import_roster(store, WEBINAR, leads(range(1, 4)), replace=False)
    await store.call("SCRIPT LOAD", script.text)
    async with proxy_to(state.url) as proxy, another(proxy.url) as far:
        proxy.lose_reply_to(script.sha.encode())
        assert await withdraw(far, WEBINAR, [1, 2, 8]) == Withdrawal(removed=(1, 2), kept=())
