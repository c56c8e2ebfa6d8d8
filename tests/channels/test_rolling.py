"""A rolling restart of two processes: no client misses a change, and they do not all reconnect at once."""

import asyncio
import itertools
import signal
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import httpx

from room_server import auth
from room_server.config import Settings
from room_server.core.room import Status
from room_server.state.startup import open_state
from tests.crowds import Audience, busiest_second, many_descriptors
from tests.support import PATIENCE, TOKEN_SECRET, room, settings_for, transactions
from tests.terminal import Running, running

LATE = 0.5
"""Of the clients, all in this one busy process, that may open the new socket only when the old one is closed."""
TAKEN_BACK = 2500
"""Sockets a second that one process can take; each process asks a thousand to reconnect."""


class Changes:
    """Hooks, one after the other, each change received by all clients before the next."""

    def __init__(self, settings: Settings, audience: Audience) -> None:
        claims = {"sub": "s", "role": "speaker", "webinar_id": "w"}
        self._bearer = {"Authorization": f"Bearer {auth.issue(settings, claims, 600)}"}
        self._audience = audience
        self.last = 1

    async def run(self) -> None:
        """Until this is cancelled, or a client misses one."""
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            for number in itertools.count():
                body = {"webinar_id": "w", "visible": number % 2 == 0}
                address = f"http://127.0.0.1:{self._audience.ports[-1]}/hooks/core_webinar_set_cta_visibility"
                answer = await http.post(address, json=body, headers=self._bearer)
                self.last = answer.raise_for_status().json()["version"]
                await self._audience.has(self.last)
                await asyncio.sleep(0.05)


def port_of(web: Running) -> int:
    return int(web.address.rpartition(":")[2])


async def restarted(old: Running, audience: Audience, stack: AsyncExitStack, url: str) -> Running:
    """Take a process out of the balancer, end it in order, and start another one in its place."""
    audience.ports.remove(port_of(old))
    status, _ = await old.end(signal.SIGTERM)
    assert status == 0
    new = await stack.enter_async_context(web(url))
    audience.ports.append(port_of(new))
    return new


def web(url: str) -> AbstractAsyncContextManager[Running]:
    """A process that takes as many sockets of one person as come."""
    more = {"ROOM_SERVER_MAX_SOCKETS_PER_PERSON": "0", "ROOM_SERVER_MAX_HOOKS_PER_PERSON": "0"}
    return running("web", "--port", "0", ROOM_SERVER_REDIS_URL=url, ROOM_SERVER_TOKEN_SECRET=TOKEN_SECRET, **more)


async def test_no_client_misses_a_change_in_a_rolling_restart_of_two_processes(valkey_url: str, soak: bool) -> None:
    sockets = 5000 if soak else 400
    settings = settings_for(valkey_url)
    token = auth.issue(settings, {"sub": "1", "role": "attendee", "webinar_id": "w"}, 600)
    with many_descriptors():
        async with open_state(settings) as state, AsyncExitStack() as stack:
            await transactions(state.store).create(
                room(status=Status.LIVE, cta_label="Join", cta_url="https://example.org")
            )
            one, two = [await stack.enter_async_context(web(valkey_url)) for _ in range(2)]
            audience = Audience("/rooms/w/socket", token, [port_of(one), port_of(two)])
            stack.push_async_callback(audience.leave)
            await audience.join(sockets)
            audience.joined.clear()
            changes = Changes(settings, audience)
            changing = asyncio.create_task(changes.run())
            stack.callback(changing.cancel)
            await restarted(one, audience, stack, valkey_url)
            await restarted(two, audience, stack, valkey_url)
            changing.cancel()
            (end,) = await asyncio.gather(changing, return_exceptions=True)
            assert isinstance(end, asyncio.CancelledError), end
            await audience.has(changes.last)
            assert changes.last > 5
            assert audience.backwards == 0
            assert audience.asked == sockets // 2 + sockets
            assert audience.without <= audience.asked * LATE
            assert len(audience.joined) >= audience.asked
            assert busiest_second(audience.joined) < TAKEN_BACK
