"""Events to the site: in order, each at least once, one request at a time, whatever the site answers."""

import asyncio

from room_server.core.site_delivery import MOST
from tests.site.receiver import answer, half, slow, take_and_crash
from tests.site.sending import Sending
from tests.support import wait_until


async def test_the_site_hears_every_event_in_order(events: Sending) -> None:
    async with events.delivering():
        ids = await events.enter(250)
        await events.heard(*ids)

    assert events.site.ids == await events.in_stream()
    assert max(len(request.events) for request in events.site.requests) <= MOST
    assert (await events.standing()).progress.sent == 250


async def test_a_new_receiver_hears_from_its_first_start_on(events: Sending) -> None:
    before = await events.enter(3)
    async with events.delivering():
        ids = await events.enter(2)
        await events.heard(*ids)

    assert not events.site.table.keys() & set(before)


async def test_what_came_while_no_worker_ran_is_heard(events: Sending) -> None:
    async with events.delivering():
        pass
    ids = await events.enter(3)
    async with events.delivering():
        await events.heard(*ids)

    assert events.site.ids == ids


async def test_an_event_has_the_form_of_the_contract(events: Sending) -> None:
    async with events.delivering():
        (name,) = await events.enter(1)
        await events.heard(name)
    (request,) = events.site.requests
    (event,) = request.events

    assert list(event) == ["id", "type", "timestamp", "webinar_id", "actor", "data"]
    assert (event["id"], event["type"], event["webinar_id"]) == (name, "client_webinar_entered", "demo")
    assert event["actor"]["role"] == "system"
    assert event["data"]["lead_id"] == 1
    assert request.headers[":first"] == "POST /events HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("room-server/")


async def test_a_repeat_has_the_same_ids_and_a_fresh_time(events: Sending) -> None:
    """The site took it, and crashed before it could say so."""
    events.site.next.append(take_and_crash)
    async with events.delivering():
        ids = await events.enter(1)
        await events.until(state="waiting")
        await events.later(7)
        await events.until(state="ok", sent=1)
    first, second = events.site.requests

    assert (first.id, first.body) == (second.id, second.body)
    assert events.site.ids == ids


async def test_two_workers_send_one_request_at_a_time_and_keep_the_order(events: Sending) -> None:
    events.site.usual = slow(0.02)
    async with events.delivering(workers=2):
        for _ in range(5):
            ids = await events.enter(20)
        await events.heard(*ids)

    assert events.site.most_open == 1
    assert events.site.ids == await events.in_stream()


async def test_half_an_answer_is_none(events: Sending) -> None:
    events.site.next.append(half)
    async with events.delivering():
        await events.enter(1)
        standing = await events.until(state="waiting")
        await events.later(7)
        await events.until(state="ok", sent=1)

    assert standing.progress.answer.startswith("RemoteProtocolError")


async def test_a_worker_that_stops_waits_for_the_answer_that_is_on_its_way(events: Sending) -> None:
    events.site.next.append(slow(0.5))
    async with events.delivering():
        await events.enter(1)
        await wait_until(lambda: events.site.requests, "it is being sent")

    assert (await events.standing()).progress.sent == 1


async def test_a_worker_that_stops_leaves_a_site_that_does_not_answer(events: Sending) -> None:
    events.site.next.append(slow(3600))
    async with events.delivering():
        ids = await events.enter(1)
        await wait_until(lambda: events.site.requests, "it is being sent")
    async with asyncio.timeout(30), events.delivering():
        await events.heard(*ids)

    assert len({request.id for request in events.site.requests}) == 1


async def test_an_event_that_is_refused_for_ever_is_found_parked_and_the_others_go_on(events: Sending) -> None:
    async with events.delivering():
        events.site.next.append(answer(503))
        await events.enter(1)
        await events.until(state="waiting")
        events.site.refusals.append("client_webinar_entered:demo:38")
        ids = await events.enter(100)
        await events.later(7)
        for refusals in range(1, 10):
            await events.until(refusals=refusals)
            await events.later(1300)
        await events.heard(*(name for name in ids if name not in events.site.refusals))
        await events.until(state="ok")

    standing = await events.standing()
    assert standing.parked == 1
    assert standing.progress.sent == 100
    assert events.site.ids == [name for name in await events.in_stream() if name not in events.site.refusals]
