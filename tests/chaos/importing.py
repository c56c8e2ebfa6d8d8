"""A person is forgotten while an import with that person in it is under way."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from room_server.config import Settings
from room_server.core.room import RosterEntry
from room_server.errors import Refusal, RoomServerError
from room_server.jobs import erasure
from room_server.state import roster
from room_server.state.redis.retry import deadline
from room_server.state.startup import State, open_state
from tests.chaos.show import planned
from tests.support import eventually, room

LEADS = 3 * roster.BATCH
"""So many travel in three commands: whoever is forgotten stands in the last one, and is forgotten before it is sent."""
PATIENCE = 60.0


class Forgotten(NamedTuple):
    """Whether a lead stands on the roster after it was forgotten and the import has ended."""

    webinar_id: str
    lead: int
    is_back: bool


class Import:
    """An import on a loop of its own, as another process has it; it stops before its last lead until `go_on` is set."""

    def __init__(self, settings: Settings, webinar_id: str, lead: int) -> None:
        self._settings = settings
        self._webinar_id = webinar_id
        self._lead = lead
        self.has_begun = threading.Event()
        self.go_on = threading.Event()

    def run(self) -> None:
        """Until it has ended, taken or refused."""
        try:
            with suppress(RoomServerError):
                asyncio.run(self._import())
        finally:
            self.has_begun.set()

    async def _import(self) -> None:
        async with open_state(self._settings) as state:
            await roster.import_roster(state.store, self._webinar_id, self._entries(), replace=False)

    def _entries(self) -> Iterator[RosterEntry]:
        yield from (RosterEntry(lead_id=self._lead + number) for number in range(1, LEADS))
        self.has_begun.set()
        self.go_on.wait(PATIENCE)
        yield RosterEntry(lead_id=self._lead)


async def forget_beside_import(state: State, settings: Settings, webinar_id: str, lead: int) -> Forgotten:
    """The import is not repeated when it is refused; the forgetting is, until it is done."""

    async def forgotten() -> bool:
        with suppress(Refusal):
            await erasure.forget(state.store, lead)
            return True
        return False

    await planned(state.store, room(webinar_id))
    beside = Import(settings, webinar_id, lead)
    running = asyncio.create_task(asyncio.to_thread(beside.run))
    try:
        await asyncio.to_thread(beside.has_begun.wait, PATIENCE)
        await eventually(forgotten, f"lead {lead} is forgotten", PATIENCE)
    finally:
        beside.go_on.set()
        await running
    found = await eventually(lambda: _looked(state, webinar_id, lead), "the roster can be read", PATIENCE)
    return Forgotten(webinar_id, lead, found == "back")


async def _looked(state: State, webinar_id: str, lead: int) -> str:
    """`back` or `gone`; empty while Redis does not answer."""
    with suppress(Refusal):
        async with deadline():
            key = state.store.keys.roster(webinar_id)
            return "back" if await state.store.call("HEXISTS", key, lead) else "gone"
    return ""
