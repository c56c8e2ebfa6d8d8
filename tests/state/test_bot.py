"""What the processes share of the bot."""

import asyncio

from room_server.state import bot
from room_server.state.store import Store


async def test_the_name_is_what_a_worker_last_found_out_and_goes_with_time(any_store: Store) -> None:
    assert await bot.name(any_store) is None
    await bot.keep_name(any_store, "old_bot")
    await bot.keep_name(any_store, "a_bot")

    assert await bot.name(any_store) == "a_bot"
    assert 0 < await any_store.call("TTL", any_store.keys.bot("name")) <= bot.NAME_SECONDS
    await bot.drop_name(any_store)
    assert await bot.name(any_store) is None


async def test_the_random_secret_is_made_once_however_many_ask_at_once(any_store: Store) -> None:
    found = await asyncio.gather(*(bot.random_secret(any_store) for _ in range(20)))

    assert len(set(found)) == 1
    assert len(found[0]) == 64
