"""What the processes share of the bot: its name, and a secret for an installation that has none for its tokens."""

import secrets

from room_server.state.redis.pipeline import Script
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

NAME_SECONDS = 7 * 86_400
"""How long the bot's name is kept after a worker last found it out: no link is offered to a bot that nobody runs."""


async def name(store: Store) -> str | None:
    """The bot's user name, without an @; None while no worker has found it out. Raises StateUnavailable."""
    async with deadline():
        found = await store.call("GET", store.keys.bot("name"))
    return found.decode() if found else None


async def keep_name(store: Store, user_name: str) -> None:
    """Keep the bot's name for NAME_SECONDS. Raises StateUnavailable."""
    async with deadline():
        await store.call("SET", store.keys.bot("name"), user_name, "EX", NAME_SECONDS)


async def drop_name(store: Store) -> None:
    """Forget the bot's name, so that no link to it is offered. Raises StateUnavailable."""
    async with deadline():
        await store.call("DEL", store.keys.bot("name"))


async def random_secret(store: Store) -> bytes:
    """The random secret of this Redis; the first call makes it. Raises StateUnavailable."""
    async with deadline():
        await store.call_replicated("SET", store.keys.bot("secret"), secrets.token_hex(32), "NX")
        found: bytes = await store.call_replicated("GET", store.keys.bot("secret"))
    return found


async def hold_receiver(store: Store, owner: str, seconds: float) -> bool:
    """Take or prolong the right to receive the updates; False while another process has it. Raises StateUnavailable."""
    async with deadline():
        lease = [owner, round(seconds * 1000)]
        return bool(await store.run(Script.read("hold_lease"), [store.keys.bot("receiver")], lease))


async def release_receiver(store: Store, owner: str) -> None:
    """Give that right up. Raises StateUnavailable."""
    if await hold_receiver(store, owner, 1.0):
        async with deadline():
            await store.call("DEL", store.keys.bot("receiver"))
