"""What an update of the bot asks for: the few fields that are read (Bot API, Update), and the intents in them.

Only private chats count. Everything else is no intent, and nothing follows from it.
"""

import re
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from room_server.core.bindings import Person, PersonKind

ALLOWED = ("message", "callback_query", "my_chat_member")
"""The kinds of updates that Telegram is asked for (getUpdates and setWebhook, allowed_updates)."""
_COMMAND = re.compile(r"/(start|stop)(?!\w)(?:@\w+)?(.*)", re.IGNORECASE | re.DOTALL)
"""A command and whatever follows it: who writes `/Stop please` wants no messages either."""
_ANSWER = re.compile(r"(yes|no) (lead|partner):([1-9][0-9]{0,15}) ([0-9]{1,20})")

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u([dD][89a-fA-F])..|.)", re.DOTALL)
"""An escape of JSON: a pair of surrogates, one that stands alone (then the group matches), or any other."""


class TelegramChat(Struct, frozen=True):
    """A chat; its number has at most 52 significant bits (Bot API, Chat)."""

    id: Annotated[int, Meta(ge=-(2**53), le=2**53)]
    type: str = ""


class TelegramUser(Struct, frozen=True):
    """A user of Telegram; `language_code` is an IETF tag."""

    language_code: str = ""


class TelegramMessage(Struct, frozen=True):
    """A message to the bot, or the one under which a button stands."""

    chat: TelegramChat
    date: int = 0
    text: str = ""
    sender: TelegramUser | None = msgspec.field(default=None, name="from")


class CallbackQuery(Struct, frozen=True):
    """A button was pressed; `data` is what we gave the button."""

    id: str
    message: TelegramMessage | None = None
    data: str = ""


class ChatMember(Struct, frozen=True):
    """What the bot is in a chat; in a private one `member`, or `kicked` by a person who has blocked it."""

    status: str


class ChatMemberUpdated(Struct, frozen=True):
    """The bot was blocked or unblocked."""

    chat: TelegramChat
    new_chat_member: ChatMember
    date: int = 0


class Update(Struct, frozen=True):
    """An update: exactly one of the others is there."""

    update_id: int
    message: TelegramMessage | None = None
    callback_query: CallbackQuery | None = None
    my_chat_member: ChatMemberUpdated | None = None


class Start(Struct, frozen=True, kw_only=True):
    """`/start`, with what follows it in a link."""

    chat_id: int
    as_of: tuple[int, int]
    locale: str
    payload: str = ""


class Stop(Struct, frozen=True, kw_only=True):
    """`/stop`: no more messages to this chat."""

    chat_id: int
    as_of: tuple[int, int]
    locale: str


class Blocked(Struct, frozen=True, kw_only=True):
    """The bot was blocked, or not any more."""

    chat_id: int
    as_of: tuple[int, int]
    blocked: bool


class Answered(Struct, frozen=True, kw_only=True):
    """The chat that is bound has said whether another one may take its place."""

    chat_id: int
    query: str
    """Of the button, which shows a clock until this is answered (Bot API, answerCallbackQuery)."""
    person: Person
    question: str
    agrees: bool


Intent = Start | Stop | Blocked | Answered


def intent_of(update: Update) -> Intent | None:
    """What the update asks for; None: nothing."""
    if update.message is not None:
        return _command(update.message, update.update_id)
    if update.callback_query is not None:
        return _answer(update.callback_query)
    if update.my_chat_member is not None and update.my_chat_member.chat.type == "private":
        changed = update.my_chat_member
        as_of = (changed.date, update.update_id)
        return Blocked(chat_id=changed.chat.id, as_of=as_of, blocked=changed.new_chat_member.status == "kicked")
    return None


def whole_characters(body: bytes) -> bytes:
    """The JSON with U+FFFD for each half of a character (RFC 8259, 8.2).

    The decoder refuses the whole text for one, and so the update that holds it would hold up all others, for ever.
    """
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], body)


def button(person: Person, question: str, agrees: bool) -> str:
    """The data of a button under the question of another chat, at most 64 bytes (Bot API, InlineKeyboardButton)."""
    return f"{'yes' if agrees else 'no'} {person} {question}"


def locale_of(user: TelegramUser | None) -> str:
    """English for whom Telegram speaks English, else Russian."""
    return "en" if user is not None and user.language_code.lower().startswith("en") else "ru"


def _command(message: TelegramMessage, update_id: int) -> Intent | None:
    found = _COMMAND.fullmatch(message.text)
    if found is None or message.chat.type != "private":
        return None
    chat_id, as_of, locale = message.chat.id, (message.date, update_id), locale_of(message.sender)
    if found[1].lower() == "stop":
        return Stop(chat_id=chat_id, as_of=as_of, locale=locale)
    return Start(chat_id=chat_id, as_of=as_of, locale=locale, payload=found[2].strip())


def _answer(query: CallbackQuery) -> Intent | None:
    found = _ANSWER.fullmatch(query.data)
    if found is None or query.message is None or query.message.chat.type != "private":
        return None
    person = Person(PersonKind(found[2]), int(found[3]))
    return Answered(
        chat_id=query.message.chat.id, query=query.id, person=person, question=found[4], agrees=found[1] == "yes"
    )
