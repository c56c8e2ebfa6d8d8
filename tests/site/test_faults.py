"""Sites that misbehave, each a real HTTP server that does so, and a worker that outlasts them. Hours are handed in."""

import logging

import pytest

from room_server.core.decision_types import Command
from room_server.core.messages import Entered
from room_server.core.room import Status
from room_server.jobs.erasure import forget
from room_server.state.redis.pipeline import pairs
from room_server.state.site_events import standings
from tests.cluster import free_ports
from tests.conftest import CLUSTER_PARTITIONS
from tests.core.builders import stop
from tests.site.receiver import Behaviour, Heard, SiteReceiver, answer, half, site_receiver, take, take_and_crash
from tests.site.sending import HOUR, Sending, known, sending
from tests.state.acts import done
from tests.support import AT, OPERATOR, eventually, room, transactions, wait_until

DAY = 24 * HOUR


async def test_a_site_that_is_down_for_an_hour_gets_everything_in_order(valkey_url: str) -> None:
    (port,) = free_ports(1)
    async with sending(valkey_url, SiteReceiver(f"http://127.0.0.1:{port}/events")) as events, events.delivering():
        ids = await events.enter(150)
        for failures, pause in enumerate((6, 36, 144, 720, 2160), 1):  # each a fifth more than the contract's
            await events.until(failures=failures)
            await events.later(pause)
        standing = await events.until(failures=6)
        assert standing.progress.answer.startswith("ConnectError")
        async with site_receiver(port) as site:
            events.site = site
            await events.later(1.2 * HOUR)
            await events.heard(*ids)
        assert site.ids == ids


@pytest.mark.parametrize(
    "behaviour",
    [
        answer(500),
        answer(401),
        answer(404),
        answer(301, location="/elsewhere"),
        answer(200, b"<!doctype html><h1>We will be back soon"),
        half,
        take_and_crash,
    ],
)
async def test_what_is_no_yes_is_sent_again_and_nothing_overtakes_it(events: Sending, behaviour: Behaviour) -> None:
    events.site.next.extend([behaviour] * 3)
    async with events.delivering():
        first = await events.enter(2)
        for failures, pause in ((1, 6), (2, 36), (3, 144)):
            await events.until(failures=failures)
            await events.enter(1)
            await events.later(pause)
        await events.heard(*first, "client_webinar_entered:demo:5")
        standing = await events.until(state="ok")

    assert events.site.ids == await events.in_stream()
    assert len({request.id for request in events.site.requests[:4]}) == 1
    assert standing.progress.answers["failed"] == 3


async def test_a_site_that_asks_for_time_gets_it(events: Sending) -> None:
    events.site.next.append(answer(429, retry_after="120"))
    async with events.delivering():
        ids = await events.enter(1)
        standing = await events.until(failures=1)
        assert 110_000 < standing.progress.due - standing.now <= 120_000
        await events.later(60)
        await eventually(lambda: still(events, 1), "it waits")
        await events.later(61)
        await events.heard(*ids)


async def still(events: Sending, requests: int) -> bool:
    """Whether there were so many requests, and the worker has looked again since."""
    key = events.store.keys.receiver(events.tag, (await events.standing()).receiver)
    before = await events.store.call("HGET", key, "lease")

    async def looked() -> bool:
        return bool(await events.store.call("HGET", key, "lease") != before)

    await eventually(looked, "the worker looks")
    return len(events.site.requests) == requests


async def test_a_site_that_takes_small_requests_only_gets_all(events: Sending) -> None:
    async def at_most_ten(site: SiteReceiver, request: Heard, writer: object) -> None:
        await (take if len(request.events) <= 10 else answer(413))(site, request, writer)  # type: ignore[arg-type]

    events.site.next.append(answer(503))
    events.site.usual = at_most_ten
    async with events.delivering():
        await events.enter(1)
        await events.until(state="waiting")
        ids = await events.enter(120)
        await events.later(7)
        await events.heard(*ids)
        standing = await events.until(state="ok")

    assert events.site.ids == await events.in_stream()
    assert standing.parked == 0


async def test_a_site_that_is_gone_is_off_at_once_and_loudly(events: Sending, caplog: pytest.LogCaptureFixture) -> None:
    events.site.next.append(answer(410))
    async with events.delivering():
        await events.enter(3)
        standing = await events.until(state="off")
        await events.later(DAY)
        assert await eventually(lambda: still(events, 1), "nothing more is sent")

    assert standing.lag == 3
    (line,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "takes no events (HTTP 410) and is switched off" in line.getMessage()


async def test_after_three_days_without_a_yes_the_site_is_off_and_its_place_is_kept(
    events: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    events.site.usual = answer(503)
    async with events.delivering():
        await events.enter(3)
        await events.until(failures=1)
        await events.later(DAY)
        await events.until(failures=2)
        await events.later(2 * DAY)
        standing = await events.until(state="off")
        assert standing.lag == 3
        assert "is switched off" in caplog.text
        events.site.usual = take
        await events.later(DAY)
        assert await eventually(lambda: still(events, 3), "nothing more is sent")


async def test_the_schedule_outlasts_the_workers(events: Sending) -> None:
    events.site.usual = answer(503)
    async with events.delivering():
        await events.enter(1)
        for failures, pause in ((1, 6), (2, 36), (3, 144)):
            await events.until(failures=failures)
            await events.later(pause)
        before = await events.until(failures=4)
    for _ in range(2):
        async with events.delivering():
            await eventually(lambda: still(events, 4), "nothing is sent before its time")
    after = await events.standing()

    assert after.progress == before.progress


async def test_what_the_stream_lost_before_the_site_came_back_is_counted_and_told(
    events: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    events.site.usual = answer(503)
    async with events.delivering():
        await events.enter(150)
        await events.until(state="waiting")
        await events.store.call("XTRIM", events.store.keys.events(events.tag), "MAXLEN", 20)
        left = await events.in_stream()
        events.site.usual = take
        await events.later(4 * HOUR)
        await events.heard(*left)
        standing = await events.until(state="ok")

    assert (events.site.ids, standing.lost, standing.progress.gone) == (left, 130, 0)
    told = [record.getMessage() for record in caplog.records if "were cut off by the bound" in record.getMessage()]
    assert sum(int(text.split()[0]) for text in told) == 130


async def test_an_event_of_a_forgotten_lead_is_not_sent(events: Sending) -> None:
    """It was handed out before it was erased; another one was parked."""
    events.site.usual = answer(503)
    async with events.delivering():
        await events.enter(3)
        await events.until(state="waiting")
        await done(events.store, stop())
        await forget(events.store, 2)
        events.site.usual = take
        await events.later(4 * HOUR)
        await events.heard("client_webinar_entered:demo:1", "client_webinar_entered:demo:3")
        standing = await events.until(state="ok")

    assert "client_webinar_entered:demo:2" not in events.site.table
    assert (standing.progress.gone, standing.lost) == (1, 0)


async def test_nothing_is_sent_that_replicas_do_not_have(events: Sending, caplog: pytest.LogCaptureFixture) -> None:
    """A fail-over could undo it, and the site would know of what never was. The first worker sees no replica."""
    await known(events.store, events.site.url)
    ids = await events.enter(3)
    await events.later(11)  # no worker has the lease any more
    async with events.delivering(replicas=1):
        await wait_until(lambda: "events for the site wait" in caplog.text, "it is told")
        await eventually(lambda: handed_out(events), "the events are handed out")
        assert await eventually(lambda: still(events, 0), "nothing is sent")
    async with events.delivering():
        await events.heard(*ids)


async def handed_out(events: Sending) -> bool:
    """Whether a worker has events in its hand."""
    (group,) = await events.store.call("XINFO", "GROUPS", events.store.keys.events(events.tag))
    return bool(dict(pairs(group))[b"pending"])


async def test_on_a_cluster_each_webinar_is_heard_in_order(cluster_url: str, heard: SiteReceiver) -> None:
    async with sending(cluster_url, heard, partitions=CLUSTER_PARTITIONS) as events:
        names = [f"w{number}" for number in range(20)]
        for name in names:
            await transactions(events.store).create(room(name, status=Status.LIVE, started_at=AT, on_air_since=AT))
        async with events.delivering(workers=2):
            await eventually(lambda: everywhere(events), "the site has its place in each partition")
            for lead in range(1, 6):
                for name in names:
                    hook = Entered(webinar_id=name, lead_id=lead, timestamp=lead)
                    await transactions(events.store).apply(Command(id=f"{name}-{lead}", actor=OPERATOR, hook=hook))
            await events.heard(*(f"client_webinar_entered:{name}:{lead}" for name in names for lead in range(1, 6)))

    for name in names:
        told = [event["data"]["lead_id"] for event in heard.table.values() if event["webinar_id"] == name]
        assert told == [1, 2, 3, 4, 5]
    for request in heard.requests:
        assert len({events.store.keys.tag(event["webinar_id"]) for event in request.events}) == 1


async def everywhere(events: Sending) -> bool:
    return len(await standings(events.store)) == CLUSTER_PARTITIONS
