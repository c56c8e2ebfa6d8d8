"""The texts of the messages in both languages, and which templates of an operator are refused."""

import html
import json
import re

import pytest
from msgspec.structs import replace

from room_server.core.decision_types import Facts
from room_server.core.delivery import Delivery
from room_server.core.messages import MOMENTS, DeliveryStatus, MessageKind
from room_server.core.room import Participation, Room, RosterEntry
from room_server.telegram import texts
from room_server.telegram.texts import (
    LOCALES,
    MAX_FILE,
    MAX_MESSAGE,
    compose,
    name_of,
    parse,
    problems,
    standard,
    text_name,
)
from tests.support import AT, room

CTA = "https://example.org/offer?a=1&b=2"
RECORDING = "https://example.org/recording"
ROOM = room(title="Как <устроены> комнаты", cta_url=CTA, recording_url=RECORDING)
KINDS = [
    *((kind, attended) for kind in (MessageKind.ATTENDANCE, MessageKind.FOLLOW_UP) for attended in (True, False)),
    *((kind, False) for kind in MessageKind if kind not in {MessageKind.ATTENDANCE, MessageKind.FOLLOW_UP}),
]


def message(kind: MessageKind = MessageKind.FOLLOW_UP, attended: bool = True, locale: str = "ru") -> Delivery:
    return Delivery(lead_id=1, kind=kind, status=DeliveryStatus.QUEUED, attended=attended, chat_id=11, locale=locale)


def text_to(delivery: Delivery, webinar: Room, name: str) -> str:
    """The text to a lead of this name."""
    return compose(delivery, Facts(room=webinar, entry=RosterEntry(lead_id=1, name=name)), AT)


TITLE = "Как &lt;устроены&gt; комнаты"
LINK = "https://example.org/offer?a=1&amp;b=2"


@pytest.mark.parametrize(
    ("kind", "attended", "locale", "text"),
    [
        ("attendance", True, "ru", f"✅ <b>Анна</b> был(а) на вебинаре «{TITLE}»."),
        ("attendance", False, "ru", f"❌ <b>Анна</b> не был(а) на вебинаре «{TITLE}» или был(а) слишком мало."),
        ("follow_up", True, "ru", f"Анна, спасибо, что были на вебинаре «{TITLE}»!\nСледующий шаг — здесь: {LINK}"),
        ("follow_up", False, "ru", f"Анна, жаль, что не получилось посмотреть вебинар «{TITLE}» целиком.\n"
                                   "Мы будем рады ответить на ваши вопросы."),
        ("recording", False, "ru", f"Анна, вот запись вебинара «{TITLE}»:\n{RECORDING}"),
        ("attendance", True, "en", f"✅ <b>Анна</b> was at the webinar “{TITLE}”."),
        ("attendance", False, "en", f"❌ <b>Анна</b> was not at the webinar “{TITLE}”, or too briefly."),
        ("follow_up", True, "en", f"Анна, thank you for being at the webinar “{TITLE}”!\n"
                                  f"The next step is here: {LINK}"),
        ("follow_up", False, "en", f"Анна, a pity that you could not watch the whole webinar “{TITLE}”.\n"
                                   "We are glad to answer your questions."),
        ("recording", False, "en", f"Анна, here is the recording of the webinar “{TITLE}”:\n{RECORDING}"),
    ],
)  # fmt: skip
def test_each_message_has_its_standard_text(kind: str, attended: bool, locale: str, text: str) -> None:
    assert text_to(message(MessageKind(kind), attended, locale), ROOM, "Анна") == text


@pytest.mark.parametrize("name", ["<script>", "A & B", '"quoted"', "{link}", "{title}", "</b>", "&amp;"])
def test_a_name_is_shown_as_it_is_whatever_it_holds(name: str) -> None:
    text = text_to(message(MessageKind.ATTENDANCE), ROOM, name)

    assert text.startswith(f"✅ <b>{html.escape(name)}</b> ")


@pytest.mark.parametrize(("locale", "someone"), [("ru", "Участник"), ("en", "A participant")])
def test_a_lead_without_a_name_is_someone(locale: str, someone: str) -> None:
    assert f"<b>{someone}</b>" in text_to(message(MessageKind.ATTENDANCE, locale=locale), ROOM, "")


@pytest.mark.parametrize("locale", LOCALES)
def test_a_line_with_a_link_is_left_out_without_one(locale: str) -> None:
    text = text_to(message(locale=locale), room(), "Anna")

    assert len(text.splitlines()) == 1
    assert "{" not in text


def test_of_all_messages_only_reminders_hold_the_leads_own_link() -> None:
    """The partner would enter as the lead."""
    own = {name: "{title} {link}" for name in standard("ru") if name != "someone"}
    mine = room(texts={"ru": own}, cta_url=CTA, recording_url=RECORDING)
    links = {
        kind: compose(message(kind), Facts(room=mine), AT, "https://example.org/r/x").removeprefix("Webinar ")
        for kind in MessageKind
    }

    assert links.pop(MessageKind.REMINDER) == "https://example.org/r/x"
    assert links.pop(MessageKind.RECORDING) == RECORDING
    assert set(links.values()) == {LINK}


def test_a_webinars_own_texts_go_before_the_standard_ones() -> None:
    mine = room(texts={"ru": {"follow_up_attended": "Привет, {name}!", "someone": "друг"}}, recording_url=RECORDING)

    assert text_to(message(), mine, "") == "Привет, друг!"
    assert text_to(message(MessageKind.RECORDING), mine, "") == f"друг, вот запись вебинара «Webinar»:\n{RECORDING}"
    assert text_to(message(locale="en"), mine, "Ann") == "Ann, thank you for being at the webinar “Webinar”!"


def facts(entry: str | None, participation: str | None) -> Facts:
    """A lead by the names that the roster and its own token give it; None: it is not known there."""
    return Facts(
        entry=None if entry is None else RosterEntry(lead_id=1, name=entry),
        participation=None if participation is None else Participation(lead_id=1, name=participation or None),
    )


@pytest.mark.parametrize(
    ("entry", "participation", "name"),
    [
        ("Anna", "Ann", "Anna"),
        ("", "Ann", "Ann"),
        (None, "Ann", "Ann"),
        (None, "", ""),
        ("", None, ""),
        (None, None, ""),
    ],
)
def test_the_rosters_name_goes_before_the_tokens(entry: str | None, participation: str | None, name: str) -> None:
    assert name_of(facts(entry, participation)) == name


def test_every_message_has_a_text_in_every_language() -> None:
    needed = {text_name(message(kind, attended)) for kind, attended in KINDS} | {"someone"}
    needed |= {text_name(replace(message(MessageKind.REMINDER), moment=moment)) for moment in MOMENTS}

    assert [set(standard(locale)) for locale in LOCALES] == [needed, needed]


def test_the_standard_texts_have_no_problems() -> None:
    texts.check_standard()

    assert problems({locale: standard(locale) for locale in LOCALES}) == []


LONGEST = room(title="т" * 200, cta_url="https://e.org/" + "a" * 1986, recording_url="https://e.org/" + "a" * 1986)


def shown(text: str) -> int:
    """Its length as Telegram counts it: without tags, each entity one character."""
    return len(html.unescape(re.sub(r"<[^<>]*>", "", text)))


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(("kind", "attended"), KINDS)
def test_the_longest_message_is_one_that_telegram_takes(kind: MessageKind, attended: bool, locale: str) -> None:
    text = text_to(message(kind, attended, locale), LONGEST, "&" * 200)

    assert shown(text) < MAX_MESSAGE


def test_the_longest_own_text_that_is_let_through_is_one_that_telegram_takes() -> None:
    template = "x" * (MAX_MESSAGE - 2000 - 2 * 200 - 1) + "{name}{title}\n{link}"
    mine = {"ru": {"recording": template}}

    longest: Room = room(title="т" * 200, recording_url="https://e.org/" + "a" * 1986, texts=mine)
    assert problems(mine) == []
    assert shown(text_to(message(MessageKind.RECORDING), longest, "n" * 200)) == MAX_MESSAGE
    assert problems({"ru": {"recording": "x" + template}}) == [
        "ru.recording: with a long name, title and link it has 4097 characters; Telegram takes 4096"
    ]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, []),
        ({"ru": {}}, []),
        ({"ru": {"follow_up_missed": "<b>{name}</b>, {title}"}, "en": {"someone": "Friend"}}, []),
        ({"de": {"someone": "Freund"}}, ["de: expected one of ru, en"]),
        ({"ru": {"greeting": "x"}},
         ["ru.greeting: there is no such text; there are arrival, attendance_attended, attendance_missed, cancelled, "
          "follow_up_attended, follow_up_missed, moved, recording, reminder, reminder_start, someone"]),
        ({"ru": {"recording": "{nmae}: {link}"}},
         ["ru.recording: {nmae} is no place; there are {name}, {title}, {link}, {when}, {left}"]),
        ({"ru": {"recording": "{}"}},
         ["ru.recording: {} is no place; there are {name}, {title}, {link}, {when}, {left}"]),
        ({"ru": {"recording": ""}}, ["ru.recording: it says nothing"]),
        ({"en": {"recording": "<b>{link}"}}, ["en.recording: line 1: <b> is not closed"]),
        ({"en": {"follow_up_missed": "{link}"}},
         ["en.follow_up_missed: without its lines with {link}: it says nothing"]),
        ({"en": {"follow_up_missed": "<b>Hi\n{link}</b>"}},
         ["en.follow_up_missed: without its lines with {link}: line 1: <b> is not closed"]),
        ({"en": {"follow_up_missed": "Hi\n{link}</b>\n<p>"}},
         ["en.follow_up_missed: line 2: </b> closes nothing",
          "en.follow_up_missed: line 3: <p> is none of Telegram's tags",
          "en.follow_up_missed: line 3: <p> is not closed"]),
        ({"en": {"follow_up_missed": "{link} <b>\n</b>"}},
         ["en.follow_up_missed: without its lines with {link}: line 2: </b> closes nothing",
          "en.follow_up_missed: without its lines with {link}: it says nothing"]),
        ({"en": {"recording": "{link}"}}, []),
        ({"en": {"someone": "<b>you</b>"}}, ["en.someone: expected 1 to 200 characters without places and tags"]),
        ({"en": {"someone": "{name}"}}, ["en.someone: expected 1 to 200 characters without places and tags"]),
        ({"en": {"someone": " "}}, ["en.someone: expected 1 to 200 characters without places and tags"]),
        ({"en": {"someone": "x" * 201}}, ["en.someone: expected 1 to 200 characters without places and tags"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_own_texts_is_named(given: dict[str, dict[str, str]], found: list[str]) -> None:
    assert problems(given) == found


def test_own_texts_come_as_toml_or_json() -> None:
    given = {"ru": {"recording": "Запись: {link}"}, "en": {"someone": "Friend"}}
    toml = '[ru]\nrecording = "Запись: {link}"\n[en]\nsomeone = "Friend"\n'

    assert parse(json.dumps(given).encode()) == given
    assert parse(toml.encode("utf-8-sig")) == given


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"[ru", "expected TOML or JSON"),
        (b"a = " + b"[" * 100_000, "expected TOML or JSON"),
        (b"#" * (MAX_FILE + 1), "a file of texts has at most 262144 bytes"),
        (b'{"ru": 1}', "expected TOML or JSON"),
        (b"\xff", "expected TOML or JSON"),
        (b'{"ru": {"recording": 5}}', "expected TOML or JSON"),
        (b"recording = 'x'", "expected TOML or JSON"),
        (b'[ru]\nrecording = "<b>"', "ru.recording: line 1: <b> is not closed"),
    ],
)
def test_a_file_that_holds_no_texts_is_refused_with_its_reason(raw: bytes, word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(word)):
        parse(raw)
