"""One webinar from its schedule to its end: leads enter and complete, a speaker works, an operator pauses."""

import asyncio
import random
import secrets
from datetime import timedelta
from functools import partial
from typing import Any

from room_server.clock import utc_now
from room_server.core.decision_types import Command, OperatorAction
from room_server.core.room import Room, RosterEntry
from room_server.errors import Refusal, StateUnavailable
from room_server.state import roster
from room_server.state.store import Store
from tests.chaos.recorder import Recorder
from tests.support import OPERATOR, eventually, room, transactions

PATIENCE = 60.0
"""Seconds in which an operator's act succeeds."""
AGAIN = 0.1
"""Seconds before a lead that is not let in asks again."""


LOADS = 8
"""How often a lead loads its page at most."""


class Show:
    """The webinar `name` with `leads` on its roster, every sixth of them with chats; two thirds of them enter."""

    def __init__(self, name: str, leads: range, recorder: Recorder, store: Store) -> None:
        self.name = name
        self.leads = leads
        self._recorder = recorder
        self._store = store
        self.entered: set[int] = set()
        """Leads whose entering was acknowledged."""
        self.answered: dict[int, bool] = {}
        """Leads whose completion was acknowledged, and whether they were told that they had come."""
        self.over = asyncio.Event()

    async def prepare(self, number: int) -> None:
        """Schedule it and import its roster; each webinar has chats of its own."""
        base = 1_000_000 * (number + 1)
        people = [
            RosterEntry(lead_id=lead, candidate_chat_id=base + lead, partner_chat_id=base + 500_000 + lead)
            if lead % 6 == 0
            else RosterEntry(lead_id=lead)
            for lead in self.leads
        ]
        at, more = utc_now() + timedelta(minutes=1), {"cta_label": "Join", "cta_url": "https://example.org/join"}
        await planned(self._store, room(self.name, scheduled_at=at, recording_url="https://example.org/r", **more))

        async def imported() -> bool:
            try:
                await roster.import_roster(self._store, self.name, people, replace=False)
            except Refusal:
                return False  # Redis is on its way back
            return True

        await eventually(imported, f"{self.name} has its roster", PATIENCE)

    async def run(self, seconds: float, seed: str) -> None:
        """Start, be live for so many seconds, stop; then those who stayed complete. `seed`: each has its own chance."""
        await self._ask("core_webinar_set_status", status="start")
        async with asyncio.TaskGroup() as tasks:
            for lead in self.leads:
                if lead % 3 != 1:
                    tasks.create_task(self._attend(lead, seconds, random.Random(f"{seed}/{lead}")))
            tasks.create_task(self._speak(random.Random(f"{seed}/speaker")))
            tasks.create_task(self._pause(seconds, random.Random(f"{seed}/operator")))
            await asyncio.sleep(seconds)  # the webinar's own length
            self.over.set()
        await self._ask("core_webinar_set_status", status="stop")
        await asyncio.gather(*(self._complete(lead) for lead in sorted(self.entered) if lead % 2 == 0))

    async def _ask(self, hook: str, **payload: Any) -> dict[str, Any] | None:
        return await self._recorder.ask(hook, webinar_id=self.name, **payload)

    async def _attend(self, lead: int, seconds: float, chance: random.Random) -> None:
        """Enter, and enter again, as a page does that is loaded again; refused in a pause, ask until it is over."""
        for _ in range(LOADS):
            await asyncio.sleep(chance.random() * seconds / LOADS)  # the load's own shape
            while not self.over.is_set():
                if await self._ask("client_webinar_entered", lead_id=lead, timestamp=1):
                    self.entered.add(lead)
                    break
                await asyncio.sleep(AGAIN)

    async def _complete(self, lead: int) -> None:
        answer = await self._ask("client_webinar_completed", lead_id=lead, completed_at=1)
        if answer is not None:
            self.answered[lead] = bool(answer["attended"])

    async def _speak(self, chance: random.Random) -> None:
        """Show the call to action and hide it again."""
        visible = True
        while not self.over.is_set():
            await self._ask("core_webinar_set_cta_visibility", visible=visible)
            visible = not visible
            await asyncio.sleep(chance.uniform(0.05, 0.2))  # the speaker's own pace

    async def _pause(self, seconds: float, chance: random.Random) -> None:
        """Two pauses; the webinar goes on after each."""
        for _ in range(2):
            await asyncio.sleep(chance.random() * seconds / 3)  # the operator's own moment
            for trigger in ("pause", "resume"):
                await eventually(partial(self._act, trigger), f"the operator's {trigger}", PATIENCE)
                await asyncio.sleep(min(0.3, seconds / 10))  # the pause's own length

    async def _act(self, trigger: str) -> bool:
        try:
            await transactions(self._store).apply(
                Command(id=secrets.token_hex(6), actor=OPERATOR, hook=OperatorAction(self.name, trigger))
            )
        except StateUnavailable:
            return False
        return True


async def planned(store: Store, made: Room) -> None:
    """Store a webinar that was not there before, however long Redis needs."""

    async def created() -> bool:
        try:
            if (await store.load(made.webinar_id)).room is None:
                await transactions(store).create(made)
        except Refusal:
            return False  # Redis is on its way back
        return True

    await eventually(created, f"{made.webinar_id} is planned", PATIENCE)
