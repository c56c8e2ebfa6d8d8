"""Events on their way to a site, for tests: made by real hooks, sent by real workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from msgspec.structs import replace

from room_server.config import Settings
from room_server.core.site_delivery import Progress, Receiver
from room_server.site.worker import deliver
from room_server.state.redis.pipeline import pairs
from room_server.state.site_events import PartitionStanding, Settlement, SiteEvents, standing_in
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.core.builders import WEBINAR, enter
from tests.site.receiver import SECRET, SiteReceiver
from tests.state.acts import done, prepare
from tests.support import eventually, few_at_once, settings_for

HOUR = 3600.0


def site_settings(url: str, *receivers: SiteReceiver, **more: Any) -> Settings:
    """Settings of a worker whose events go to these receivers."""
    addresses = " ".join(receiver.url for receiver in receivers)
    return settings_for(url, site_events_url=addresses, site_events_secret=SECRET, **more)


async def known(store: Store, url: str = "https://site.example/events", **fields: Any) -> SiteEvents:
    """A receiver that has its place in every partition, and whose progress has these fields."""
    receiver = Receiver.of(url)
    events = SiteEvents(store, receiver, "w")
    for tag in store.keys.tags:
        claim = await events.claim(tag)
        assert claim is not None
        progress = Progress(url=receiver.url, label=receiver.label, seen_at=claim.now)
        await events.settle(tag, claim.raw, Settlement(replace(progress, **fields)))
    return events


class Sending:
    """A live webinar whose leads enter, and the site that hears of it."""

    def __init__(self, settings: Settings, state: State, site: SiteReceiver) -> None:
        self.settings = settings
        self.state = state
        self.store = state.store
        self.site = site
        self.tag = state.store.keys.tag(WEBINAR)
        self._leads = 0

    async def enter(self, count: int) -> list[str]:
        """So many leads enter; the ids of the events."""
        first = self._leads + 1
        self._leads += count
        await few_at_once(done(self.store, enter(lead)) for lead in range(first, self._leads + 1))
        return [f"client_webinar_entered:{WEBINAR}:{lead}" for lead in range(first, self._leads + 1)]

    async def in_stream(self) -> list[str]:
        """The ids in the stream, in order."""
        rows = await self.store.call("XRANGE", self.store.keys.events(self.tag), "-", "+")
        return [dict(pairs(fields))[b"id"].decode() for _, fields in rows]

    async def standing(self) -> PartitionStanding:
        """How far the site is."""
        found = {one.receiver: one for one in await standing_in(self.store, self.tag)}
        return found[Receiver.of(self.site.url).id]

    async def later(self, seconds: float) -> None:
        """The clock that everything waits by goes on by so much."""
        await self.store.call("HINCRBY", self.store.keys.clock(self.tag), "back", round(seconds * 1000))

    async def heard(self, *ids: str) -> None:
        """Return when the site has taken these."""

        async def there() -> bool:
            return set(ids) <= self.site.table.keys()

        await eventually(there, f"{len(ids)} events are taken")

    async def until(self, **wanted: Any) -> PartitionStanding:
        """The standing once its progress has these fields or properties."""

        async def there() -> PartitionStanding | None:
            now = await self.standing()
            same = all(getattr(now.progress, name) == value for name, value in wanted.items())
            return now if same else None

        found: PartitionStanding = await eventually(there, f"the receiver comes to {wanted}")
        return found

    async def known(self) -> None:
        """Return when the receiver has its place."""

        async def there() -> bool:
            return bool(await standing_in(self.store, self.tag))

        await eventually(there, "the receiver is known")

    @asynccontextmanager
    async def delivering(self, workers: int = 1, **changed: Any) -> AsyncIterator[None]:
        """Workers, each as in a process of its own, until the block ends."""
        stopping = asyncio.Event()
        settings = replace(self.settings, **changed)
        async with AsyncExitStack() as stack:
            states = [await stack.enter_async_context(open_state(settings)) for _ in range(workers)]
            async with asyncio.TaskGroup() as tasks:
                for number, state in enumerate(states):
                    tasks.create_task(deliver(settings, state.store, f"w{number}", stopping))
                try:
                    await self.known()
                    yield
                finally:
                    stopping.set()


@asynccontextmanager
async def sending(url: str, site: SiteReceiver, **more: Any) -> AsyncIterator[Sending]:
    """The webinar is live, and the site hears of what comes."""
    settings = site_settings(url, site, **more)
    async with open_state(settings) as state:
        await prepare(state.store)
        yield Sending(settings, state, site)
