import asyncio
from collections.abc import AsyncIterator

import pytest

from room_server.core.room import RosterEntry, Status
from room_server.state import reports, roster
from room_server.state.opening import open_state
from room_server.worker import work
from tests.conftest import settings_for
from tests.support import eventually, room
from tests.telegram.bot_api import TOKEN, BotApi, bot_api


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with bot_api() as running:
        yield running


async def test_a(valkey_url: str, api: BotApi) -> None:
    settings = settings_for(valkey_url, telegram_token=TOKEN, telegram_base_url=api.url, evaluation_grace=1)
    stopping = asyncio.Event()
    async with open_state(settings) as state:
        store = state.store
        await store.create(room(status=Status.LIVE))
        await roster.adopt(store, "w", [RosterEntry(lead_id=i, name=f"L{i}", candidate_chat_id=100+i, partner_chat_id=900) for i in range(1, 4)], False)
        task = asyncio.create_task(work(settings, state, stopping))
        from room_server.core.facts import Command
        from room_server.core.messages import Actor, Completed, Entered, Role, SetStatus
        sp = Actor(role=Role.SYSTEM, subject="x")
        await store.apply(Command(id="1", actor=sp, hook=Entered(webinar_id="w", lead_id=1, timestamp=1)))
        await store.apply(Command(id="1", actor=Actor(role=Role.SPEAKER, subject="s"), hook=SetStatus("w", "stop")))
        await store.apply(Command(id="1", actor=sp, hook=Completed(webinar_id="w", lead_id=1, completed_at=1)))

        async def done():
            lines = await reports.attendance(store, "w")
            return len(api.sent) >= 6 and lines
        lines = await eventually(done, "all sent", 12)
        for l in lines: print(l)
        for s in api.sent: print(s)
        stopping.set()
        await task
