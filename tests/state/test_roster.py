"""A roster is imported as a whole or not at all, and read in slices."""

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from redis import Redis as BlockingRedis

from room_server.core.room import RosterEntry
from room_server.errors import StateUnavailable, Unknown
from room_server.state.commits import unix_ms
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.roster import BATCH, STAGED_SECONDS, ImportResult, entries, import_roster
from room_server.state.startup import State
from room_server.state.store import Store
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.proxy import proxy_to
from tests.state.acts import another, everything, prepare


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

    assert imported == ImportResult(before=0, now=3, removed=0)
    assert await roster(any_store) == leads(range(1, 4))


async def test_a_second_import_updates_and_removes_no_lead(any_store: Store) -> None:
    await prepare(any_store)
    await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)
    imported = await import_roster(any_store, WEBINAR, leads(range(3, 6), "New"), replace=False)

    assert imported == ImportResult(before=3, now=5, removed=0)
    assert await roster(any_store) == leads(range(1, 3)) + leads(range(3, 6), "New")


async def test_a_replacement_removes_all_other_leads(any_store: Store) -> None:
    await prepare(any_store)
    await import_roster(any_store, WEBINAR, leads(range(1, 4)), replace=False)
    imported = await import_roster(any_store, WEBINAR, leads(range(3, 6), "New"), replace=True)

    assert imported == ImportResult(before=3, now=3, removed=2)
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

    assert await import_roster(any_store, WEBINAR, many, replace=False) == ImportResult(before=0, now=20_000, removed=0)
    assert await roster(any_store) == many
    assert (await import_roster(any_store, WEBINAR, many[:100], replace=True)).removed == 19_900


async def test_an_entry_is_stored_as_the_commit_compares_it(any_store: Store) -> None:
    await prepare(any_store)
    await import_roster(any_store, WEBINAR, [builders.entry()], replace=False)
    stored = await any_store.call("HGETALL", any_store.keys.roster(WEBINAR))

    assert dict(pairs(stored)) == {str(builders.LEAD).encode(): msgspec.json.encode(builders.entry())}
    assert (await any_store.load(WEBINAR, builders.LEAD)).entry == builders.entry()
