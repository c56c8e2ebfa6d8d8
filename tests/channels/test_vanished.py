"""A peer that vanished behind a network that drops everything is cut off by the keepalive."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.crowds import Audience, change
from tests.support import Site, next_state, room, serving, settings_for, state_where, wait_until


class Network:
    """Passes bytes on between clients and a site, until it drops them without closing a connection."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def drop_everything(self) -> None:
        """Pass nothing on from now on."""
        self._passing.clear()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One more client."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        site_reader, site_writer = await asyncio.open_connection(*self._site.address.split(":"))
        with contextlib.closing(writer), contextlib.closing(site_writer), contextlib.suppress(ConnectionError):
            await asyncio.gather(self._copy(reader, site_writer), self._copy(site_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._passing.wait()
            writer.write(data)

    async def end(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def network_to(site: Site) -> AsyncIterator[tuple[Network, int]]:
    """The network, and the port that clients connect to."""
    network = Network(site)
    server = await asyncio.start_server(network.connected, "127.0.0.1")
    try:
        yield network, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await network.end()
        await server.wait_closed()


async def test_peers_that_vanished_are_cut_off_by_the_keepalive_and_nothing_of_them_is_kept(valkey_url: str) -> None:
    """Idle ones, some that get a change, and one in its closing handshake."""
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(serving(settings_for(valkey_url, max_sockets_per_person=0)))
        admission, hub, timers = site.inside.admission, site.inside.hub, site.inside.timers
        admission.limits.ping_after = admission.limits.gone_after = 0.5
        for webinar_id in ("w", "idle"):
            await site.transactions.create(room(webinar_id))
        network, port = await stack.enter_async_context(network_to(site))
        for webinar_id in ("w", "idle"):
            audience = Audience(f"/rooms/{webinar_id}/socket", site.token("attendee", "*"), [port])
            stack.push_async_callback(audience.leave)
            await audience.join(20)
        reader = await stack.enter_async_context(site.socket("speaker"))
        await next_state(reader)
        network.drop_everything()
        closing = next(iter(hub.groups["idle"].subscribers))
        closing.close(1012)
        version = await change(site.store)
        await wait_until(lambda: admission.total == 1, "the vanished are cut off")
        assert (len(timers), set(hub.groups), hub.counts()["total"]) == (1, {"w"}, 1)
        assert (await state_where(reader, version=version))["webinar_id"] == "w"
