"""The import is under way while the lead is forgotten, and is let go on afterwards."""

import asyncio

from room_server.state import roster
from room_server.state.startup import open_state
from tests.chaos.importing import LEADS, Import, forget_beside_import
from tests.chaos.show import planned
from tests.support import room, settings_for


async def test_a_lead_that_was_forgotten_meanwhile_is_not_back(valkey_url: str) -> None:
    settings = settings_for(valkey_url)
    async with open_state(settings) as state:
        found = await forget_beside_import(state, settings, "w", 7)

        assert not found.is_back


async def test_an_import_that_nobody_disturbs_brings_all(valkey_url: str) -> None:
    settings = settings_for(valkey_url)
    async with open_state(settings) as state:
        await planned(state.store, room())
        beside = Import(settings, "w", 7)
        beside.go_on.set()
        await asyncio.to_thread(beside.run)

        assert len([entry async for entry in roster.entries(state.store, "w")]) == LEADS
