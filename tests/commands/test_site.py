"""`room-server site …` beside a running worker and a real site."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.site.receiver import SECRET, Heard, SiteReceiver, answer, site_receiver, take
from tests.site.sending import Sending, known, sending
from tests.support import wait_until
from tests.terminal import Terminal

REFUSED = "client_webinar_entered:demo:2"


@pytest.fixture
async def heard() -> AsyncIterator[SiteReceiver]:
    """A site that takes everything, unless told otherwise."""
    async with site_receiver() as running:
        yield running


@pytest.fixture
async def events(valkey_url: str, heard: SiteReceiver) -> AsyncIterator[Sending]:
    """A live webinar, and a site."""
    async with sending(valkey_url, heard) as running:
        yield running


async def site(events: Sending, *words: str, status: int = 0, url: str = "") -> str:
    """What the command prints; its exit status must be this one. It runs beside the worker, in a thread of its own."""
    made = events.settings
    environment = {
        "ROOM_SERVER_SITE_EVENTS_SECRET": SECRET,
        "ROOM_SERVER_SITE_EVENTS_URL": url or made.site_events_url,
    }
    result = await asyncio.to_thread(Terminal(str(made.redis_url)).run, "site", *words, **environment)
    assert result.exit_code == status, result.output
    return result.output


async def park(events: Sending) -> None:
    """The site refuses one event of three for ever; it is parked, and the others are taken."""
    events.site.refusals.append(REFUSED)
    async with events.delivering():
        await events.enter(3)
        for refusals in range(1, 10):
            await events.until(refusals=refusals)
            await events.later(1300)
        await events.heard("client_webinar_entered:demo:3")


async def test_what_is_parked_is_shown_and_sent_again_when_the_site_is_mended(events: Sending) -> None:
    await park(events)
    shown = await site(events, "status")
    assert f"{events.site.url}: ok; 0 events wait; 1 is parked; last answer " in shown
    assert f"  parked: {REFUSED} (HTTP 422)" in shown

    events.site.refusals.clear()
    assert await site(events, "retry") == f"{events.site.url}: on, and tried at once; sent again: 1 parked\n"
    async with events.delivering():
        await events.heard(REFUSED)
    (told,) = json.loads(await site(events, "status", "--json"))
    assert (told["url"], told["state"], told["lag"], told["parked"], told["sent"]) == (events.site.url, "ok", 0, 0, 3)


async def test_what_is_parked_can_be_skipped_one_by_one_or_all(events: Sending) -> None:
    await park(events)

    assert await site(events, "skip", "--event", "none:of:these") == (f"{events.site.url}: never sent: 0 parked\n")
    assert await site(events, "skip", events.site.url, "--event", REFUSED) == (
        f"{events.site.url}: never sent: 1 parked\n"
    )
    assert await site(events, "skip") == f"{events.site.url}: never sent: 0 parked\n"


async def test_a_receiver_that_is_gone_is_off_until_it_is_switched_on(events: Sending) -> None:
    events.site.next.append(answer(410))
    async with events.delivering():
        first = await events.enter(2)
        await events.until(state="off")
        await events.later(30 * 24 * 3600)
        assert ": OFF for " in await site(events, "status")
        switched = f"{events.site.url}: on, and tried at once; sent again: 0 parked\n"
        assert await site(events, "retry", events.site.url) == switched
        await events.heard(*first)

    assert len(events.site.requests) >= 2


async def test_what_waits_can_be_left_out(events: Sending) -> None:
    events.site.next.append(answer(410))
    async with events.delivering():
        await events.enter(2)
        await events.until(state="off")
    assert await site(events, "skip", "--waiting") == (f"{events.site.url}: never sent: 0 parked and 2 waiting\n")
    await site(events, "retry")
    async with events.delivering():
        ids = await events.enter(1)
        await events.heard(*ids)

    assert events.site.ids == ids


async def test_a_receiver_can_be_forgotten(events: Sending) -> None:
    await (await known(events.store, events.site.url)).release(events.tag)
    assert await site(events, "skip", events.site.url, "--forget") == (
        f"{events.site.url}: forgotten; 0 events waited, 0 were parked\n"
    )
    for words in (("status",), ("retry",), ("skip",)):
        assert (await site(events, *words)).startswith("no receiver has a place")


async def test_a_receiver_that_a_worker_has_in_its_settings_is_not_forgotten(events: Sending) -> None:
    events.site.usual = answer(503)
    async with events.delivering():
        await events.enter(2)
        await events.until(state="waiting")
        kept = f"{events.site.url}: not forgotten: a worker that runs has it in ROOM_SERVER_SITE_EVENTS_URL\n"
        assert await site(events, "skip", "--forget") == kept
        assert await site(events, "skip", events.site.url, "--forget", status=1) == f"Error: {kept}"
        assert (await events.standing()).lag == 2
    assert "forgotten; 2 events waited" in await site(events, "skip", "--forget")


async def test_a_retry_in_the_middle_of_a_request_loses_nothing(events: Sending) -> None:
    """The worker stores its outcome on what the operator made of the progress."""
    answering = asyncio.Event()

    async def wait_and_take(receiver: SiteReceiver, request: Heard, writer: asyncio.StreamWriter) -> None:
        await answering.wait()
        await take(receiver, request, writer)

    events.site.next.append(wait_and_take)
    async with events.delivering():
        ids = await events.enter(1)
        await wait_until(lambda: events.site.requests, "it is being sent")
        await site(events, "retry")
        answering.set()
        await events.heard(*ids)
        await events.until(sent=1)

    assert len(events.site.requests) == 1


async def test_a_test_tells_in_one_sentence_what_the_receiver_answers(events: Sending) -> None:
    url = events.site.url
    taken = await site(events, "test")
    events.site.next.extend([answer(401), answer(301), answer(200, b"<html>"), answer(404), answer(500)])

    assert taken.startswith(f"{url} takes events: HTTP 200, after ")
    said = [await site(events, "test", url, status=1) for _ in range(5)]
    assert said == [
        f"{url} does not take events: HTTP 401; is ROOM_SERVER_SITE_EVENTS_SECRET the same there?\n",
        f"{url} does not take events: HTTP 301; redirects are not followed: set the address that it leads to\n",
        f"{url} does not take events: HTTP 200, a page of HTML; a receiver answers without a page: is the address "
        "right?\n",
        f"{url} does not take events: HTTP 404; is the address right, and is the receiver there switched on?\n",
        f"{url} does not take events: HTTP 500\n",
    ]
    (event,) = events.site.table.values()
    assert event["id"] == f"core_site_checked:{event['data']['nonce']}"
    assert (event["type"], event["webinar_id"], event["actor"]["role"]) == ("core_site_checked", None, "system")


async def test_an_unknown_receiver_and_a_missing_setting_are_named(events: Sending) -> None:
    await known(events.store, events.site.url)

    for words in (("retry", "https://x.example"), ("skip", "https://x.example"), ("test", "https://x.example")):
        said = await site(events, *words, status=1)
        assert said == f"Error: no receiver has this URL; known: {events.site.url}\n"
    assert await site(events, "test", url=" ", status=1) == (
        "Error: ROOM_SERVER_SITE_EVENTS_URL is not set: there is nobody to send to\n"
    )
    assert "--event is for one event alone" in await site(events, "skip", "--event", "x", "--waiting", status=2)
