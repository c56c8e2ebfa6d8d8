"""Where it takes place: two web processes and workers on the embedded server, or on a Cluster with replicas."""

import asyncio
import random
import subprocess
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from room_server.config import Settings
from room_server.state.startup import open_state
from tests.chaos.couples import Couple
from tests.chaos.decks import EMBEDDED, EVERYWHERE, HOSTS, SERVERS, SET_BACK
from tests.chaos.faults import Row
from tests.chaos.site import GRACE, Embedded, Site
from tests.clocks import Clock, sweep
from tests.cluster import follow, form, processes, url_of
from tests.proxy import proxy_to

BEHIND = -15
"""Seconds that the clocks of the first replicas are ahead: a fail-over sets the time of its partitions back, or on."""
AT_A_TIME = 3
DURABLE = {"appendonly": "yes", "appendfsync": "always"}


@asynccontextmanager
async def embedded_site(folder: Path, **environment: str) -> AsyncIterator[Site]:
    """Two web processes and two workers on the embedded server, each through a proxy of its own."""
    data = folder / "data"
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(open_state(Settings(data_dir=str(data), evaluation_grace=GRACE)))
        site = Site(state, folder)
        site.others["redis"] = Embedded(data, state.url)
        for name in HOSTS:
            proxy = site.proxies[name] = await stack.enter_async_context(proxy_to(state.url))
            site.add(name, ROOM_SERVER_REDIS_URL=proxy.url, **environment)
        stack.push_async_callback(site.end)
        await site.start()
        yield site


@asynccontextmanager
async def cluster_site(
    folder: Path, hosts: Iterable[str] = HOSTS, partitions: int = 3, **environment: str
) -> AsyncIterator[Site]:
    """Three primaries with a replica each, and processes that answer a hook once a replica has it."""
    clocks = Clock(folder / "primaries.clock", cached=1), Clock(folder / "replicas.clock", BEHIND, cached=1)
    async with AsyncExitStack() as stack:
        environments = [clock.environment() for clock in clocks for _ in range(3)]
        started = stack.enter_context(processes(6, environments, **DURABLE))
        stack.callback(_sweep, started)
        ports = list(started)
        pairs = list(zip(ports[:3], ports[3:], strict=True))
        await to_thread(form, ports[:3])
        await asyncio.gather(*(to_thread(follow, ports[:3], replica, primary) for primary, replica in pairs))
        url = url_of(ports)
        settings = Settings(redis_url=url, partitions=partitions, replicas=1, evaluation_grace=GRACE)
        site = Site(await stack.enter_async_context(open_state(settings)), folder)
        site.server_clocks = clocks
        site.couples = [Couple(f"couple-{place}", started, pair, clocks) for place, pair in enumerate(pairs)]
        for name in hosts:
            site.add(name, ROOM_SERVER_REDIS_URL=url, ROOM_SERVER_REPLICAS="1", **environment)
        stack.push_async_callback(site.end)
        await site.start()
        yield site


def _sweep(started: dict[int, subprocess.Popen[bytes]]) -> None:
    for process in started.values():
        sweep(process.pid)


class Ground(NamedTuple):
    """Where chaos takes place, and how much of it: for each webinar so many leads and readers."""

    name: str
    opened: Callable[..., AbstractAsyncContextManager[Site]]
    """Takes a folder and the processes' settings."""
    deck: tuple[Row, ...]
    """All of it is dealt in each round."""
    servers: tuple[Row, ...]
    """So is a part of it, AT_A_TIME rows."""
    last: tuple[Row, ...]
    """What the last round is dealt from; when there is nothing, there is none."""
    leads: int
    readers: int

    def deal(self, chance: random.Random) -> list[Row]:
        """What goes wrong in a usual round."""
        return [*self.deck, *chance.sample(self.servers, min(AT_A_TIME, len(self.servers)))]


GROUNDS = {
    ground.name: ground
    for ground in (
        Ground("embedded", embedded_site, EMBEDDED, (), (), 60, 60),
        Ground("cluster", cluster_site, EVERYWHERE, SERVERS, SET_BACK, 36, 20),
    )
}
