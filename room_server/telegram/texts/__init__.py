"""The texts of the messages: one TOML file per language beside this one, overridden by a webinar's own texts.

A template is Telegram HTML with the placeholders {name}, {title} and {link}; the values are escaped. Templates are
checked before any message is sent, since Telegram refuses a message for one wrong tag. The table `bot` of a file has
what the bot itself replies.
"""

import html
import re
import tomllib
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from itertools import product
from typing import Any

import msgspec

from room_server.core.connecting import Reply
from room_server.core.decision_types import Facts
from room_server.core.delivery import Delivery
from room_server.core.messages import DeliveryStatus, MessageKind, Moment
from room_server.core.room import Recording, Room, RosterEntry
from room_server.errors import ConfigurationError
from room_server.telegram.markup import html_problems

LOCALES = ("ru", "en")
MAX_MESSAGE = 4096
"""Most characters of a message (Bot API, sendMessage)."""
MAX_FILE = 256 * 1024
"""Most bytes of a file with a webinar's own texts: several times what all of them may hold."""
MAX_VALUE = {"name": 200, "title": 200, "link": 2000, "when": 30, "left": 20}
"""Most characters of a placeholder's value (core.room)."""
SAMPLE_NAMES = {"ru": "Анна Смирнова", "en": "Ada Lovelace"}
SAMPLE_RECORDING = "https://example.org/recording"
"""Of samples, for a webinar that has no recording yet."""
SAMPLE_ROOM_LINK = "https://example.org/r/CODE"
UNITS = {"ru": ("ч", "мин"), "en": ("h", "min")}
_PLACEHOLDER = re.compile(rf"\{{({'|'.join(MAX_VALUE)})\}}")
_BRACES = re.compile(r"\{([^{}]*)\}")


@lru_cache(maxsize=len(LOCALES))
def _file(locale: str) -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath(f"{locale}.toml").read_text("utf-8"))


@lru_cache(maxsize=len(LOCALES))
def standard(locale: str) -> dict[str, str]:
    """The texts that come with the product, by name."""
    return {name: text for name, text in _file(locale).items() if name != "bot"}


def words(locale: str) -> dict[str, str]:
    """What the bot replies, by name; the same for all webinars."""
    found: dict[str, str] = _file(locale)["bot"]
    return found


def compose(delivery: Delivery, facts: Facts, now: datetime, room_link: str | None = None) -> str:
    """The message of a room, which is there, to a lead, as Telegram HTML as it is right at `now`.

    {link} is the recording, in a reminder `room_link`, the lead's own into the room, and else the call to action's
    address. Without a link, lines with {link} are left out.
    """
    room = facts.room
    assert room is not None  # noqa: S101 - the caller has looked
    texts = {**standard(delivery.locale), **room.texts.get(delivery.locale, {})}
    own_links = {MessageKind.RECORDING: facts.recording.url, MessageKind.REMINDER: room_link}
    link = own_links.get(delivery.kind, room.cta_url)
    template = texts[text_name(delivery)].strip()
    values = {
        "name": html.escape(name_of(facts) or texts["someone"]),
        "title": html.escape(room.title),
        "link": html.escape(link or ""),
        "when": when(room.scheduled_at),
        "left": left(room.scheduled_at - now, delivery.locale),
    }
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template if link else _without_link(template))


def samples(room: Room, locale: str) -> Iterator[tuple[str, str]]:
    """Every message of a room in a language, by the name of its text: as on the day before, to a person of our own."""
    entry = RosterEntry(lead_id=1, name=SAMPLE_NAMES[locale])
    recording = room.recording if room.recording_url else Recording(url=SAMPLE_RECORDING)
    facts = Facts(room=room, entry=entry, named_recording=recording)
    kinds = [(kind, attended) for kind in MessageKind for attended in (True, False)]
    moments: list[Moment | None] = [None, "start"]
    made = dict[str, str]()
    for (kind, attended), moment in product(kinds, moments):
        sample = Delivery(
            lead_id=1,
            kind=kind,
            status=DeliveryStatus.QUEUED,
            attended=attended,
            chat_id=1,
            locale=locale,
            moment=moment if kind is MessageKind.REMINDER else None,
        )
        day_before = room.scheduled_at - timedelta(days=1)
        made.setdefault(text_name(sample), compose(sample, facts, day_before, SAMPLE_ROOM_LINK))
    yield from made.items()


def when(at: datetime) -> str:
    """A moment, which Telegram shows in the reader's own time zone and language (Bot API, Date-time entity)."""
    return f'<tg-time unix="{int(at.timestamp())}" format="wDt">{at:%d.%m.%Y, %H:%M} UTC</tg-time>'


def left(span: timedelta, locale: str) -> str:
    """A time to come, rounded to minutes: so a message that is late says how much of it is left."""
    minutes = max(1, round(span / timedelta(minutes=1)))
    hours, minutes = divmod(minutes, 60)
    units = UNITS[locale]
    return " ".join(f"{number} {unit}" for number, unit in zip((hours, minutes), units, strict=True) if number)


def reply(waiting: Reply) -> str:
    """A reply of the bot, as Telegram HTML."""
    return words(waiting.locale)[waiting.text].strip()


def name_of(facts: Facts) -> str:
    """The lead's name by the roster, else by its token; empty when neither has one."""
    if facts.entry is not None and facts.entry.name:
        return facts.entry.name
    return (facts.participation.name if facts.participation else None) or ""


def text_name(delivery: Delivery) -> str:
    """The name of a message's text."""
    if delivery.kind in {MessageKind.ATTENDANCE, MessageKind.FOLLOW_UP}:
        return f"{delivery.kind}_{'attended' if delivery.attended else 'missed'}"
    return "reminder_start" if delivery.moment == "start" else delivery.kind.value


def parse(raw: bytes) -> dict[str, dict[str, str]]:
    """A webinar's own texts (locale -> name -> template) from a TOML or JSON file.

    Raises ValueError, naming every text that cannot be used.
    """
    if len(raw) > MAX_FILE:
        raise ValueError(f"a file of texts has at most {MAX_FILE} bytes")
    try:
        text = raw.decode("utf-8-sig")
        decoded = msgspec.json.decode(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        texts = msgspec.convert(decoded, dict[str, dict[str, str]])
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"expected TOML or JSON, locale -> name -> text: {error}") from error
    if found := problems(texts):
        raise ValueError("; ".join(found))
    return texts


def check_standard() -> None:
    """Raises ConfigurationError when the texts that come with the product were edited wrongly."""
    found = []
    names = {locale: {*standard(locale), *(f"bot.{name}" for name in words(locale))} for locale in LOCALES}
    for locale in LOCALES:
        found += [f"{locale}.{name} is missing" for other in names.values() for name in sorted(other - names[locale])]
        found += problems({locale: standard(locale)})
        found += [f"{locale}.bot.{name}: {one}" for name, text in words(locale).items() for one in html_problems(text)]
    if found:
        raise ConfigurationError("the Telegram texts cannot be used: " + "; ".join(found))


def problems(texts: dict[str, dict[str, str]]) -> list[str]:
    """What is wrong with texts, a line each: unknown locales, names, placeholders or tags."""
    found = [f"{locale}: expected one of {', '.join(LOCALES)}" for locale in texts if locale not in LOCALES]
    for locale, templates in texts.items():
        known = standard(locale if locale in LOCALES else "ru")
        for name, template in templates.items():
            where = f"{locale}.{name}"
            if name not in known:
                found.append(f"{where}: there is no such text; there are {', '.join(sorted(known))}")
            found += [f"{where}: {problem}" for problem in _template_problems(name, template)]
    return found


def _template_problems(name: str, template: str) -> list[str]:
    if name == "someone":
        plain = 0 < len(template.strip()) <= MAX_VALUE["name"] and not set(template) & set("{}<>&")
        return [] if plain else [f"expected 1 to {MAX_VALUE['name']} characters without places and tags"]
    found = [
        f"{{{place}}} is no place; there are {', '.join(f'{{{name}}}' for name in MAX_VALUE)}"
        for place in _BRACES.findall(template)
        if place not in MAX_VALUE
    ]
    longest = len(_PLACEHOLDER.sub("", template)) + sum(MAX_VALUE[one] for one in _PLACEHOLDER.findall(template))
    if longest > MAX_MESSAGE:
        found.append(f"with a long name, title and link it has {longest} characters; Telegram takes {MAX_MESSAGE}")
    found += html_problems(template)
    if not found and name != "recording":
        found += [f"without its lines with {{link}}: {one}" for one in html_problems(_blank_link(template))]
    return found


def _without_link(template: str) -> str:
    return "\n".join(line for line in template.splitlines() if "{link}" not in line)


def _blank_link(template: str) -> str:
    """As `_without_link`, with every line where it was, so that a problem names the line of the template."""
    return "\n".join("" if "{link}" in line else line for line in template.split("\n"))
