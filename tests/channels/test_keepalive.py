"""Time limits of sockets: the rules with times handed in, the timer wheel, and both on real connections."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf

import pytest

from room_server.channels.keepalive import Bucket, Deadlines, Due, Limits, TimerWheel
from room_server.errors import CloseCode
from tests.channels.test_socket import change
from tests.raw import CLOSE, PING, PONG, TEXT, in_room, masked
from tests.support import PATIENCE, Site, next_state, room, serving, settings_for, state_where, wait_until
from tests.timelapse import timelapse

LIMITS = Limits(stall_seconds=20.0)


@pytest.mark.parametrize(
    ("deadlines", "seconds", "due"),
    [
        (Deadlines(100), 24.9, None),
        (Deadlines(100), 25, Due.PING),
        (Deadlines(100, pinged=True), 44.9, None),
        (Deadlines(100, pinged=True), 45, Due.ABORT),
        (Deadlines(100, behind_since=110), 29.9, None),  # no ping: it would wait in the buffer
        (Deadlines(100, behind_since=110), 30, Due.ABORT),
        (Deadlines(100, close_at=103), 2.9, None),
        (Deadlines(100, close_at=103), 3, CloseCode.RESTART),
        (Deadlines(100, close_at=103, behind_since=100), 20, Due.ABORT),
    ],
)
def test_what_is_due(deadlines: Deadlines, seconds: float, due: Due | CloseCode | None) -> None:
    """Silence: a ping after 25 s, the end 20 s later. A peer that does not read: 20 s."""
    assert deadlines.due(100 + seconds, LIMITS, inf) == due


@pytest.mark.parametrize("token_seconds", [0, -5])
def test_a_socket_is_closed_when_its_token_expires(token_seconds: float) -> None:
    assert Deadlines(100).due(101, LIMITS, token_seconds) is CloseCode.TOKEN_EXPIRED
    assert Deadlines(100).due(101, LIMITS, 0.1) is None


@pytest.mark.parametrize(
    ("deadlines", "token_seconds", "at"),
    [
        (Deadlines(100), inf, 125),
        (Deadlines(100, pinged=True), inf, 145),
        (Deadlines(100, behind_since=101), inf, 121),
        (Deadlines(100, close_at=103), inf, 103),
        (Deadlines(100), 15, 117),
        (Deadlines(100), -15, 102),
        (Deadlines(50), inf, 102),  # late already
    ],
)
def test_the_next_check_is_at_the_first_time_at_which_something_may_be_due(
    deadlines: Deadlines, token_seconds: float, at: float
) -> None:
    assert deadlines.next_check(102, LIMITS, token_seconds) == at


class Entry:
    """An entry of the wheel that notes when it is called, and then does `work`."""

    def __init__(self, work: Callable[[], object] = lambda: None) -> None:
        self.called: list[float] = []
        self.bucket: Bucket | None = None
        self._work = work

    def on_timer(self, now: float) -> None:
        self.called.append(now)
        self._work()


@asynccontextmanager
async def running(timers: TimerWheel) -> AsyncIterator[float]:
    """Run the wheel; gives the time when it began."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(timers.run())
        yield asyncio.get_running_loop().time()
        task.cancel()


async def test_each_entry_is_called_once_at_the_time_that_was_scheduled_last() -> None:
    timers, early, late, dropped, end = TimerWheel(), Entry(), Entry(), Entry(), Entry()
    group = [Entry() for _ in range(1000)]
    async with running(timers) as now:
        timers.schedule(late, now)
        timers.schedule(late, now + 1000)
        timers.schedule(early, now + 1000)
        for entry in (early, dropped, *group):
            timers.schedule(entry, now)
        timers.cancel(dropped)
        timers.schedule(end, now + 1)
        await wait_until(lambda: end.called, "all before it were called")
    assert (len(early.called), len(late.called), len(dropped.called), len(end.called)) == (1, 0, 0, 1)
    assert 1.0 <= end.called[0] - now
    assert {tuple(entry.called) for entry in group} == {tuple(early.called)}
    assert len(timers) == 1


async def test_an_entry_that_schedules_itself_is_called_again_and_is_in_one_bucket() -> None:
    timers = TimerWheel()

    def schedule_again() -> None:
        timers.schedule(again, 0.0)

    again = Entry(schedule_again)
    async with running(timers):
        timers.schedule(again, 0.0)
        await wait_until(lambda: len(again.called) >= 2, "it is called twice")
    assert again.called[1] - again.called[0] >= 0.5
    assert len(timers) == 1


async def test_an_entry_from_before_the_run_is_called_and_its_exception_ends_the_run() -> None:
    """It is a vital task (process.vital): to go on without one of its sockets would hide the fault."""

    def broken() -> None:
        raise RuntimeError("broken")

    timers, late = TimerWheel(), Entry()
    timers.schedule(Entry(broken), 0.0)
    timers.schedule(late, asyncio.get_running_loop().time() + 1000)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match="broken"):
            await timers.run()
    assert (late.called, len(timers)) == ([], 1)


def test_cancelling_twice_is_harmless() -> None:
    timers, entry = TimerWheel(), Entry()
    timers.cancel(entry)
    timers.schedule(entry, 5.0)
    timers.cancel(entry)
    timers.cancel(entry)
    assert len(timers) == 0


def test_an_empty_bucket_is_removed() -> None:
    timers, group = TimerWheel(), [Entry() for _ in range(1000)]
    for number, one in enumerate(group):
        timers.schedule(one, number % 7)
    for one in group:
        timers.schedule(one, 100.0)
    assert len(timers._buckets) == 1
    for one in group:
        timers.cancel(one)
    assert not timers._buckets


async def test_an_entry_that_is_cancelled_while_its_bucket_is_called_is_not_called() -> None:
    timers, called = TimerWheel(), list[str]()

    def ends_both() -> None:
        called.append("one")
        for one in both:
            timers.cancel(one)

    both = Entry(ends_both), Entry(ends_both)
    async with running(timers):
        for one in both:
            timers.schedule(one, 0.0)
        await wait_until(lambda: called, "one is called")
        await wait_until(lambda: not timers._buckets, "the bucket is done")
    assert len(called) == 1


def test_an_entry_is_called_at_the_end_of_the_second_that_was_scheduled() -> None:
    """A time that is past is the end of this second. Nothing is called in the seconds between."""
    assert timelapse(calls_of_a_wheel()) == {"before": [3.0], "late": [6.0], "soon": [8.0], "later": [21.0, 25.0]}


async def calls_of_a_wheel() -> dict[str, list[float]]:
    """When each entry was called: one was scheduled before the run, the others after five seconds."""
    timers = TimerWheel()

    def once_more() -> None:
        if len(later.called) == 1:
            timers.schedule(later, 24.5)

    later = Entry(once_more)
    entries = {"before": Entry(), "late": Entry(), "soon": Entry(), "later": later}
    timers.schedule(entries["before"], 2.5)
    run = asyncio.create_task(timers.run())
    await asyncio.sleep(5.1)
    for name, at in (("late", 1.0), ("soon", 7.0), ("later", 20.9)):
        timers.schedule(entries[name], at)
    await asyncio.sleep(30)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    return {name: entry.called for name, entry in entries.items()}


@pytest.fixture
async def quick_pings(valkey_url: str) -> AsyncIterator[Site]:
    """A site that pings after half a second of silence, and gives a busy machine time to answer."""
    async with serving(settings_for(valkey_url)) as site:
        site.inside.admission.limits.ping_after, site.inside.admission.limits.gone_after = 0.5, 3.0
        await site.transactions.create(room())
        yield site


@pytest.fixture
async def quick_limits(quick_pings: Site) -> Site:
    """The same, with half a second to answer."""
    quick_pings.inside.admission.limits.gone_after = 0.5
    return quick_pings


async def test_a_token_that_expires_closes_the_open_socket(site: Site) -> None:
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)
        site.expire_tokens()
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (4501, "the token expired: come back only with another one")
    async with site.socket("speaker") as other:
        await site.status("start")
        await state_where(other, status="live")


async def test_a_check_that_is_due_sooner_is_not_put_off_by_another_one(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, receive_buffer=4096) as raw:
        (subscriber,) = site.inside.hub.groups["w"].subscribers
        while not subscriber._deadlines.behind_since:
            last = await change(site, 10)
        site.expire_tokens()
        while (await raw.state())["version"] < last:
            pass
        assert await raw.closing() == 4501


async def test_a_peer_that_stalls_is_aborted_and_no_other(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, stall_seconds=1.0)) as site:
        await site.transactions.create(room())
        async with in_room(site, receive_buffer=4096), site.socket("speaker") as other, asyncio.TaskGroup() as tasks:
            (stalled,) = [
                subscriber for subscriber in site.inside.hub.groups["w"].subscribers if subscriber.actor.lead_id
            ]
            receiving = tasks.create_task(state_where(other, status="live"))
            while not stalled._deadlines.behind_since:
                await change(site, 10)
            began = time.monotonic()
            await wait_until(lambda: site.inside.admission.total == 1, "the stalled peer is cut off")
            assert time.monotonic() - began > 0.5
            await site.status("start")
            assert (await receiving)["status"] == "live"


async def stays_silent(site: Site) -> None:
    async with in_room(site, sub="1") as raw:
        await raw.state()
        assert (await raw.frame()).first == PING
        await raw.rest()


async def answers_and_pings(site: Site) -> None:
    async with in_room(site, sub="2") as raw:
        await raw.state()
        for _ in range(2):
            frame = await raw.frame()
            assert frame.first == PING
            await raw.send(masked(PONG, frame.payload))
        await raw.send(masked(PING))
        assert (await raw.frame()).first == PONG


async def does_not_answer_the_close_frame(site: Site) -> None:
    async with in_room(site, sub="3") as raw:
        await raw.state()
        await raw.send(masked(TEXT, b"data"))
        assert await raw.closing() == 1008
        await raw.rest()


async def keeps_the_connection_after_closing(site: Site) -> None:
    async with in_room(site, sub="4") as raw:
        await raw.state()
        await raw.send(masked(CLOSE))
        assert (await raw.frame()).first == CLOSE
        await wait_until(lambda: not site.inside.admission.persons["attendee:4"], "it is closed on this side too")


async def test_silent_peers_are_cut_off(quick_limits: Site) -> None:
    await asyncio.gather(
        stays_silent(quick_limits),
        does_not_answer_the_close_frame(quick_limits),
        keeps_the_connection_after_closing(quick_limits),
    )
    await wait_until(lambda: not quick_limits.inside.admission.total, "no socket is left")


async def test_a_peer_that_answers_is_kept(quick_pings: Site) -> None:
    async with quick_pings.socket("speaker") as answering:
        await answers_and_pings(quick_pings)
        await quick_pings.status("start")
        assert (await state_where(answering, status="live"))["version"] == 2


async def test_a_socket_does_what_is_due_and_schedules_the_next_check(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, ttl=3600) as raw:
        await raw.state()
        (subscriber,) = site.inside.hub.groups["w"].subscribers
        now = asyncio.get_running_loop().time() + 25
        subscriber.on_timer(now)
        asked = await raw.frame()
        assert asked.first == PING
        await raw.send(masked(PONG, asked.payload), masked(PING))
        assert (await raw.frame()).first == PONG
        subscriber.on_timer(now + 20)  # it has answered, so this is silence like any other
        assert len(site.inside.timers) == 1
        assert (await raw.frame()).first == PING
        subscriber.on_timer(now + 45)
        assert await raw.rest() == b""
    await wait_until(lambda: not len(site.inside.timers), "the timer has forgotten it")


async def test_a_peer_that_has_caught_up_is_not_aborted(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, ttl=3600) as raw:
        await raw.state()
        (subscriber,) = site.inside.hub.groups["w"].subscribers
        stalled_at = asyncio.get_running_loop().time() + site.settings.stall_seconds
        subscriber.pause_writing()
        subscriber.resume_writing()
        subscriber.on_timer(stalled_at)
        await raw.send(masked(PING, b"here"))
        assert await raw.frame() == (PONG, b"here")


async def test_a_socket_is_closed_at_its_announced_time_and_aborted_20_seconds_later(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, ttl=3600) as raw:
        await raw.state()
        (subscriber,) = site.inside.hub.groups["w"].subscribers
        subscriber.announce_reconnect(2.0, 1.0)
        assert b"reconnect" in (await raw.frame()).payload
        now = asyncio.get_running_loop().time()
        subscriber.on_timer(now + 2.5)
        assert not subscriber._closing
        subscriber.on_timer(now + 3)
        assert await raw.closing() == 1012
        subscriber.on_timer(now + 23)
        assert await raw.rest() == b""
