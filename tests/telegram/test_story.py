"""The whole story of a webinar and its people: they connect, some turn messages off or block the bot, it moves twice,
starts and ends. Telegram floods, forbids, migrates and drops (tests/telegram/faults.py), and workers are killed in
between. Everybody gets exactly what they should, in order, once; what may have been lost comes twice at most.
"""

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import groupby

import httpx
import pytest

from room_server.api.telegram_updates import HEADER
from room_server.clock import utc_now
from room_server.core.bindings import Person, lead, partner
from room_server.core.delivery import Delivery
from room_server.core.messages import MessageKind
from room_server.core.planning import PlanWebinar
from room_server.core.room import RosterEntry
from room_server.operations import webinars
from room_server.state import bindings
from room_server.state.outbox import Outbox
from room_server.state.roster import import_roster
from room_server.telegram import texts
from room_server.telegram.deep_links import open_links
from room_server.telegram.sender import IN_FLIGHT
from tests.support import (
    OPERATOR,
    SLACK,
    TOKEN_SECRET,
    Site,
    eventually,
    few_at_once,
    persistent,
    serving,
    settings_for,
    wait_until,
)
from tests.telegram.bot_api import TOKEN, BotApi
from tests.telegram.faults import BLOCKED, CUT, DEACTIVATED, FORBIDDING, GROUP, NOT_FOUND, SUPERGROUP, Faults
from tests.terminal import Running, running

PUBLIC = "https://rooms.example.org"
PARTNERS = range(1, 9)
WORDS = {
    "connected": "подключён",
    "stopped": "не будет",
    "moved": "новое время",
    "started": "начался",
    "thanks": "спасибо",
    "pity": "жаль",
}
"""How the messages of the story are told apart; all leads are Russian."""


class Story:
    """The site, the bot's people, and the worker that is killed now and then."""

    def __init__(self, site: Site, api: BotApi, size: int) -> None:
        self.site = site
        self.api = api
        self.leads = range(1, size + 1)
        self.stopped = set(self.leads[::10])
        self.blocked = set(self.leads[5::20])
        self.faults = Faults(api, self.leads)
        self.silent = self.stopped | self.blocked | self.faults.gone | self.faults.unknown
        self.active = [one for one in self.leads if one not in self.silent]
        self.unhurt = [one for one in self.active if one not in self.faults.late]
        self.people = [*(lead(one) for one in self.leads if one not in self.faults.unknown), *map(partner, PARTNERS)]
        self.kills = 0

    def chat(self, person: Person) -> int:
        return (1000 if person.kind == "lead" else 500) + person.id

    async def press(self, person: Person) -> None:
        links = await open_links(self.site.settings, self.site.store)
        self.api.inbox.says(self.chat(person), f"/start {links.payload(person)}")

    async def plan(self, **fields: object) -> None:
        hook = PlanWebinar(webinar_id="w", **fields)  # type: ignore[arg-type]
        await webinars.plan(self.site.transactions, OPERATOR, hook)

    def told(self, lead_id: int) -> list[str]:
        """What a lead was told, in order."""
        return [self._word(text) for text in self.api.texts(1000 + lead_id)]

    def heard(self, lead_id: int) -> list[str]:
        """The same; what came twice in a row stands once."""
        return [word for word, _ in groupby(self.told(lead_id))]

    def _word(self, text: str) -> str:
        return next((word for word, part in WORDS.items() if part in text), text)

    async def hear(self, leads: Iterable[int], word: str) -> None:
        known = list(leads)
        await wait_until(lambda: all(word in self.heard(one) for one in known), f"they hear {word}")

    async def no_message_waits(self) -> None:
        """Every message has come to its end."""

        async def none() -> bool:
            found = [one.delivery.status async for one in Outbox(self.site.store).deliveries("w")]
            return not {"queued", "sending", "doubtful"} & set(found)

        await eventually(none, "every message has ended", seconds=180)

    async def kill(self, worker: Running) -> None:
        """The worker has no time for anything."""
        await worker.end(signal.SIGKILL)
        self.kills += 1

    async def end(self, worker: Running) -> None:
        """The worker sends what it has in hand."""
        status, told = await worker.end()
        assert status == 0, told


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


@pytest.mark.parametrize(
    "modes",
    [
        ("poll", "webhook", "poll"),
        pytest.param(("poll",) * 3, marks=pytest.mark.long),
        pytest.param(("webhook",) * 3, marks=pytest.mark.long),
    ],
    ids="-".join,
)
async def test_everybody_gets_what_they_should_in_order_once(
    valkey_url: str, api: BotApi, modes: tuple[str, str, str], soak: bool
) -> None:
    """`modes`: how each of three workers, one after the other, is told to get the updates."""
    mode = "webhook" if "webhook" in modes else "poll"
    grace = 30 if soak else 3  # in which half of the leads complete, however busy the machine is
    made = settings_for(valkey_url, evaluation_grace=grace, telegram_updates=mode, public_url=PUBLIC)
    environment = {
        "ROOM_SERVER_REDIS_URL": valkey_url,
        "ROOM_SERVER_TELEGRAM_TOKEN": TOKEN,
        "ROOM_SERVER_TELEGRAM_BASE_URL": api.url,
        "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
        "ROOM_SERVER_PUBLIC_URL": PUBLIC,
        "ROOM_SERVER_EVALUATION_GRACE": str(grace),
    }
    first, second, third = ({**environment, "ROOM_SERVER_TELEGRAM_UPDATES": mode} for mode in modes)
    async with serving(made) as site:
        story = Story(site, api, 200 if soak else 20)
        await prepare(story)
        async with delivering_updates(story):
            async with running("worker", **first) as worker:
                await connect(story)
                await (story.kill if soak else story.end)(worker)
            async with running("worker", **second) as worker:
                await turn_off_and_move(story)
                await story.kill(worker)
            async with running("worker", **third):
                await hold(story, with_trouble=soak)
        await check(story)


async def prepare(story: Story) -> None:
    """A webinar in two days, and its leads, of whom nobody has a chat yet."""
    await story.plan(title="Webinar", scheduled_at=utc_now() + timedelta(days=2), remind=("start",), tell_arrivals=True)
    entries = [
        RosterEntry(
            lead_id=one,
            name=f"Лид {one}",
            partner_id=PARTNERS[one % 8],
            candidate_chat_id=1000 + one if one in story.faults.unknown else None,
            partner_chat_id=GROUP if one in story.faults.in_group else None,
        )
        for one in story.leads
    ]
    await import_roster(story.site.store, "w", entries, replace=False)


async def connect(story: Story) -> None:
    """Everybody presses the link, and some are connected."""
    story.faults.while_connecting()
    for person in story.people:
        await story.press(person)
    await wait_until(lambda: len(story.api.sent) > 5, "some were told")


async def turn_off_and_move(story: Story) -> None:
    """Some turn messages off or block the bot; the webinar moves, and moves again while that is told."""
    faults, expected = story.faults, {person: story.chat(person) for person in story.people}

    async def are_bound() -> bool:
        return await bindings.chats_of(story.site.store, story.people) == expected

    await eventually(are_bound, "everybody is connected")
    await wait_until(lambda: faults.are_met(faults.unanswered), "some miss the reply")
    for one in faults.unanswered:
        await story.press(lead(one))
    await story.hear(set(story.leads) - faults.unknown, "connected")
    await wait_until(lambda: all(story.api.texts(500 + one) for one in PARTNERS), "so do the partners")
    for one in story.stopped:
        story.api.inbox.says(1000 + one, "/stop")
    for one in story.blocked:
        story.api.inbox.is_let(1000 + one, "kicked")

    async def are_off() -> bool:
        chats = [await bindings.chat(story.site.store, 1000 + one) for one in story.stopped | story.blocked]
        return all(chat.opted_out or chat.blocked for chat in chats)

    await eventually(are_off, "it is known")
    faults.while_moving()
    await story.plan(scheduled_at=utc_now() + timedelta(days=3))
    await wait_until(lambda: sum("новое время" in sent.text for sent in story.api.sent) > 5, "some are told")
    faults.while_moving_again()
    await story.plan(scheduled_at=utc_now() + timedelta(days=4))


async def hold(story: Story, with_trouble: bool) -> None:
    """It starts; everybody enters, half of them stay to the end."""
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
    story.faults.while_starting()
    await site.status("start")
    await story.hear(story.unhurt, "started")
    began = time.monotonic()
    await site.entered(2)
    await wait_until(
        lambda: "👋 <b>Лид 2</b> сейчас на вебинаре «Webinar»." in story.api.texts(503), "the partner knows"
    )
    assert time.monotonic() - began < 2 + SLACK
    await few_at_once(persistent(partial(site.entered, one)) for one in story.leads)
    await story.no_message_waits()
    story.faults.while_ending(with_trouble)
    await site.status("stop")
    await few_at_once(persistent(partial(site.completed, one)) for one in story.leads[::2])
    await eventually(lambda: classified(story), "all are evaluated", seconds=180)
    await story.no_message_waits()


async def classified(story: Story) -> bool:
    known = await story.site.store.call("HGET", story.site.store.keys.tally("w"), "classified")
    return int(known or 0) == len(story.leads)


async def check(story: Story) -> None:
    """What each has heard, and what became of every message."""
    known = [held.delivery async for held in Outbox(story.site.store).deliveries("w")]
    assert not any(story.api.next.values()), "every fault was met"
    check_active(story, {(one.lead_id, one.name): one.doubts for one in known})
    check_silent(story)
    check_partners(story, known)
    check_records(story, known)
    doubts = sum(one.doubts for one in known)
    repeats = sum(count - 1 for count in Counter((sent.chat_id, sent.text) for sent in story.api.sent).values())
    assert repeats <= doubts + story.kills * IN_FLIGHT


def check_active(story: Story, doubts: dict[tuple[int, str], int]) -> None:
    """Those who want messages hear each once; a second time only what may not have arrived."""
    faults = story.faults
    for one in story.active:
        end = "thanks" if one in story.leads[::2] else "pity"
        assert story.heard(one) == ["connected", "moved", "started", end], one  # two new times in a row are one word
        at_least = 2 if one in faults.cut | faults.hung | faults.doubted else 1
        starts, ends = story.told(one).count("started"), story.told(one).count(end)
        assert at_least <= starts <= min(2, 1 + doubts[one, "reminder_start"]), one
        assert 1 <= ends <= min(2, 1 + doubts[one, "follow_up"]), one


def check_silent(story: Story) -> None:
    """The others hear nothing once they turned messages off, blocked the bot or were deactivated."""
    for one in story.stopped:
        assert story.heard(one) == ["connected", "stopped"], one
    for one in story.blocked | story.faults.gone:
        assert story.heard(one) == ["connected"], one
    for one in story.faults.unknown:
        assert story.told(one) == [], one


def check_partners(story: Story, known: list[Delivery]) -> None:
    """Each partner hears of each of its leads that it came, and then whether it stayed."""
    readers = defaultdict[int, list[int]](list)
    for one in story.leads:
        readers[SUPERGROUP if one in story.faults.in_group else 501 + one % 8].append(one)
    assert story.api.tried(GROUP)
    assert story.api.texts(GROUP) == []
    for chat, leads in readers.items():
        told = [text for text in story.api.texts(chat) if text != texts.words("ru")["connected"].strip()]
        came = [f"👋 <b>Лид {one}</b> сейчас на вебинаре «Webinar»." for one in leads]
        ended = [
            f"✅ <b>Лид {one}</b> был(а) на вебинаре «Webinar»."
            if one in story.leads[::2]
            else f"❌ <b>Лид {one}</b> не был(а) на вебинаре «Webinar» или был(а) слишком мало."
            for one in leads
        ]
        if chat == FORBIDDING:
            assert told == []
            continue
        repeated = Counter(told) - Counter(came + ended)
        doubts = sum(one.doubts for one in known if one.chat_id == chat)
        assert set(told) == {*came, *ended}, chat
        assert (1 if chat == CUT else 0) <= repeated.total() <= doubts, chat
        assert [text in ended for text in told] == sorted(text in ended for text in told), "first of all who came"


def check_records(story: Story, known: list[Delivery]) -> None:
    """Each message has ended as the answers of Telegram say."""
    faults = story.faults
    for one in known:
        outcome = one.status.value, one.error
        if one.kind in {MessageKind.ATTENDANCE, MessageKind.ARRIVAL}:
            assert one.chat_id != GROUP
            assert outcome == (("undeliverable", BLOCKED) if one.chat_id == FORBIDDING else ("sent", None)), one
        elif one.kind is MessageKind.RECORDING:
            assert outcome == ("held", None), one
        elif one.lead_id in story.stopped:
            assert one.status == "opted_out", one
        elif one.lead_id in story.blocked:
            assert outcome == ("undeliverable", "the chat has blocked the bot"), one
        elif one.lead_id in faults.gone | faults.unknown:
            assert outcome == ("undeliverable", DEACTIVATED if one.lead_id in faults.gone else NOT_FOUND), one
        elif one.lead_id in faults.doubted and one.name == "reminder_start":
            assert one.status == "parked", one
        else:
            assert outcome == ("sent", None), one
    tried = {one.lead_id: (one.attempts, one.doubts) for one in known if one.name == "reminder_start"}
    assert {tried[one] for one in faults.flooded} == {(1, 0)}, "a flood is no try"
    assert {tried[one] for one in faults.refused} == {(2, 0)}
    assert {tried[one] for one in faults.cut | faults.hung | faults.dropped} == {(2, 1)}
    assert {tried[one] for one in faults.doubted} == {(2, 2)}
