"""What is read of an update, and what it asks for."""

import json
from typing import Any

import msgspec
import pytest

from room_server.core.bindings import lead, partner
from room_server.core.incoming import Answered, Blocked, Start, Stop, Update, button, intent_of, whole_characters
from room_server.core.messages import MAX_LEAD_ID

PRIVATE = {"id": 11, "type": "private"}


def update(**fields: Any) -> Update:
    """An update with this number and one thing in it."""
    return msgspec.convert({"update_id": 5, **fields}, Update)


def said(text: str, language: str = "ru", **chat: Any) -> Update:
    """A message to the bot."""
    return update(message={"chat": PRIVATE | chat, "date": 7, "text": text, "from": {"language_code": language}})


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ("/start", ""),
        ("/start ", ""),
        ("/start abc", "abc"),
        ("/start  abc\n", "abc"),
        ("/start@a_bot abc", "abc"),
        ("/start " + "x" * 64, "x" * 64),
        ("/START abc", "abc"),
        ("/start a b", "a b"),
        ("/start\n" + "🎉" * 4000, "🎉" * 4000),
        ("/start-abc", "-abc"),
    ],
)
def test_start_has_what_follows_it(text: str, payload: str) -> None:
    assert intent_of(said(text)) == Start(chat_id=11, as_of=(7, 5), locale="ru", payload=payload)


@pytest.mark.parametrize("text", ["/stop", "/stop ", "/Stop", "/STOP@a_bot", "/stop it now", "/stop.", "/stop\n🎉"])
def test_stop_is_stop_whatever_follows(text: str) -> None:
    assert intent_of(said(text)) == Stop(chat_id=11, as_of=(7, 5), locale="ru")


@pytest.mark.parametrize(
    ("language", "locale"), [("en", "en"), ("en-GB", "en"), ("ru", "ru"), ("de", "ru"), ("", "ru")]
)
def test_english_is_for_whom_telegram_speaks_english(language: str, locale: str) -> None:
    assert intent_of(said("/stop", language)) == Stop(chat_id=11, as_of=(7, 5), locale=locale)


@pytest.mark.parametrize("other", ["start", "/starts", "/stop_it", "/стоп", "hello", "", " /stop", "//stop", "/start1"])
def test_any_other_message_asks_for_nothing(other: str) -> None:
    assert intent_of(said(other)) is None


@pytest.mark.parametrize("kind", ["group", "supergroup", "channel", ""])
def test_only_private_chats_count(kind: str) -> None:
    chat = {"id": -11, "type": kind}
    member = {"chat": chat, "new_chat_member": {"status": "kicked"}}
    pressed = {"id": "q", "message": {"chat": chat}, "data": button(lead(42), "9", True)}

    assert intent_of(said("/start", type=kind)) is None
    assert intent_of(update(my_chat_member=member)) is None
    assert intent_of(update(callback_query=pressed)) is None


@pytest.mark.parametrize(("status", "blocked"), [("kicked", True), ("member", False)])
def test_blocking_and_letting_in(status: str, blocked: bool) -> None:
    changed = {"chat": PRIVATE, "date": 7, "new_chat_member": {"status": status}}

    assert intent_of(update(my_chat_member=changed)) == Blocked(chat_id=11, as_of=(7, 5), blocked=blocked)


@pytest.mark.parametrize("person", [lead(42), partner(MAX_LEAD_ID)], ids=str)
@pytest.mark.parametrize("agrees", [True, False])
def test_a_button_says_what_it_was_given(person: Any, agrees: bool) -> None:
    data = button(person, "18446744073709551615", agrees)
    pressed = {"id": "q", "message": {"chat": PRIVATE}, "data": data}

    assert len(data) <= 64
    assert intent_of(update(callback_query=pressed)) == Answered(
        chat_id=11, query="q", person=person, question="18446744073709551615", agrees=agrees
    )


@pytest.mark.parametrize("data", ["", "yes", "yes lead:42", "maybe lead:42 5", "yes group:42 5", "yes lead:0 5"])
def test_other_buttons_ask_for_nothing(data: str) -> None:
    assert intent_of(update(callback_query={"id": "q", "message": {"chat": PRIVATE}, "data": data})) is None


def test_an_update_of_another_kind_asks_for_nothing() -> None:
    assert intent_of(update(edited_message={"chat": PRIVATE, "text": "/stop"})) is None
    assert intent_of(update(callback_query={"id": "q", "data": button(lead(42), "9", True)})) is None


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("\ud83c", "\ufffd"),
        ("a\udc00b", "a\ufffdb"),
        ("\ud83c\ud83c\udf89", "\ufffd🎉"),
        ("\\\ud83c", "\\\ufffd"),
        ("\\ud83c", "\\ud83c"),
        ('"\ud83c"', '"\ufffd"'),
        ("🎉 \\ \n привет", "🎉 \\ \n привет"),
    ],
)
def test_half_a_character_is_replaced_and_nothing_else(text: str, whole: str) -> None:
    assert msgspec.json.decode(whole_characters(json.dumps(text).encode())) == whole
