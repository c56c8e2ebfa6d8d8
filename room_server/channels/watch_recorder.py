"""Stores which slots leads were seen in: every few seconds, and at once when a room goes off the air.

Nobody waits for it. It sends one script after the other to a partition, so that hooks go between them. What cannot be
stored is kept and sent again; the script only adds slots, so sending them twice does no harm.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from room_server.channels.hub import Hub, yield_to_event_loop
from room_server.core import watch_time
from room_server.core.wire import RoomVersion
from room_server.errors import StateUnavailable
from room_server.state import watch
from room_server.state.store import Store
from room_server.state.watch import Broadcast
from room_server.telemetry.histogram import Histogram
from room_server.telemetry.prometheus import P, Samples

FLUSH_SECONDS = 5.0
"""Between two flushes; a process that is killed loses that, and what no peer has confirmed since (keepalive)."""
AFTER_THE_END_SECONDS = 1.0
"""The same while the peers of a room confirm its end."""
END_SECONDS = 10.0
"""How long after the end that is."""
LAST_SECONDS = 5.0
"""What the flush of a process that ends may take."""
LEADS = 250
"""Leads in one script: a few milliseconds of Redis."""
ROOMS = 8
"""Rooms of one partition whose scripts are sent together: they may be many and small."""
SLICE = 500
"""Sockets that are looked at before other tasks run."""


class WatchRecorder:
    """Stores the slots of one process. `run` is for a task, for ever."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._seconds = Histogram()
        """What each flush took."""

    async def run(self) -> None:
        """Flush for ever, and once more when this is cancelled."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.pause()):
                        await self._hub.air_ended.wait()
                self._hub.air_ended.clear()
                await self.flush()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await self.flush()

    def pause(self) -> float:
        """Seconds until the next flush, if no room goes off the air before."""
        ends = (group.air.ended_at for group in self._hub.rooms().values())
        last = max((ended_at for ended_at in ends if ended_at is not None), default=0.0)
        is_recent = last and asyncio.get_running_loop().time() - last < END_SECONDS
        return AFTER_THE_END_SECONDS if is_recent else FLUSH_SECONDS

    def polled(self, head: RoomVersion, lead_id: int) -> None:
        """The lead has just read the state of this room over HTTP: it was there in the slot of this moment."""
        if head.started_at is not None and head.on_air_since is not None:
            on_air_ms = head.on_air_ms + (time.time() - head.on_air_since.timestamp()) * 1000
            self._hub.seen.add(
                Broadcast(head.webinar_id, head.started_at), lead_id, watch_time.span(on_air_ms, on_air_ms)
            )

    def metrics(self) -> Samples:
        """What this process counted."""
        seconds = self._seconds.series(P + "watch_flush_seconds")
        return {(P + "watch_pending_leads",): self._hub.seen.leads, **seconds}

    async def flush(self) -> None:
        """Store what was seen so far. What could not be stored goes with the next flush."""
        begun = time.perf_counter()
        await self._collect()
        taken = self._hub.seen.take()
        partitions: defaultdict[str, list[Broadcast]] = defaultdict(list)
        for broadcast in taken:
            partitions[self._store.keys.tag(broadcast.webinar_id)].append(broadcast)
        try:
            await asyncio.gather(*(self._store_all(iter(names), taken) for names in partitions.values()))
        finally:
            for broadcast, seen in taken.items():
                self._hub.seen.add_all(broadcast, seen)
        self._seconds.observe(time.perf_counter() - begun)

    async def _collect(self) -> None:
        """Ask the open sockets until when their peers were heard."""
        for group in list(self._hub.rooms().values()):
            sockets = iter(list(group.subscribers))
            while some := list(islice(sockets, SLICE)):
                for socket in some:
                    if socket in group.subscribers:
                        self._hub.see(group, socket)
                await yield_to_event_loop()

    async def _store_all(self, broadcasts: Iterator[Broadcast], taken: dict[Broadcast, dict[int, int]]) -> None:
        """Store the broadcasts of one partition and take each lead that is stored out of `taken`.

        The first failure ends it: the server that has this partition is away.
        """
        while some := list(islice(broadcasts, ROOMS)):
            stored = [self._store_one(broadcast, taken[broadcast]) for broadcast in some]
            if not all(await asyncio.gather(*stored)):
                return

    async def _store_one(self, broadcast: Broadcast, seen: dict[int, int]) -> bool:
        """Store one broadcast and empty `seen`; whether Redis took all of it."""
        with suppress(StateUnavailable):
            while part := dict(islice(seen.items(), LEADS)):
                await watch.add(self._store, broadcast, part)
                for lead_id in part:
                    del seen[lead_id]
        return not seen
