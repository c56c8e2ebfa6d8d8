"""When something happens to a socket, in figures that clients may rely on. The clocks are handed in, or jump."""

import asyncio

import pytest

from room_server.channels.counts_feed import CountsFeed
from room_server.channels.drain import Drain
from room_server.channels.handshake import Admission
from room_server.channels.hub import Hub
from room_server.channels.socket import RoomSocket
from room_server.channels.subscribers import SubscriberGroup, counts_group
from room_server.channels.timer_wheel import TimerWheel
from room_server.config import Settings
from room_server.state.store import Store
from tests.channels.test_hub import Peer, store
from tests.channels.test_timer_wheel import Something
from tests.raw import PING, PONG, Raw, in_room, masked
from tests.support import Site, room, wait_until
from tests.timelapse import timelapse

__all__ = ["store"]


async def in_alone(site: Site, raw: Raw) -> tuple[RoomSocket, float]:
    """The one member of the room, and since when its peer has been silent."""
    await raw.state()
    (member,) = site.inside.hub.groups["w"].members
    return member, member._silent_since


async def test_a_silent_peer_is_pinged_after_25_seconds_and_cut_off_20_later(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, ttl=3600) as raw:
        member, since = await in_alone(site, raw)
        asked = [member.on_timer(since + seconds) for seconds in (0, 24.9, 25, 44.9)]
        assert asked == [since + 25, since + 25, since + 45, since + 45]
        assert (await raw.frame()).first == PING
        assert member.on_timer(since + 45) is None
        assert await raw.rest() == b""


async def test_whoever_says_anything_is_not_asked_for_another_25_seconds(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, ttl=3600) as raw:
        member, since = await in_alone(site, raw)
        member.on_timer(since + 25)
        await raw.send(masked(PONG, (await raw.frame()).payload))
        await wait_until(lambda: not member._pinged, "it was heard")
        since = member._silent_since
        assert [member.on_timer(since + seconds) for seconds in (20, 24.9)] == [since + 25] * 2
        assert member.on_timer(since + 25) == since + 45


async def test_a_peer_that_does_not_read_is_cut_off_after_the_stall_time_and_not_pinged_before(site: Site) -> None:
    """The stall time is longer here than the silence before a ping, which would fall between the two."""
    await site.transactions.create(room())
    site.inside.admission.stall_seconds = 60.0
    async with in_room(site, ttl=3600) as raw:
        member, _ = await in_alone(site, raw)
        member.pause_writing()
        since = member._behind_since
        assert [member.on_timer(since + seconds) for seconds in (1, 24)] == [member._silent_since + 25] * 2
        assert member.on_timer(since + 59.9) is not None
        assert member.on_timer(since + 60) is None
        assert await raw.rest() == b""


async def test_who_has_caught_up_is_as_good_as_anybody(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, ttl=3600) as raw:
        member, silent_since = await in_alone(site, raw)
        member.pause_writing()
        since = member._behind_since
        assert member.on_timer(since) == since + site.settings.stall_seconds
        member.resume_writing()
        assert member.on_timer(since + site.settings.stall_seconds) == silent_since + 25


async def test_a_goodbye_is_waited_for_20_seconds(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, ttl=3600) as raw:
        member, _ = await in_alone(site, raw)
        member.announce_reconnect(0.0, 0.0)
        now = member._leaves_at
        assert member.on_timer(now) == now + 20
        assert await raw.closing() == 1012
        assert member.on_timer(now + 20) is None
        assert await raw.rest() == b""


async def test_who_is_asked_to_leave_is_closed_when_its_time_has_come_and_not_before(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, ttl=3600) as raw:
        member, _ = await in_alone(site, raw)
        before = member._loop.time()
        member.announce_reconnect(2.0, 1.0)
        leaves_at = member._leaves_at
        assert before + 3.0 <= leaves_at <= member._loop.time() + 3.0
        assert member.on_timer(leaves_at - 0.1) == leaves_at
        assert not member.is_closing()
        member.on_timer(leaves_at)
        assert await raw.closing() == 1012


class Leaver(Peer):
    """A socket that remembers when it is to come back elsewhere, and how long after that it will be closed."""

    told = (-1.0, -1.0)

    def announce_reconnect(self, seconds: float, closed_after: float) -> None:
        self.told = (seconds, closed_after)


@pytest.mark.parametrize(("sockets", "apart"), [(4, 0.5), (3000, 0.001)])
def test_all_are_asked_to_leave_evenly_over_the_window_and_closed_a_second_later(
    store: Store, sockets: int, apart: float
) -> None:
    hub = Hub(store)
    group, leavers = SubscriberGroup("w"), [Leaver(hub) for _ in range(sockets)]
    hub.groups["w"] = group
    for leaver in leavers:
        hub.join(group, leaver)
    admission = Admission(Settings(), hub, TimerWheel(), lambda _: pytest.fail("nobody calls"))

    timelapse(Drain(hub, admission, 20).run())

    told = sorted(leaver.told for leaver in leavers)
    assert [seconds for seconds, _ in told] == pytest.approx([number * apart for number in range(sockets)])
    assert {closed_after for _, closed_after in told} == {1.0}


@pytest.mark.parametrize(("sockets", "most"), [(1, 6.0), (5000, 9.0)])
def test_who_stays_is_waited_for_no_longer_than_the_window_and_four_seconds(
    store: Store, sockets: int, most: float
) -> None:
    hub = Hub(store)
    group = hub.groups["w"] = SubscriberGroup("w")
    admission = Admission(Settings(), hub, TimerWheel(), lambda _: pytest.fail("nobody calls"))
    for _ in range(sockets):
        leaver = Leaver(hub)
        hub.join(group, leaver)
        admission.enter(leaver.actor)

    async def seconds() -> float:
        await Drain(hub, admission, 20).run()
        return asyncio.get_running_loop().time()

    assert timelapse(seconds()) == pytest.approx(most, abs=0.15)


def test_the_counts_are_read_once_a_second_while_somebody_watches(store: Store) -> None:
    """The first who comes is served at once, and nothing is read for nobody."""
    told = timelapse(watched(Hub(store)))

    assert told == [(10.0, "*"), (11.0, "*"), (12.0, "*"), (12.5, "*"), (12.5, "w"), (13.5, "w")]


async def watched(hub: Hub) -> list[tuple[float, str]]:
    """When what was read: somebody comes after ten seconds, another after 12.5, and both go, one after the other."""
    told: list[tuple[float, str]] = []

    async def read(scope: str) -> bytes:
        told.append((asyncio.get_running_loop().time(), scope))
        return b"{}"

    pushing = asyncio.create_task(CountsFeed(hub, read).push())
    await asyncio.sleep(10)
    hub.group(counts_group("*"))
    await asyncio.sleep(2.5)
    hub.group(counts_group("w"))
    await asyncio.sleep(0.5)
    del hub.groups[counts_group("*")]
    await asyncio.sleep(1)
    hub.groups.clear()
    await asyncio.sleep(10)
    pushing.cancel()
    await asyncio.gather(pushing, return_exceptions=True)
    return told


def test_each_is_asked_when_the_second_is_over_that_was_said() -> None:
    """What is late already, at the end of this second. In many seconds nobody is asked."""
    assert timelapse(asked_by_a_wheel()) == {"before": [3.0], "late": [6.0], "soon": [8.0], "later": [21.0, 25.0]}


async def asked_by_a_wheel() -> dict[str, list[float]]:
    """When each was asked: one stood on the wheel before it turned, the others came after five seconds."""
    timers, again = TimerWheel(), iter([3.5, None])
    things = {"before": Something(), "late": Something(), "soon": Something(), "later": Something(lambda: next(again))}
    timers.schedule(things["before"], 2.5)
    turning = asyncio.create_task(timers.run())
    await asyncio.sleep(5.1)
    for name, at in (("late", 1.0), ("soon", 7.0), ("later", 20.9)):
        timers.schedule(things[name], at)
    await asyncio.sleep(30)
    turning.cancel()
    await asyncio.gather(turning, return_exceptions=True)
    return {name: something.asked for name, something in things.items()}
