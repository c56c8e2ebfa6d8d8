"""When a socket's time is up: silence, a stalled peer, the token's end, an unfinished goodbye."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from room_server.core.room import Room
from tests.raw import CLOSE, PING, PONG, TEXT, in_room, masked
from tests.support import Site, next_state, room, serving, settings_for, state_where, wait_until


@pytest.fixture
async def curious(valkey_url: str) -> AsyncIterator[Site]:
    """A site that asks for a sign of life after half a second, and gives a busy machine time to answer."""
    async with serving(settings_for(valkey_url)) as site:
        site.inside.admission.ping_after, site.inside.admission.gone_after = 0.5, 3.0
        await site.transactions.create(room())
        yield site


@pytest.fixture
async def impatient(curious: Site) -> Site:
    """The same, and it waits only half a second for an answer."""
    curious.inside.admission.gone_after = 0.5
    return curious


def looked_at(site: Site, member: Any) -> float:
    """The second in which the wheel asks for a socket (the loop's clock)."""
    return float(site.inside.timers._places[member])


async def test_a_token_ends_while_the_socket_is_open(site: Site) -> None:
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)
        site.expire_tokens()
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (4501, "the token expired: come back only with another one")
    async with site.socket("speaker") as other:
        await site.status("start")
        await state_where(other, status="live")


async def test_a_socket_is_looked_at_when_its_token_ends(site: Site) -> None:
    await site.transactions.create(room())
    clock = asyncio.get_running_loop().time
    async with site.socket(claims={"ttl": 15}) as socket:
        await next_state(socket)
        (member,) = site.inside.hub.groups["w"].members

        assert looked_at(site, member) <= clock() + member.actor.expires_at - time.time() + 1 < clock() + 17


async def test_what_is_looked_at_sooner_for_one_reason_is_not_looked_at_later_for_another(site: Site) -> None:
    await site.transactions.create(room())
    async with in_room(site, receive_buffer=4096) as raw:
        (member,) = site.inside.hub.groups["w"].members
        while not member._behind_since:
            last = await change(site)
        site.expire_tokens()
        while (await raw.state())["version"] < last:
            pass
        assert await raw.closing() == 4501


async def change(site: Site, webinar_id: str = "w") -> int:
    """Ten changes of four kilobytes each; the version of the last."""

    def changed(standing: Room) -> Room:
        return replace(standing, description=str(standing.version % 10) * 4000, version=standing.version + 1)

    for _ in range(10):
        last = await site.transactions.edit(webinar_id, changed)
    return last.version


async def test_a_peer_that_stalls_is_cut_off_and_nobody_else(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, stall_seconds=1.0)) as site:
        await site.transactions.create(room())
        async with in_room(site, receive_buffer=4096), site.socket("speaker") as other, asyncio.TaskGroup() as tasks:
            (stalled,) = [member for member in site.inside.hub.groups["w"].members if member.actor.lead_id]
            hearing = tasks.create_task(state_where(other, status="live"))
            while not stalled._behind_since:
                await change(site)
            began = time.monotonic()
            await wait_until(lambda: site.inside.admission.total == 1, "the stalled peer is gone")
            assert time.monotonic() - began > 0.5
            await site.status("start")
            assert (await hearing)["status"] == "live"


async def keeps_silent(site: Site) -> None:
    async with in_room(site, sub="1") as raw:
        await raw.state()
        assert (await raw.frame()).first == PING
        await raw.rest()


async def answers_and_speaks(site: Site) -> None:
    async with in_room(site, sub="2") as raw:
        await raw.state()
        for _ in range(2):
            frame = await raw.frame()
            assert frame.first == PING
            await raw.send(masked(PONG, frame.payload))
        await raw.send(masked(PING))
        assert (await raw.frame()).first == PONG


async def leaves_a_goodbye_unanswered(site: Site) -> None:
    async with in_room(site, sub="3") as raw:
        await raw.state()
        await raw.send(masked(TEXT, b"data"))
        assert await raw.closing() == 1008
        await raw.rest()


async def keeps_the_connection_after_the_goodbye(site: Site) -> None:
    async with in_room(site, sub="4") as raw:
        await raw.state()
        await raw.send(masked(CLOSE))
        assert (await raw.frame()).first == CLOSE
        await wait_until(lambda: not site.inside.admission.persons["attendee:4"], "it is closed on this side too")


async def test_silence_is_cut_off(impatient: Site) -> None:
    await asyncio.gather(
        keeps_silent(impatient),
        leaves_a_goodbye_unanswered(impatient),
        keeps_the_connection_after_the_goodbye(impatient),
    )
    await wait_until(lambda: not impatient.inside.admission.total, "nobody is left")


async def test_whoever_answers_is_kept(curious: Site) -> None:
    async with curious.socket("speaker") as answering:
        await answers_and_speaks(curious)
        await curious.status("start")
        assert (await state_where(answering, status="live"))["version"] == 2
