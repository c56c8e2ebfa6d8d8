"""`kill -9` of worker, web process and embedded server at random moments, under load: everyone is told once.

Three seeded rounds; ROOM_SERVER_CHAOS_ROUNDS asks for more, ROOM_SERVER_CHAOS_SEED for others.
"""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
from httpx import HTTPError

from room_server import auth
from room_server.config import Settings
from room_server.core.messages import Role
from room_server.core.room import RosterEntry
from room_server.errors import Refusal
from room_server.server import bind
from room_server.state import catalogue, reports, roster
from room_server.state.opening import open_state
from room_server.state.outbox import Outbox
from room_server.state.pipeline import pairs
from room_server.state.store import Store
from tests.support import AT, TOKEN_SECRET, eventually, room
from tests.telegram.bot_api import TOKEN, BotApi, take_slowly
from tests.telegram.conftest import api
from tests.terminal import Running, running

__all__ = ["api"]
ROUNDS = int(os.environ.get("ROOM_SERVER_CHAOS_ROUNDS", "3"))
SEED = int(os.environ.get("ROOM_SERVER_CHAOS_SEED", "1"))
LEADS = range(1, 61)
ROUND_SECONDS = 1.5
STARTS = 5
VICTIMS = ("worker", "web", "server")


class Site:
    """One web process, two workers and the embedded server, each brought back when it was killed."""

    def __init__(self, data: Path, api: BotApi, stack: AsyncExitStack) -> None:
        self.data = data
        self._stack = stack
        with bind("127.0.0.1", 0) as free:
            self.port = free.getsockname()[1]
        self._environment = {
            "ROOM_SERVER_DATA_DIR": str(data),
            "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
            "ROOM_SERVER_EVALUATION_GRACE": "0.5",
            "ROOM_SERVER_TELEGRAM_TOKEN": TOKEN,
            "ROOM_SERVER_TELEGRAM_BASE_URL": api.url,
        }
        self._running: dict[str, list[Running]] = {"web": [], "worker": []}
        self.killed: Counter[str] = Counter()
        claims = {"sub": "chaos", "role": Role.SYSTEM, "webinar_id": "*"}
        token = auth.issue(Settings(token_secret=TOKEN_SECRET), claims, 3600)
        speaker = auth.issue(Settings(token_secret=TOKEN_SECRET), {**claims, "role": Role.SPEAKER}, 3600)
        self._tokens = {"core": speaker, "client": token}

    async def start(self, kind: str) -> None:
        """One more process of a kind; one that met a killed server and gave up is started again, as platforms do."""
        words = ("web", "--port", str(self.port)) if kind == "web" else ("worker",)
        for _ in range(STARTS):
            with contextlib.suppress(AssertionError):
                made = await self._stack.enter_async_context(running(*words, **self._environment))
                self._running[kind].append(made)
                return
        raise AssertionError(f"no {kind} could be started")

    async def kill(self, victim: str) -> None:
        """`kill -9`; a platform starts it again, and the keeper its server."""
        self.killed[victim] += 1
        if victim == "server":
            os.kill(int((self.data / "server").read_text()), signal.SIGKILL)
            return
        process = self._running[victim].pop(0)
        os.kill(process.process.pid, signal.SIGKILL)
        await self.start(victim)

    async def hook(self, name: str, **payload: object) -> dict[str, Any]:
        """The answer to a hook, sent until there is one; to repeat it is harmless."""
        headers = {"Authorization": f"Bearer {self._tokens[name.partition('_')[0]]}"}
        url = f"http://127.0.0.1:{self.port}/hooks/{name}"

        async def answered() -> dict[str, Any] | None:
            try:
                async with httpx.AsyncClient(timeout=3) as http:
                    answer = await http.post(url, json=payload, headers=headers)
            except HTTPError:
                return None
            return dict(answer.json()) if answer.status_code == 200 else None

        return dict(await eventually(answered, f"{name} is answered", 30))


@asynccontextmanager
async def site(data: Path, api: BotApi) -> AsyncIterator[Site]:
    """All of it, running."""
    async with AsyncExitStack() as stack:
        made = Site(data, api, stack)
        await asyncio.gather(made.start("web"), made.start("worker"), made.start("worker"))
        yield made


async def hold(site: Site, webinar_id: str, chance: random.Random) -> dict[int, bool]:
    """A webinar from start to end: half of the leads enter, a sixth complete; whether these were told that they came.

    One whose completion comes only after the evaluation, since the web process was gone, did not.
    """
    await site.hook("core_webinar_set_status", webinar_id=webinar_id, status="start")

    async def attend(lead: int) -> None:
        await asyncio.sleep(chance.random() * ROUND_SECONDS / 4)  # the load's own shape
        await site.hook("client_webinar_entered", webinar_id=webinar_id, lead_id=lead, timestamp=1)

    async def complete(lead: int) -> dict[str, Any]:
        return await site.hook("client_webinar_completed", webinar_id=webinar_id, lead_id=lead, completed_at=1)

    await asyncio.gather(*(attend(lead) for lead in LEADS if lead % 2 == 0))
    await site.hook("core_webinar_set_status", webinar_id=webinar_id, status="stop")
    answers = await asyncio.gather(*(complete(lead) for lead in LEADS if lead % 6 == 0))
    return {answer["lead_id"]: answer["attended"] for answer in answers}


async def strike(site: Site, chance: random.Random) -> None:
    """Each victim once, in any order, at any moment of a round."""

    async def blow(at: float, victim: str) -> None:
        await asyncio.sleep(at)  # the blow's own moment
        await site.kill(victim)

    await asyncio.gather(*(blow(chance.random() * ROUND_SECONDS, victim) for victim in VICTIMS))


async def prepared(store: Store, webinar_id: str, number: int) -> bool:
    """Whether the webinar and its roster are there; each round has chats of its own."""
    base = 1_000_000 * (number + 1)
    people = [RosterEntry(lead_id=lead) for lead in LEADS if lead % 3]
    people += [RosterEntry(lead_id=lead, candidate_chat_id=base + lead, partner_chat_id=base + 500 + lead)
               for lead in LEADS if lead % 3 == 0]  # fmt: skip
    try:
        if (await store.load(webinar_id)).room is None:
            await store.create(room(webinar_id, scheduled_at=AT, recording_url="https://example.org/r"))
        await roster.adopt(store, webinar_id, people, replace=False)
    except Refusal:
        return False  # the server is on its way back
    return True


async def settled(store: Store, webinar_id: str) -> bool:
    """Whether everything that follows a webinar has come to its end."""
    try:
        lines = await reports.attendance(store, webinar_id)
    except Refusal:
        return False
    told = [message.status.value for line in lines for message in line.messages]
    return len(told) == sum(2 if line.attended else 3 for line in lines) and set(told) <= {"sent", "parked", "no_chat"}


async def events(store: Store) -> Counter[tuple[str, str, int]]:
    """How often each hook was emitted for each lead."""
    counted: Counter[tuple[str, str, int]] = Counter()
    for tag in store.keys.tags:
        for _, fields in await store.ask("XRANGE", store.keys.events(tag), "-", "+"):
            said = dict(pairs(fields))
            payload = msgspec.json.decode(said[b"payload"])
            counted[said[b"hook"].decode(), payload["webinar_id"], payload.get("lead_id", 0)] += 1
    return counted


async def test_whatever_is_killed_everyone_is_classified_once_and_told(tmp_path: Path, api: BotApi) -> None:
    api.usual = take_slowly
    came: dict[str, dict[int, bool]] = {}
    async with site(tmp_path, api) as running_site, open_state(Settings(data_dir=str(tmp_path))) as state:
        for number in range(ROUNDS):
            name, chance = f"w{number}", random.Random(f"{SEED}/{number}")
            await eventually(partial(prepared, state.store, name, number), "it is planned")
            came[name], _ = await asyncio.gather(hold(running_site, name, chance), strike(running_site, chance))
        for name in came:
            await eventually(partial(settled, state.store, name), f"all of {name} was told", 40 + 3 * ROUNDS)

        assert running_site.killed == dict.fromkeys(VICTIMS, ROUNDS)
        await _check(state.store, came, api)


async def _check(store: Store, came: dict[str, dict[int, bool]], api: BotApi) -> None:
    told = await events(store)
    for name, answered in came.items():
        lines = await reports.attendance(store, name)
        assert {line.lead_id: line.attended for line in lines} == dict.fromkeys(LEADS, False) | answered
        for hook in ("client_webinar_attendance_classified", "post_webinar_route"):
            assert {told[hook, name, lead] for lead in LEADS} == {1}
    arrived = Counter((sent.chat_id, sent.text) for sent in api.sent)
    known = [held.delivery for name in came async for held in Outbox(store).deliveries(name)]
    fates = Counter(delivery.status.value for delivery in known)
    repeats = sum(arrived.values()) - len(arrived)

    assert await catalogue.fates(store) == fates
    assert len(known) - fates["no_chat"] - fates["parked"] <= len(arrived) <= len(known) - fates["no_chat"]
    assert repeats <= sum(delivery.doubts for delivery in known)
    assert fates["sent"] > 10 * fates["parked"]
