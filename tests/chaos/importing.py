"""A person is forgotten while an import with that person in it is under way."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from room_server.core.room import RosterEntry
from room_server.errors import Refusal
from room_server.state import forgetting, roster
from room_server.state.opening import State
from room_server.state.patience import deadline
from tests.chaos.show import planned
from tests.support import eventually, room

LEADS = 4 * roster.BATCH
"""So many leads travel in several commands, and whoever is forgotten stands in the last one."""
PATIENCE = 60.0


class Forgotten(NamedTuple):
    """Whether a lead stands on the roster after it was forgotten and the import has ended."""

    webinar_id: str
    lead: int
    is_back: bool


async def forget_beside_import(state: State, webinar_id: str, lead: int) -> Forgotten:
    """The import begins first, and is not repeated when it is refused; the forgetting is, until it is done."""
    halfway = asyncio.Event()

    def entries() -> Iterator[RosterEntry]:
        for number in range(1, LEADS):
            if number > LEADS // 2:
                halfway.set()
            yield RosterEntry(lead_id=lead + number)
        yield RosterEntry(lead_id=lead)

    async def importing() -> None:
        try:
            with suppress(Refusal):
                await roster.adopt(state.store, webinar_id, entries(), replace=False)
        finally:
            halfway.set()

    async def forgetting_once() -> bool:
        with suppress(Refusal):
            await forgetting.forget(state.store, lead)
            return True
        return False

    await planned(state.store, room(webinar_id))
    async with asyncio.TaskGroup() as both:
        both.create_task(importing())
        await halfway.wait()
        await eventually(forgetting_once, f"lead {lead} is forgotten", PATIENCE)
    found = await eventually(lambda: _looked(state, webinar_id, lead), "the roster can be read", PATIENCE)
    return Forgotten(webinar_id, lead, found == "back")


async def _looked(state: State, webinar_id: str, lead: int) -> str:
    """`back` or `gone`; empty while Redis does not answer."""
    with suppress(Refusal):
        async with deadline():
            key = state.store.keys.roster(webinar_id)
            return "back" if await state.store.ask("HEXISTS", key, lead) else "gone"
    return ""
