"""`kill -9` of anything, at any moment: nothing that was acknowledged is lost, and there is never a second server."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from room_server.config import Settings
from room_server.state.startup import open_state
from tests.state.processes import Beside, beside, kill, nothing_is_left, servers, supervisors

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="processes are looked up in /proc")
VICTIMS = ("server", "supervisor", "server and supervisor", "a writer", "everything")
AHEAD = 25
"""Fewest acknowledgements of each writer between two kills."""


class Scene:
    """Two processes that write, and the writes that they printed as acknowledged."""

    def __init__(self, data: Path, stack: AsyncExitStack, chance: random.Random) -> None:
        self.data = data
        self.chance = chance
        self.writers: list[Beside] = []
        self.ever: list[Beside] = []
        self._stack = stack

    async def complete(self) -> None:
        """Start writers until there are two; return when each has written more."""
        self.writers = [writer for writer in self.writers if writer.process.returncode is None]
        while len(self.writers) < 2:
            writer = await self._stack.enter_async_context(
                beside("tests.state.writer", self.data, f"writer-{len(self.ever)}")
            )
            self.writers.append(writer)
            self.ever.append(writer)
        for writer in self.writers:
            await writer.has_said(len(writer.said) + AHEAD)

    async def strike(self, victim: str) -> None:
        """Kill the victim at a random moment."""
        await asyncio.sleep(self.chance.random() * 0.02)
        if victim in {"server", "server and supervisor", "everything"}:
            kill(servers(self.data))
        if victim in {"supervisor", "server and supervisor", "everything"}:
            kill(supervisors(self.data))
        for writer in self.writers if victim == "everything" else self.writers[: victim == "a writer"]:
            writer.kill()
            await writer.process.wait()

    def acknowledged(self) -> list[str]:
        """All webinars that any writer printed."""
        return [name for writer in self.ever for name in writer.said]


@asynccontextmanager
async def counting(data: Path) -> AsyncIterator[list[int]]:
    """Count the servers of the folder, again and again."""
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(len(servers(data)))
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def missing(data: Path, names: list[str]) -> list[str]:
    """The webinars among these that are not stored."""
    async with open_state(Settings(data_dir=str(data))) as state:
        texts = await state.store.public_texts(names)
    return [name for name, text in zip(names, texts, strict=True) if text is None]


async def test_nothing_acknowledged_is_lost_whatever_is_killed(tmp_path: Path, soak: bool) -> None:
    chance, rounds = random.Random(2026), 20 if soak else 1
    async with AsyncExitStack() as stack, counting(tmp_path) as seen:
        scene = Scene(tmp_path, stack, chance)
        for victim in [victim for _ in range(rounds) for victim in chance.sample(VICTIMS, len(VICTIMS))]:
            await scene.complete()
            await scene.strike(victim)
        await scene.complete()
        await scene.strike("everything")

        assert await missing(tmp_path, scene.acknowledged()) == []
        assert len(scene.acknowledged()) > rounds * len(VICTIMS) * AHEAD
        assert max(seen) == 1
    await nothing_is_left(tmp_path)
