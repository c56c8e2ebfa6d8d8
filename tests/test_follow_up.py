"""After a webinar of 61 leads, of whom 30 enter and 20 complete: who is told what, through a flood and a `kill -9`."""

import html
import os
import signal
import time
from collections import Counter
from functools import partial
from typing import NamedTuple

from room_server import attendance_report
from room_server.core.messages import MessageKind
from room_server.core.room import RosterEntry
from room_server.state import roster
from room_server.state.outbox import Outbox
from tests.support import AT, Site, eventually, few_at_once, persistent, room, serving, settings_for, wait_until
from tests.telegram.bot_api import TOKEN, BotApi, flood, take_and_hang
from tests.telegram.conftest import api
from tests.terminal import running

__all__ = ["api"]
LEADS, ENTER, COMPLETE = range(1, 62), range(1, 31), range(1, 21)
PARTNERS = 10
TITLE, CTA, RECORDING = "Как <жить>", "https://example.org/next?a=1&b=2", "https://example.org/recording"
FLOODED, CUT_OFF = 1003, 1021
"""Candidates' chats: lead 3 completed, lead 21 did not."""


def person(lead: int) -> RosterEntry:
    locale, name = ("en", f"Ann & {lead}") if lead % 2 == 0 else ("ru", f"Анна {lead}")
    partner = 2000 + lead % PARTNERS
    return RosterEntry(lead_id=lead, name=name, candidate_chat_id=1000 + lead, partner_chat_id=partner, locale=locale)


class Wanted(NamedTuple):
    """A message that somebody is to get."""

    chat_id: int
    text: str


def wanted(lead: int) -> set[Wanted]:
    """What candidate and partner are to get for a lead, word for word."""
    title, link = html.escape(TITLE), html.escape(CTA)
    name, candidate, partner = html.escape(person(lead).name), 1000 + lead, 2000 + lead % PARTNERS
    texts = {
        "ru": (f"✅ <b>{name}</b> был(а) на вебинаре «{title}».",
               f"{name}, спасибо, что были на вебинаре «{title}»!\nСледующий шаг — здесь: {link}",
               f"❌ <b>{name}</b> не был(а) на вебинаре «{title}» или был(а) слишком мало.",
               f"{name}, жаль, что не получилось посмотреть вебинар «{title}» целиком.\n"
               "Мы будем рады ответить на ваши вопросы.",
               f"{name}, вот запись вебинара «{title}»:\n{RECORDING}"),
        "en": (f"✅ <b>{name}</b> was at the webinar “{title}”.",
               f"{name}, thank you for being at the webinar “{title}”!\nThe next step is here: {link}",
               f"❌ <b>{name}</b> was not at the webinar “{title}”, or too briefly.",
               f"{name}, a pity that you could not watch the whole webinar “{title}”.\n"
               "We are glad to answer your questions.",
               f"{name}, here is the recording of the webinar “{title}”:\n{RECORDING}"),
    }  # fmt: skip
    came, thanks, missed, pity, recording = texts[person(lead).language]
    if lead in COMPLETE:
        return {Wanted(partner, came), Wanted(candidate, thanks)}
    return {Wanted(partner, missed), Wanted(candidate, pity), Wanted(candidate, recording)}


async def hold(site: Site) -> None:
    """The webinar, from its start to the last completion."""
    planned = room(title=TITLE, cta_url=CTA, recording_url=RECORDING, scheduled_at=AT)
    await site.transactions.create(planned)
    await roster.import_roster(site.store, "w", [person(lead) for lead in LEADS], replace=False)
    await site.status("start")
    await few_at_once(persistent(partial(site.entered, lead)) for lead in ENTER)
    await site.status("stop")
    answers = await few_at_once(persistent(partial(site.completed, lead)) for lead in COMPLETE)
    assert {answer.json()["attended"] for answer in answers} == {True}


async def all_sent(site: Site) -> bool:
    lines = await attendance_report.attendance(site.store, "w")
    return all(len(line.messages) == (2 if line.attended else 3) for line in lines) and {
        message.status.value for line in lines for message in line.messages
    } == {"sent"}


async def doubts(site: Site) -> Counter[tuple[int, MessageKind]]:
    """How often each message may have arrived without our knowing."""
    known = [held.delivery async for held in Outbox(site.store).deliveries("w")]
    return Counter({(delivery.lead_id, delivery.kind): delivery.doubts for delivery in known if delivery.doubts})


async def test_everyone_is_told_what_is_so_through_a_flood_and_a_kill(valkey_url: str, api: BotApi) -> None:
    api.next[FLOODED].append(flood(2))
    api.next[CUT_OFF].append(take_and_hang)
    environment = {
        "ROOM_SERVER_REDIS_URL": valkey_url,
        "ROOM_SERVER_TELEGRAM_TOKEN": TOKEN,
        "ROOM_SERVER_TELEGRAM_BASE_URL": api.url,
    }
    async with serving(settings_for(valkey_url, evaluation_grace=1)) as site:
        await hold(site)  # before there is a worker: however long it takes, nobody is evaluated meanwhile
        async with running("worker", **environment) as doomed:
            await wait_until(lambda: api.tried(CUT_OFF), "lead 21 is being written to")
            os.kill(doomed.process.pid, signal.SIGKILL)
            killed = time.monotonic()
            before = len(api.tries)
            async with running("worker", **environment):
                await eventually(lambda: all_sent(site), "everything was sent")
        lines = await attendance_report.attendance(site.store, "w")
        doubted = await doubts(site)

    assert Counter(line.route for line in lines) == {"attended": 20, "not_attended": 41}
    assert [line.lead_id for line in lines if line.attended] == list(COMPLETE)
    assert before < len(api.tries)
    _check_arrivals(api, doubted)
    again = api.tried(CUT_OFF)
    assert again[1] - killed <= 15
    assert len(api.tried(FLOODED)) == 2
    assert api.tried(FLOODED)[1] - api.tried(FLOODED)[0] >= 2


def _check_arrivals(api: BotApi, doubted: Counter[tuple[int, MessageKind]]) -> None:
    """Each message arrived, and again only where the first outcome could not be known."""
    arrived = Counter(Wanted(sent.chat_id, sent.text) for sent in api.sent)
    due = {message for lead in LEADS for message in wanted(lead)}
    repeats = sum(arrived.values()) - len(arrived)

    assert set(arrived) == due
    assert len(due) == 20 * 2 + 41 * 3
    assert 1 <= repeats <= sum(doubted.values()) <= 4
    assert max(arrived.values()) == 2
