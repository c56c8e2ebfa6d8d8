"""What was answered is there after `kill -9` of everything: web process, keeper and embedded server (Linux's /proc)."""

import asyncio
import os
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx

from room_server import auth
from room_server.config import Settings
from tests.support import AT, PATIENCE, TOKEN_SECRET, wait_until
from tests.terminal import Running, finished, running

START = {"webinar_id": "demo", "status": "start"}


def web(data: Path) -> AbstractAsyncContextManager[Running]:
    """A web process on the embedded server in `data`."""
    return running("web", "--port", "0", "--data-dir", str(data), ROOM_SERVER_TOKEN_SECRET=TOKEN_SECRET)


async def create(data: Path) -> None:
    """The webinar that all this is about."""
    at = ("--at", AT.isoformat())
    status, _, _ = await finished("webinar", "create", "demo", "--title", "Demo", *at, "--data-dir", str(data))
    assert status == 0


class Caller:
    """Whoever sends hooks to a web process."""

    def __init__(self, site: Running) -> None:
        limits = httpx.Limits(max_connections=50)
        self.http = httpx.AsyncClient(base_url=site.address, timeout=PATIENCE, limits=limits)

    async def start(self) -> httpx.Response:
        """Start the webinar, as its speaker."""
        return await self.http.post("/hooks/core_webinar_set_status", json=START, headers=bearer("speaker"))

    async def enter(self, lead_id: int) -> httpx.Response:
        """Enter for a lead, as the site."""
        payload = {"webinar_id": "demo", "lead_id": lead_id, "timestamp": 1}
        try:
            return await self.http.post("/hooks/client_webinar_entered", json=payload, headers=bearer("system"))
        except AttributeError as error:  # httpx' transport, when a connection is reset while it is being opened
            if "getpeername" not in str(error):
                raise
            raise httpx.ConnectError(str(error)) from error


def bearer(role: str) -> dict[str, str]:
    """The header of a caller."""
    claims = {"sub": role, "role": role, "webinar_id": "demo"}
    return {"Authorization": f"Bearer {auth.issue(Settings(token_secret=TOKEN_SECRET), claims, 3600)}"}


def kill_everything(site: Running, data: Path) -> list[int]:
    """`kill -9`, and whom: first those who would start the others again."""
    victims = [site.process.pid, keeper_of(data), int((data / "server").read_text())]
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    return victims


def keeper_of(data: Path) -> int:
    """The process that keeps the embedded server of this folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if b"room_server.state.redis.supervisor" in words and os.fsencode(data) in words:
            return int(process.name)
    raise AssertionError(f"nobody keeps {data}")


async def test_a_start_answered_just_before_everything_is_killed_is_there_after_the_restart(tmp_path: Path) -> None:
    await create(tmp_path)
    async with web(tmp_path) as site:
        caller = Caller(site)
        started = await caller.start()
        killed = kill_everything(site, tmp_path)
        await caller.http.aclose()
    assert started.json() == {**started.json(), "status": "live", "version": 2, "duplicate": False}

    async with web(tmp_path) as site:
        caller = Caller(site)
        again = await caller.start()
        await caller.http.aclose()
    assert again.json() == {**started.json(), "duplicate": True}
    assert int((tmp_path / "server").read_text()) not in killed


async def test_every_entering_answered_before_everything_is_killed_under_load_is_there_after_the_restart(
    tmp_path: Path, soak: bool
) -> None:
    leads = range(1, 3001) if soak else range(1, 301)
    await create(tmp_path)
    answered: set[int] = set()

    async with web(tmp_path) as site:
        caller = Caller(site)
        await caller.start()

        async def enter(lead_id: int) -> None:
            answer = await caller.enter(lead_id)
            assert (answer.status_code, answer.json()["duplicate"]) == (200, False)
            answered.add(lead_id)

        crowd = [asyncio.create_task(enter(lead_id)) for lead_id in leads]
        await wait_until(lambda: len(answered) >= 100, "a hundred leads had entered")
        kill_everything(site, tmp_path)
        ends = await asyncio.gather(*crowd, return_exceptions=True)
        await caller.http.aclose()
    assert [end for end in ends if end is not None and not isinstance(end, httpx.TransportError)] == []
    assert len(answered) < len(leads)

    async with web(tmp_path) as site:
        caller = Caller(site)
        again = await asyncio.gather(*map(caller.enter, leads))
        await caller.http.aclose()
    known = {answer.json()["lead_id"] for answer in again if answer.json()["duplicate"]}
    assert answered <= known
