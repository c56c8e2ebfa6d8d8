"""What a worker does for the site: delivers each partition's events to each receiver, forgets those that are gone."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack

from room_server.config import Settings
from room_server.core.site_delivery import Receiver
from room_server.site.client import open_client
from room_server.site.delivery import Delivery
from room_server.state import site_operations
from room_server.state.site_events import SiteEvents, standings
from room_server.state.store import Store

logger = logging.getLogger(__name__)

UNSEEN_MS = 7 * 24 * 3600 * 1000
"""A receiver that has been in no worker's settings for so long is forgotten."""


async def deliver(settings: Settings, store: Store, worker: str, stopping: asyncio.Event) -> None:
    """Deliver to all receivers of the settings until `stopping` is set; `worker` is unique to this process."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as deliveries:
        for url in settings.site_urls():
            client = await stack.enter_async_context(open_client(url, settings.site_secrets()))
            events = SiteEvents(store, client.receiver, worker)
            for tag in store.keys.tags:
                deliveries.create_task(Delivery(events, tag, client, stopping).run())


async def forget_unseen(store: Store, urls: Iterable[str]) -> None:
    """Forget receivers that have long been in no worker's settings, and are none of `urls`. Raises StateUnavailable."""
    known = {Receiver.of(url).id for url in urls}
    for standing in await standings(store):
        if standing.receiver not in known and standing.now - standing.progress.seen_at >= UNSEEN_MS:
            await site_operations.remove(store, standing)
            logger.warning("%s has been in no settings for a week and is forgotten: %d events waited, %d were parked",
                           standing.progress.label, standing.lag, standing.parked)  # fmt: skip
