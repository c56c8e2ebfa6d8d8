"""People, the bot and a whole worker: who presses a link is told so, gets messages, turns them off and on again."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from room_server.config import Settings
from room_server.core.bindings import Person, lead, partner
from room_server.core.incoming import button
from room_server.core.room import RosterEntry
from room_server.state import bindings, bot, heartbeat
from room_server.state.startup import State, open_state
from room_server.telegram import texts
from room_server.telegram.deep_links import open_links
from room_server.worker import working_beside
from tests.support import eventually, settings_for, wait_until
from tests.telegram.bot_api import TOKEN, BotApi
from tests.telegram.outgoing import Outgoing
from tests.telegram.test_opted_out import know

RU, EN = texts.words("ru"), texts.words("en")


@pytest.fixture
def settings(valkey_url: str, api: BotApi) -> Settings:
    return settings_for(valkey_url, telegram_token=TOKEN, telegram_base_url=api.url)


@pytest.fixture
async def state(settings: Settings) -> AsyncIterator[State]:
    async with open_state(settings) as opened:
        yield opened


class People:
    """Whoever writes to the bot."""

    def __init__(self, settings: Settings, state: State, api: BotApi) -> None:
        self._settings = settings
        self._state = state
        self._api = api

    async def press(self, person: Person, chat_id: int, **more: str) -> None:
        """The person's link is pressed in this chat."""
        links = await open_links(self._settings, self._state.store)
        self._api.inbox.says(chat_id, f"/start {links.payload(person)}", **more)

    async def hears(self, chat_id: int, text: str) -> None:
        """Wait until the chat got this."""
        await wait_until(lambda: text.strip() in self._api.texts(chat_id), f"{chat_id} hears {text!r}")


@pytest.fixture
def people(settings: Settings, state: State, api: BotApi) -> People:
    return People(settings, state, api)


async def test_whoever_presses_a_link_is_told_and_gets_what_follows(
    settings: Settings, state: State, api: BotApi, people: People
) -> None:
    outgoing = Outgoing(settings, state, api)
    async with working_beside(settings, state):
        await people.press(lead(1), 11, language="en")
        await people.press(partner(7), 17)
        await people.hears(11, EN["connected"])
        await people.hears(17, RU["connected"])
        await outgoing.put_leads(RosterEntry(lead_id=1, partner_id=7))
        await wait_until(lambda: len(api.sent) == 4, "both have their messages")

    assert [text.splitlines()[0] for chat in (11, 17) for text in api.texts(chat)[1:]] == [
        "Участник, жаль, что не получилось посмотреть вебинар «Webinar» целиком.",
        "❌ <b>Участник</b> не был(а) на вебинаре «Webinar» или был(а) слишком мало.",
    ]


async def test_stop_turns_messages_off_and_start_on_again(
    settings: Settings, state: State, api: BotApi, people: People
) -> None:
    outgoing = Outgoing(settings, state, api)
    async with working_beside(settings, state):
        await people.press(lead(1), 11)
        await people.hears(11, RU["connected"])
        api.inbox.says(11, "/stop")
        await people.hears(11, RU["stopped"])
        await outgoing.put_leads(RosterEntry(lead_id=1, partner_chat_id=11))
        await outgoing.until(1, "opted_out")
        api.inbox.says(11, "/start")
        await people.hears(11, RU["started"])
        await outgoing.put_leads(RosterEntry(lead_id=2, partner_chat_id=11))
        await outgoing.until(2, "sent")


async def test_a_chat_that_has_blocked_the_bot_is_let_alone_and_taken_back(
    settings: Settings, state: State, api: BotApi, people: People
) -> None:
    outgoing = Outgoing(settings, state, api)
    async with working_beside(settings, state):
        api.inbox.is_let(11, "kicked")
        await eventually(lambda: _is_blocked(state, 11), "it is known")
        await outgoing.put(11)
        await outgoing.until(11, "undeliverable")
        assert api.tried(11) == []
        api.inbox.is_let(11, "member")

        async def is_let_in() -> bool:
            return not await _is_blocked(state, 11)

        await eventually(is_let_in, "it is known")
        await outgoing.put_leads(RosterEntry(lead_id=2, partner_chat_id=11))
        await outgoing.until(2, "sent")


async def _is_blocked(state: State, chat_id: int) -> bool:
    return (await bindings.chat(state.store, chat_id)).blocked


async def test_another_chat_takes_over_once_the_first_has_agreed(
    settings: Settings, state: State, api: BotApi, people: People
) -> None:
    async with working_beside(settings, state):
        await people.press(lead(1), 11)
        await people.hears(11, RU["connected"])
        await people.press(lead(1), 12)
        await people.hears(12, RU["asked"])
        await people.hears(11, RU["question"])
        (ask,) = [sent for sent in api.sent if sent.buttons]
        api.inbox.presses(12, ask.buttons[0])
        api.inbox.presses(11, button(lead(2), "1", True))
        await wait_until(lambda: len(api.inbox.clicked) == 2, "the buttons were answered")
        before = await bindings.chats_of(state.store, [lead(1)])
        api.inbox.presses(11, ask.buttons[0])
        await people.hears(12, RU["connected"])
        await people.hears(11, RU["handed_over"])

    assert before == {lead(1): 11}
    assert await bindings.chats_of(state.store, [lead(1)]) == {lead(1): 12}


async def test_messages_that_found_no_chat_go_out_once_the_lead_has_pressed(
    settings: Settings, state: State, api: BotApi, people: People
) -> None:
    outgoing = Outgoing(settings, state, api)
    await outgoing.put_leads(RosterEntry(lead_id=1))
    async with working_beside(settings, state):
        await people.press(lead(1), 11)
        await wait_until(lambda: len(api.texts(11)) == 2, "the follow-up came behind the reply")

    assert api.texts(11)[0] == RU["connected"].strip()


async def reports(state: State, status: str) -> bool:
    """Whether this is what the one worker knows of Telegram."""
    return [node.telegram for node in await heartbeat.living(state.store)] == [status]


async def test_without_the_secret_a_worker_receives_nothing_and_says_so(
    settings: Settings, state: State, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    outgoing = Outgoing(settings, state, api)
    await outgoing.put(11)
    async with working_beside(replace(settings, token_secret=""), state):
        await outgoing.until(11, "sent")
        await eventually(lambda: reports(state, "no_updates"), "it reports that")

    assert "ROOM_SERVER_TOKEN_SECRET is not set for this worker" in caplog.text
    assert api.inbox.asked == []


async def test_switched_off_nothing_is_asked_and_no_link_is_offered(
    settings: Settings, state: State, api: BotApi
) -> None:
    outgoing = Outgoing(settings, state, api)
    await bot.keep_name(state.store, "a_bot")
    await know(state.store, 12, opted_out=True)
    await outgoing.put(11, 12)
    async with working_beside(replace(settings, telegram_updates="off", token_secret=""), state):
        await outgoing.until(11, "sent")
        await eventually(lambda: reports(state, "ok"), "nobody misses what is switched off")
        await outgoing.until(12, "opted_out")

    assert (api.inbox.asked, await bot.name(state.store)) == ([], None)
