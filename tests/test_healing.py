"""Connection counts of two processes: exact at rest, and right again within ten seconds of a `kill -9`."""

import os
import secrets
import signal
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx

from room_server import auth
from room_server.config import Settings
from room_server.state.startup import open_state
from tests.crowds import Audience
from tests.support import PATIENCE, TOKEN_SECRET, eventually, room, settings_for, transactions
from tests.terminal import Running, running

ATTENDEES, SPEAKERS = 30, 8


def web(url: str) -> AbstractAsyncContextManager[Running]:
    """A process that takes as many sockets of one person as come."""
    more = {"ROOM_SERVER_MAX_SOCKETS_PER_PERSON": "0"}
    return running("web", "--port", "0", ROOM_SERVER_REDIS_URL=url, ROOM_SERVER_TOKEN_SECRET=TOKEN_SECRET, **more)


def port_of(process: Running) -> int:
    return int(process.address.rpartition(":")[2])


def token(settings: Settings, role: str, webinar_id: str = "w") -> str:
    """Of somebody new, since who asks often is slowed down."""
    subject = "1" if role == "attendee" else secrets.token_hex(4)
    return auth.issue(settings, {"sub": subject, "role": role, "webinar_id": webinar_id}, 600)


async def counts(settings: Settings, process: Running) -> Any:
    """Total, roles of the one room, and total of each process."""
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        bearer = {"Authorization": f"Bearer {token(settings, 'monitor', '*')}"}
        told = (await http.get(f"{process.address}/monitor/counts", headers=bearer)).json()
    roles = [one["roles"] for one in told["rooms"]]
    return told["total"], roles, sorted(node["total"] for node in told["nodes"])


async def test_counts_are_exact_at_rest_and_heal_after_a_kill(valkey_url: str) -> None:
    settings = settings_for(valkey_url)
    async with open_state(settings) as state, web(valkey_url) as one, web(valkey_url) as other:
        await transactions(state.store).create(room())
        ports = [port_of(one), port_of(other)]
        crowds = [Audience("/rooms/w/socket", token(settings, role), ports) for role in ("attendee", "speaker")]
        for crowd, number in zip(crowds, (ATTENDEES, SPEAKERS), strict=True):
            await crowd.join(number)
        total, roles = ATTENDEES + SPEAKERS, [{"attendee": ATTENDEES, "speaker": SPEAKERS}]
        for process in (one, other):

            async def exact(process: Running = process) -> bool:
                return bool(await counts(settings, process) == (total, roles, [total // 2, total // 2]))

            await eventually(exact, "each process counts everybody, half of them at each")

        ports.remove(port_of(one))
        os.kill(one.process.pid, signal.SIGKILL)

        async def healed() -> bool:
            return bool(await counts(settings, other) == (total, roles, [total]))

        await eventually(healed, "everybody came back and is counted once")
        assert [crowd.without for crowd in crowds] == [ATTENDEES // 2, SPEAKERS // 2]
        for crowd in crowds:
            await crowd.leave()

        async def nobody() -> bool:
            return bool(await counts(settings, other) == (0, [], [0]))

        await eventually(nobody, "nobody is counted any more")
