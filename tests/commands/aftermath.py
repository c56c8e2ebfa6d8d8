"""A webinar that is over, for the tests of the commands that look at what came after it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from room_server.core.messages import MessageKind
from room_server.core.room import RosterEntry, Status
from room_server.jobs.evaluation import Evaluations
from room_server.state import roster
from room_server.state.outbox import FollowOn, Outbox, StoredDelivery
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.core.builders import complete, enter, stop
from tests.state.acts import done
from tests.support import AT, room, settings_for, transactions

WEBINAR = "demo"


def on(url: str, work: Callable[[Store], Awaitable[Any]], grace: float = 0) -> Any:
    """What `work` gives, on the server at `url`; the commands run loops of their own."""

    async def opened() -> Any:
        async with open_state(settings_for(url, evaluation_grace=grace)) as state:
            return await work(state.store)

    return asyncio.run(opened())


def ended(url: str, *people: RosterEntry, grace: float = 120, **fields: Any) -> None:
    """The webinar `demo` with this roster; lead 1 completed, lead 2 entered, and the evaluation waits for its grace."""

    async def work(store: Store) -> None:
        await transactions(store).create(room(WEBINAR, status=Status.LIVE, started_at=AT, on_air_since=AT, **fields))
        await roster.import_roster(store, WEBINAR, people, replace=False)
        for lead in (1, 2):
            await done(store, enter(lead))
        await done(store, stop(), grace)
        await done(store, complete(1))

    on(url, work, grace)


def over(url: str, *people: RosterEntry, **fields: Any) -> None:
    """The same webinar once everybody is evaluated."""
    ended(url, *people, grace=0, **fields)
    on(url, lambda store: Evaluations(transactions(store)).run_pending(WEBINAR))


def change(url: str, lead: int, kind: MessageKind, **fields: Any) -> None:
    """A message as it came to stand otherwise."""

    async def work(store: Store) -> None:
        outbox = Outbox(store)
        stored = await outbox.load(WEBINAR, f"{lead}:{kind}")
        assert stored is not None
        delivery = replace(stored.delivery, **fields)
        assert await outbox.update(WEBINAR, stored, delivery, FollowOn()) is not None

    on(url, work)


def deliveries_of(url: str) -> dict[str, StoredDelivery]:
    """All messages, by `lead:kind`."""

    async def work(store: Store) -> dict[str, StoredDelivery]:
        found = [stored async for stored in Outbox(store).deliveries(WEBINAR)]
        return {f"{stored.delivery.lead_id}:{stored.delivery.kind}": stored for stored in found}

    known: dict[str, StoredDelivery] = on(url, work)
    return known
