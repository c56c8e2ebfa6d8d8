"""Both secrets are changed while two web processes serve, as SECURITY.md says; nobody is turned away meanwhile."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import httpx
import pytest

from room_server.state.startup import open_state
from tests.support import HOOK_SECRET, PATIENCE, TOKEN_SECRET, room, settings_for, transactions
from tests.terminal import Running, Terminal, running
from tests.test_auth import OTHER_SECRET
from tests.test_signed import OTHER_HOOK_SECRET, webhook


class Fleet:
    """Web processes on one Redis, each replaced by one with other secrets when it is asked to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.secrets = {"ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET, "ROOM_SERVER_HOOK_SECRET": HOOK_SECRET}
        self.serving: dict[int, tuple[Running, contextlib.AsyncExitStack]] = {}
        self.leads: Iterator[int] = iter(range(1, 1000))

    async def start(self, number: int) -> None:
        """One more, with the secrets of the moment."""
        stack = contextlib.AsyncExitStack()
        command = running("web", "--port", "0", ROOM_SERVER_REDIS_URL=self.url, **self.secrets)
        self.serving[number] = (await stack.enter_async_context(command), stack)

    async def stop(self, number: int) -> None:
        """One less, in order."""
        process, stack = self.serving.pop(number)
        async with stack:
            assert (await process.end())[0] == 0

    async def roll(self, tokens: str, hooks: str, *good: dict[str, str]) -> None:
        """Restart one after the other with these secrets; whoever has a `good` token or secret is served throughout."""
        self.secrets = {"ROOM_SERVER_TOKEN_SECRET": tokens, "ROOM_SERVER_HOOK_SECRET": hooks}
        for number in list(self.serving):
            await self.stop(number)
            await self.check(*good)
            await self.start(number)
            await self.check(*good)

    async def check(self, *good: dict[str, str]) -> None:
        """Every process that serves takes these."""
        for site in good:
            assert {status for statuses in (await self.statuses(site)).values() for status in statuses} == {200}

    async def statuses(self, site: dict[str, str]) -> dict[int, tuple[int, int]]:
        """How each process answers a read with the site's token, and a hook that its secret signs."""
        answers = {}
        for number, (process, _) in self.serving.items():
            async with httpx.AsyncClient(base_url=process.address, timeout=PATIENCE) as http:
                bearer = {"Authorization": f"Bearer {site['token']}"}
                read = await http.get("/rooms/w/state", headers=bearer)
                lead = next(self.leads)
                body = json.dumps({"webinar_id": "w", "lead_id": lead, "timestamp": 1}).encode()
                signed = webhook(body, site["secret"], datetime.now(UTC), identity=f"msg_{lead}")
                hook = await http.post("/hooks/client_webinar_entered", content=body, headers=signed)
                answers[number] = (read.status_code, hook.status_code)
        return answers


@pytest.fixture
async def fleet(valkey_url: str) -> AsyncIterator[Fleet]:
    """Two processes, and a webinar that is live."""
    made = Fleet(valkey_url)
    async with open_state(settings_for(valkey_url)) as state:
        await transactions(state.store).create(room(status="live"))
    try:
        await asyncio.gather(made.start(1), made.start(2))
        yield made
    finally:
        for number in list(made.serving):
            await made.stop(number)


def token(fleet: Fleet, secrets: str) -> str:
    """What `room-server token issue` prints with these secrets: the first signs."""
    words = ("token", "issue", "--role", "moderator", "--webinar", "w")
    return Terminal(fleet.url).says(*words, ROOM_SERVER_TOKEN_SECRET=secrets).strip()


async def test_both_secrets_are_rotated_without_anybody_turned_away(fleet: Fleet) -> None:
    old = {"token": token(fleet, f"{TOKEN_SECRET} {OTHER_SECRET}"), "secret": HOOK_SECRET}
    new = {"token": token(fleet, f"{OTHER_SECRET} {TOKEN_SECRET}"), "secret": OTHER_HOOK_SECRET}
    await fleet.check(old)
    assert set((await fleet.statuses(new)).values()) == {(401, 401)}

    await fleet.roll(f"{TOKEN_SECRET} {OTHER_SECRET}", f"{HOOK_SECRET} {OTHER_HOOK_SECRET}", old)
    await fleet.check(old, new)

    await fleet.roll(OTHER_SECRET, OTHER_HOOK_SECRET, new)
    assert set((await fleet.statuses(old)).values()) == {(401, 401)}
