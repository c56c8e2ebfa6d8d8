"""A whole webinar in processes of their own, by its log: what is joined by a request's id, and whom it never names."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from room_server.core.room import RosterEntry
from room_server.state import roster, webinars
from tests.support import (
    HOOK_SECRET,
    PATIENCE,
    TOKEN_SECRET,
    Site,
    eventually,
    room,
    serving,
    settings_for,
    state_where,
)
from tests.telegram.bot_api import TOKEN, BotApi
from tests.telegram.conftest import api
from tests.telemetry.test_tracing import said
from tests.terminal import Running, running

__all__ = ["api"]
LEADS = (918273, 918274)
NAMES = ("Анна Каренина", "Константин Лёвин")
CHATS = (555000111, 555000222, 555000333, 555000444)
SCRAPER = "a-token-for-the-scraper"


class Webinar(NamedTuple):
    """The processes, the site's own eyes on Redis, and what was sent as a secret."""

    web: Running
    worker: Running
    site: Site
    tokens: list[str]

    async def hook(self, name: str, role: str = "speaker", lead: int = 0, **payload: Any) -> str:
        """Send a hook that is accepted; the id of its request."""
        token = self.site.token(role, **({"sub": str(lead), "name": NAMES[lead - LEADS[0]]} if lead else {}))
        self.tokens.append(token)
        body = {"webinar_id": "w", **({"lead_id": lead} if lead else {}), **payload}
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=self.web.address, headers=headers, timeout=PATIENCE) as http:
            answer = await http.post(f"/hooks/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-request-id"]

    def socket(self) -> connect:
        """An attendee's."""
        token = self.site.token("attendee", sub=str(LEADS[0]), name=NAMES[0])
        self.tokens.append(token)
        address = self.web.address.replace("http://", "ws://")
        return connect(
            f"{address}/rooms/w/socket", subprotocols=[Subprotocol("room.v1"), Subprotocol(f"room.bearer.{token}")]
        )


@asynccontextmanager
async def webinar(url: str, api: BotApi) -> AsyncIterator[Webinar]:
    """Its processes, and its two leads on the roster."""
    environment = {
        "ROOM_SERVER_REDIS_URL": url,
        "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
        "ROOM_SERVER_HOOK_SECRET": HOOK_SECRET,
        "ROOM_SERVER_METRICS_TOKEN": SCRAPER,
        "ROOM_SERVER_EVALUATION_GRACE": "1",
        "ROOM_SERVER_TELEGRAM_TOKEN": TOKEN,
        "ROOM_SERVER_TELEGRAM_BASE_URL": api.url,
        "ROOM_SERVER_LOG_FORMAT": "json",
    }
    people = [
        RosterEntry(lead_id=lead, name=name, candidate_chat_id=CHATS[number], partner_chat_id=CHATS[2 + number])
        for number, (lead, name) in enumerate(zip(LEADS, NAMES, strict=True))
    ]
    async with (
        serving(settings_for(url)) as site,
        running("web", "--port", "0", **environment) as web,
        running("worker", **environment) as worker,
    ):
        await site.transactions.create(room(title="A title", recording_url="https://example.org/recording"))
        await roster.import_roster(site.store, "w", people, replace=False)
        yield Webinar(web, worker, site, [])


async def held(running: Webinar) -> dict[str, str]:
    """The ids of the hooks of a webinar to whose end one lead stays, while the other never comes."""
    async with running.socket() as socket:
        ids = {"start": await running.hook("core_webinar_set_status", status="start")}
        await state_where(socket, status="live")
        ids["enter"] = await running.hook("client_webinar_entered", "attendee", LEADS[0], timestamp=1)
        ids["stop"] = await running.hook("core_webinar_set_status", status="stop")
        await state_where(socket, status="finished")
        ids["complete"] = await running.hook("client_webinar_completed", "attendee", LEADS[0], completed_at=1)
    await eventually(lambda: all_sent(running.site), "everybody was told")
    return ids


async def all_sent(site: Site) -> bool:
    """Two messages for who stayed, three for who did not."""
    return await webinars.delivery_counts(site.store) == {"sent": 5}


def lines(complaints: str) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [msgspec.json.decode(line) for line in complaints.splitlines()]


async def test_a_log_follows_a_request_to_its_frames_and_its_messages_and_names_nobody(
    valkey_url: str, api: BotApi
) -> None:
    async with webinar(valkey_url, api) as running:
        ids = await held(running)
        await troubled(running)
        outputs = await asyncio.gather(said(running.web), said(running.worker))
    web, worker = (lines(complaints) for _, complaints in outputs)

    _check_frames(web, ids)
    _check_messages(worker, ids)
    whole = "".join(out + complaints for out, complaints in outputs)
    secrets = [*running.tokens, TOKEN, TOKEN_SECRET, HOOK_SECRET, SCRAPER, TOKEN.partition(":")[2]]
    people = [*NAMES, *(word for name in NAMES for word in name.split()), *map(str, CHATS)]
    assert [word for word in [*secrets, *people] if word in whole] == []
    assert re.findall(r"eyJ[\w-]+", whole) == []


def _check_frames(web: list[dict[str, Any]], ids: dict[str, str]) -> None:
    """The line of the commit and that of the telling are about the same epoch and version."""
    changed = {line["request_id"]: line for line in web if line["message"] == "room changed"}
    told = {(line["webinar"], line["epoch"], line["version"]): line for line in web if line["message"] == "room told"}
    for hook, version, status in (("start", 2, "live"), ("stop", 3, "finished")):
        line = changed[ids[hook]]
        assert (line["version"], line["status"]) == (version, status)
        assert line["actor"].startswith("speaker:")
        frame = told["w", line["epoch"], version]
        assert frame["sockets"] == 1
        assert frame["ms"] >= 0
    assert len(changed) == len(told) == 2


def _check_messages(worker: list[dict[str, Any]], ids: dict[str, str]) -> None:
    """What the end leads to is the stop's, what a completion leads to is the completion's."""
    sent = [line for line in worker if line["message"].startswith("telegram: ")]
    by_request = {name: sorted(line["message"] for line in sent if line["request_id"] == ids[name]) for name in ids}
    assert by_request == {
        "start": [],
        "enter": [],
        "stop": [f"telegram: {kind} of w: sent" for kind in ("attendance", "follow_up", "recording")],
        "complete": [f"telegram: {kind} of w: sent" for kind in ("attendance", "follow_up")],
    }
    (evaluated,) = [line for line in worker if line["message"] == "evaluation of w: 1 leads classified"]
    assert evaluated["request_id"] == ids["stop"]


async def troubled(running: Webinar) -> None:
    """What is refused, or breaks off, is not told with its secrets either."""
    token = running.site.token("attendee", sub=str(LEADS[0]), name=NAMES[0])
    running.tokens.append(token)
    async with httpx.AsyncClient(base_url=running.web.address, timeout=PATIENCE) as http:
        for headers in ({"Authorization": f"Bearer {token}x"}, {"Authorization": token}, {"X-Request-ID": token}):
            await http.post("/hooks/client_webinar_entered", json={"name": NAMES[1]}, headers=headers)
            await http.get("/metrics", headers=headers)
            await http.get(f"/rooms/{token}/state?token={token}", headers=headers)
