"""The whole story of a webinar and its people: they connect, some turn messages off or block the bot, it moves twice,
starts and ends; workers are killed in between. Everybody gets exactly what they should, in order, once.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import groupby

import httpx
import pytest

from room_server.api.telegram_updates import HEADER
from room_server.clock import utc_now
from room_server.core.bindings import Person, lead, partner
from room_server.core.planning import PlanWebinar
from room_server.core.room import RosterEntry
from room_server.operations import webinars
from room_server.state import bindings
from room_server.state.outbox import Outbox
from room_server.state.roster import import_roster
from room_server.telegram import texts
from room_server.telegram.deep_links import open_links
from room_server.telegram.sender import IN_FLIGHT
from tests.support import OPERATOR, SLACK, TOKEN_SECRET, Site, eventually, serving, settings_for, wait_until
from tests.telegram.bot_api import TOKEN, BotApi
from tests.terminal import Running, running

PUBLIC = "https://rooms.example.org"
PARTNERS = range(1, 9)
WORDS = {"connected": "подключён", "moved": "новое время", "started": "начался", "thanks": "спасибо", "pity": "жаль"}
"""How the messages of the story are told apart; all leads are Russian."""


class Story:
    """The site, the bot's people, and the worker that is killed now and then."""

    def __init__(self, site: Site, api: BotApi, size: int) -> None:
        self.site = site
        self.api = api
        self.leads = range(1, size + 1)
        self.stopped = set(self.leads[::10])
        self.blocked = set(self.leads[5::20])
        self.active = [one for one in self.leads if one not in self.stopped | self.blocked]
        self.kills = 0

    def chat(self, person: Person) -> int:
        return (1000 if person.kind == "lead" else 500) + person.id

    async def press(self, person: Person) -> None:
        links = await open_links(self.site.settings, self.site.store)
        self.api.inbox.says(self.chat(person), f"/start {links.payload(person)}")

    async def plan(self, **fields: object) -> None:
        hook = PlanWebinar(webinar_id="w", **fields)  # type: ignore[arg-type]
        await webinars.plan(self.site.transactions, OPERATOR, hook)

    def heard(self, lead_id: int) -> list[str]:
        """What a lead has heard, in order; what came twice, because its sender was killed, stands once."""
        told = [self._word(text) for text in self.api.texts(1000 + lead_id)]
        return [word for word, _ in groupby(told)]

    def _word(self, text: str) -> str:
        return next((word for word, part in WORDS.items() if part in text), text)

    async def all_hear(self, word: str) -> None:
        await wait_until(lambda: all(word in self.heard(one) for one in self.active), f"all hear {word}")

    async def no_message_waits(self) -> None:
        """Every message has come to its end."""

        async def none() -> bool:
            found = [one.delivery.status async for one in Outbox(self.site.store).deliveries("w")]
            return not {"queued", "sending", "doubtful"} & set(found)

        await eventually(none, "every message has ended", seconds=180)

    def kill(self, worker: Running) -> None:
        os.kill(worker.process.pid, signal.SIGKILL)
        self.kills += 1


@asynccontextmanager
async def delivering_updates(story: Story) -> AsyncIterator[None]:
    """Telegram sends the updates to the webhook, each until it is taken; some come twice."""

    async def post() -> None:
        while True:
            hook = story.api.inbox.webhook
            for update in list(story.api.inbox.waiting) if hook else []:
                secret = {HEADER: str(hook and hook["secret_token"])}
                for _ in range(2 if update["update_id"] % 7 == 0 else 1):
                    with suppress(httpx.HTTPError):
                        answer = await story.site.http.post("/hooks/telegram_update", json=update, headers=secret)
                        if answer.status_code == 200 and update in story.api.inbox.waiting:
                            story.api.inbox.waiting.remove(update)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(post())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("mode", ["poll", "webhook"])
async def test_everybody_gets_what_they_should_in_order_once(
    valkey_url: str, api: BotApi, mode: str, soak: bool
) -> None:
    made = settings_for(valkey_url, evaluation_grace=1, telegram_updates=mode, public_url=PUBLIC)
    environment = {
        "ROOM_SERVER_REDIS_URL": valkey_url,
        "ROOM_SERVER_TELEGRAM_TOKEN": TOKEN,
        "ROOM_SERVER_TELEGRAM_BASE_URL": api.url,
        "ROOM_SERVER_TELEGRAM_UPDATES": mode,
        "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
        "ROOM_SERVER_PUBLIC_URL": PUBLIC,
        "ROOM_SERVER_EVALUATION_GRACE": "1",
    }
    async with serving(made) as site:
        story = Story(site, api, 200 if soak else 40)
        await prepare(story)
        async with delivering_updates(story):
            async with running("worker", **environment) as worker:
                await connect(story, worker)
            async with running("worker", **environment) as worker:
                await turn_off_and_move(story, worker)
            async with running("worker", **environment):
                await hold(story)
        await check(story)


async def prepare(story: Story) -> None:
    """A webinar in two days, and its leads, of whom nobody has a chat yet."""
    await story.plan(title="Webinar", scheduled_at=utc_now() + timedelta(days=2), remind=("start",), tell_arrivals=True)
    entries = [RosterEntry(lead_id=one, name=f"Лид {one}", partner_id=PARTNERS[one % 8]) for one in story.leads]
    await import_roster(story.site.store, "w", entries, replace=False)


async def connect(story: Story, worker: Running) -> None:
    """Everybody presses the link; the worker is killed when some are connected."""
    people = [*map(lead, story.leads), *map(partner, PARTNERS)]
    for person in people:
        await story.press(person)
    await wait_until(lambda: len(story.api.sent) > 5, "some were told")
    story.kill(worker)


async def turn_off_and_move(story: Story, worker: Running) -> None:
    """Some turn messages off or block the bot; the webinar moves, and moves again while that is told."""
    people = [*map(lead, story.leads), *map(partner, PARTNERS)]
    expected = {person: story.chat(person) for person in people}

    async def are_bound() -> bool:
        return await bindings.chats_of(story.site.store, people) == expected

    await eventually(are_bound, "everybody is connected")
    await story.all_hear("connected")
    for one in story.stopped:
        story.api.inbox.says(1000 + one, "/stop")
    for one in story.blocked:
        story.api.inbox.is_let(1000 + one, "kicked")

    async def are_off() -> bool:
        chats = [await bindings.chat(story.site.store, 1000 + one) for one in story.stopped | story.blocked]
        return all(chat.opted_out or chat.blocked for chat in chats)

    await eventually(are_off, "it is known")
    await story.plan(scheduled_at=utc_now() + timedelta(days=3))
    await wait_until(lambda: sum("новое время" in sent.text for sent in story.api.sent) > 5, "some are told")
    await story.plan(scheduled_at=utc_now() + timedelta(days=4))
    story.kill(worker)


async def hold(story: Story) -> None:
    """It starts; all who are to come enter, half of them stay to the end."""
    site, last = story.site, (await story.site.store.load("w")).room
    assert last is not None
    moment = texts.when(last.scheduled_at)
    chats = [1000 + one for one in story.active]
    await wait_until(
        lambda: all(any(moment in text for text in story.api.texts(chat)) for chat in chats),
        "all know the last time",
        seconds=180,
    )
    await story.no_message_waits()
    await site.status("start")
    await story.all_hear("started")
    began = time.monotonic()
    await site.entered(2)
    await wait_until(
        lambda: "👋 <b>Лид 2</b> сейчас на вебинаре «Webinar»." in story.api.texts(503), "the partner knows"
    )
    assert time.monotonic() - began < 2 + SLACK
    await asyncio.gather(*(site.entered(one) for one in story.leads))
    await site.status("stop")
    await asyncio.gather(*(site.completed(one) for one in story.leads[::2]))
    await eventually(lambda: classified(story), "all are evaluated", seconds=180)
    await story.no_message_waits()


async def classified(story: Story) -> bool:
    known = await story.site.store.call("HGET", story.site.store.keys.tally("w"), "classified")
    return int(known or 0) == len(story.leads)


async def check(story: Story) -> None:
    """What each has heard, and what became of every message."""
    for one in story.active:
        moves = story.heard(one).count("moved")
        end = "thanks" if one in story.leads[::2] else "pity"
        assert story.heard(one) == ["connected", *["moved"] * moves, "started", end], one
        assert moves == 1  # two new times in a row are one word here
    for one in story.stopped:
        assert [text for text in story.api.texts(1000 + one) if "Больше сообщений не будет" not in text] == [
            texts.words("ru")["connected"].strip()
        ] * max(1, len(story.api.texts(1000 + one)) - 1)
    for one in story.blocked:
        assert set(story.heard(one)) == {"connected"}
    statuses = Counter[tuple[str, str]]()
    doubts = 0
    async for held in Outbox(story.site.store).deliveries("w"):
        known = held.delivery
        group = "off" if known.lead_id in story.stopped else "blocked" if known.lead_id in story.blocked else "on"
        statuses[group if known.kind not in {"attendance", "arrival"} else "partner", known.status.value] += 1
        doubts += known.doubts
    assert {status for group, status in statuses if group == "on"} <= {"sent", "held"}
    assert {status for group, status in statuses if group == "off"} <= {"opted_out", "held"}
    assert {status for group, status in statuses if group == "blocked"} <= {"undeliverable", "held"}
    assert {status for group, status in statuses if group == "partner"} == {"sent"}
    repeats = sum(count - 1 for count in Counter((sent.chat_id, sent.text) for sent in story.api.sent).values())
    assert repeats <= doubts + story.kills * IN_FLIGHT
