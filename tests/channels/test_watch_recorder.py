"""Watch time as the hub observes it: who was seen, when, and what of it is stored; on real sockets and a real Redis."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection

from room_server.clock import utc_now
from room_server.core import watch_time
from room_server.core.room import Room, Status
from room_server.state.watch import Broadcast
from tests.support import Site, eventually, next_state, room, serving, settings_for, state_where, wait_until

MINUTES = timedelta(minutes=10)


def on_air(**more: Any) -> Room:
    """A webinar that has been live for ten minutes: 120 slots."""
    since = utc_now() - MINUTES
    return room(status=Status.LIVE, started_at=since, on_air_since=since, **more)


@pytest.fixture
async def live(site: Site) -> Site:
    """A site whose webinar `w` is live."""
    await site.transactions.create(on_air())
    return site


async def stored(site: Site, lead_id: int = 42) -> list[int]:
    """The slots of the lead in Redis."""
    bitmap = await site.store.call("HGET", site.store.keys.watch("w"), lead_id)
    slots = watch_time.from_bytes(bitmap or b"")
    return [slot for slot in range(slots.bit_length()) if slots >> slot & 1]


async def flushed(site: Site, lead_id: int = 42) -> list[int]:
    """The same after a flush."""
    await site.inside.watch.flush()
    return await stored(site, lead_id)


async def answered(socket: ClientConnection) -> None:
    """The server has heard this peer."""
    await (await socket.ping())


def now_on_air() -> int:
    """The slot of this moment in `on_air`."""
    return watch_time.slot_at(MINUTES / timedelta(milliseconds=1))


async def test_a_lead_is_seen_from_its_opening_until_it_was_heard_last(live: Site) -> None:
    async with live.socket() as socket:
        await next_state(socket)
        assert await flushed(live) == []  # it may have vanished since
        await answered(socket)
        seen = await flushed(live)

    assert seen
    assert seen[0] in {now_on_air(), now_on_air() + 1}
    assert seen == list(range(seen[0], seen[-1] + 1))


async def test_who_leaves_with_a_word_is_seen_and_who_vanishes_is_not(live: Site) -> None:
    async with live.socket() as socket, live.socket(claims={"sub": "43"}) as vanishing:
        await asyncio.gather(next_state(socket), next_state(vanishing))
        await socket.close()
        vanishing.transport.abort()
        await wait_until(lambda: not live.inside.admission.total, "both are gone")

    assert (bool(await flushed(live, 42)), await flushed(live, 43)) == (True, [])


async def test_receipts_prove_that_somebody_is_there(live: Site) -> None:
    async with live.socket() as socket:
        await next_state(socket)
        await live.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})

        async def is_seen() -> bool:
            return bool(await flushed(live))

        await eventually(is_seen, "the receipt of the change was taken for it")


async def test_tabs_and_processes_count_once(live: Site) -> None:
    async with serving(live.settings) as other, live.socket() as one, live.socket() as tab, other.socket() as far:
        for socket in (one, tab, far):
            await next_state(socket)
            await answered(socket)
        here = await flushed(live)
        everywhere = await flushed(other)

    assert 1 <= len(here) <= 3
    assert everywhere[0] == here[0]
    assert len(everywhere) <= len(here) + 2


@pytest.mark.parametrize("role", ["speaker", "organizer", "moderator", "system"])
async def test_only_leads_are_seen(live: Site, role: str) -> None:
    async with live.socket(role) as socket:
        await next_state(socket)
        await answered(socket)
        await live.inside.watch.flush()

    assert await live.store.call("EXISTS", live.store.keys.watch("w")) == 0


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.PAUSED, Status.FINISHED])
async def test_nobody_is_seen_off_the_air(site: Site, status: Status) -> None:
    begun = status is not Status.SCHEDULED
    await site.transactions.create(
        replace(on_air(), status=status, on_air_since=None, on_air_ms=600_000, started_at=utc_now() if begun else None)
    )
    async with site.socket() as socket:
        await next_state(socket)
        await answered(socket)
        assert await flushed(site) == []


async def test_who_waits_for_the_start_is_seen_from_the_start_on(site: Site) -> None:
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)
        await answered(socket)
        await site.status("start")
        await state_where(socket, status="live")
        await answered(socket)
        assert (await flushed(site))[0] == 0


async def test_who_reads_the_state_without_a_socket_is_seen_in_that_slot(live: Site) -> None:
    assert (await live.state("attendee")).status_code == 200
    first = await flushed(live)
    tag = (await live.state("attendee")).headers["etag"]
    assert (await live.state("attendee", **{"If-None-Match": tag})).status_code == 304
    second = await flushed(live)

    assert len(first) == 1
    assert first[0] in {now_on_air(), now_on_air() + 1}
    assert len(second) <= 2


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.FINISHED])
async def test_reading_the_state_off_the_air_is_nothing(site: Site, status: Status) -> None:
    await site.transactions.create(room(status=status))
    assert (await site.state("attendee")).status_code == 200

    assert await flushed(site) == []


async def test_a_flush_comes_by_itself_every_few_seconds(live: Site) -> None:
    async with live.socket() as socket:
        await next_state(socket)
        await answered(socket)
        await eventually(lambda: stored(live), "it was stored")


async def test_the_stop_flushes_at_once_and_again_when_its_receipts_are_in(live: Site) -> None:
    """The receipts of the stop prove who was there until then."""
    async with live.socket() as socket:
        await next_state(socket)
        await answered(socket)
        await live.status("stop")
        await eventually(lambda: stored(live), "it was stored")
        assert live.inside.watch.pause() <= 1.0


async def test_a_process_that_ends_stores_what_it_saw(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url)) as site:
        await site.transactions.create(on_air())
        async with serving(site.settings) as ending:
            socket = await ending.socket()
            await next_state(socket)
            await answered(socket)
        await socket.wait_closed()
        assert await stored(site)


async def test_a_flush_that_fails_is_made_up_for(live: Site) -> None:
    """Redis refuses for a while; nothing of what was seen meanwhile is lost or counted twice."""
    async with live.socket() as socket:
        await next_state(socket)
        await answered(socket)
        await live.raw.config_set("maxmemory", "1")
        await live.inside.watch.flush()
        waiting = live.inside.hub.seen.leads
        await live.raw.config_set("maxmemory", "0")
        await answered(socket)

        assert waiting == 1
        assert await flushed(live)
        assert live.inside.hub.seen.leads == 0


async def test_leads_that_wait_to_be_stored_are_in_the_metrics(live: Site) -> None:
    live.inside.hub.seen.add(Broadcast("w", utc_now()), 1, 1)
    before = live.inside.watch.metrics()
    await live.inside.watch.flush()
    after = live.inside.watch.metrics()

    assert before["room_server_watch_pending_leads",] == 1
    assert after["room_server_watch_pending_leads",] == 0
    assert after["room_server_watch_flush_seconds", "sum"] > before["room_server_watch_flush_seconds", "sum"]
