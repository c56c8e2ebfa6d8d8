"""The words of the messages: one file per language beside this one, and a webinar's own before them.

A template is Telegram HTML with {name}, {title} and {link}; what is filled in is escaped.
"""

import html
import re
import tomllib
from functools import lru_cache
from html.parser import HTMLParser
from importlib.resources import files

import msgspec

from room_server.core.delivery import Delivery
from room_server.core.facts import Facts
from room_server.core.messages import Kind
from room_server.core.room import Room

LOCALES = ("ru", "en")
TAGS = frozenset({"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre", "blockquote"})
"""Telegram's HTML style (Bot API, Formatting options)."""
MAX_TEMPLATE = 1000
"""Characters: with the longest name, title and link a message stays below Telegram's 4096."""
_PLACE = re.compile(r"\{(name|title|link)\}")
_ANY_PLACE = re.compile(r"\{([^{}]*)\}")


@lru_cache(maxsize=len(LOCALES))
def standard(locale: str) -> dict[str, str]:
    """The texts that come with the product, by name."""
    return tomllib.loads(files(__package__).joinpath(f"{locale}.toml").read_text("utf-8"))


def compose(delivery: Delivery, room: Room, name: str) -> str:
    """The message as Telegram HTML; a line whose {link} leads nowhere is left out."""
    texts = {**standard(delivery.locale), **room.texts.get(delivery.locale, {})}
    link = room.recording_url if delivery.kind is Kind.RECORDING else room.cta_url
    lines = texts[text_name(delivery)].strip().splitlines()
    values = {"name": name or texts["someone"], "title": room.title, "link": link or ""}
    shown = [line for line in lines if link or "{link}" not in line]
    return _PLACE.sub(lambda found: html.escape(values[found[1]]), "\n".join(shown))


def name_of(facts: Facts) -> str:
    """What to call the lead: by the roster, else by its own token; empty when neither says."""
    if facts.entry is not None and facts.entry.name:
        return facts.entry.name
    return (facts.participation.name if facts.participation else None) or ""


def text_name(delivery: Delivery) -> str:
    """Which text a message takes."""
    if delivery.kind is Kind.RECORDING:
        return "recording"
    return f"{delivery.kind}_{'attended' if delivery.attended else 'missed'}"


def own(raw: bytes) -> dict[str, dict[str, str]]:
    """A webinar's own texts from a TOML or JSON file. Raises ValueError, naming every text that cannot be used."""
    try:
        text = raw.decode("utf-8-sig")
        decoded = msgspec.json.decode(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        texts = msgspec.convert(decoded, dict[str, dict[str, str]])
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"expected TOML or JSON, locale -> name -> text: {error}") from error
    if found := problems(texts):
        raise ValueError("; ".join(found))
    return texts


def problems(texts: dict[str, dict[str, str]]) -> list[str]:
    """What is wrong with a webinar's own texts, a line each: unknown languages, names, places or tags."""
    found = [f"{locale}: expected one of {', '.join(LOCALES)}" for locale in texts if locale not in LOCALES]
    for locale, own in texts.items():
        known = standard(locale if locale in LOCALES else "ru")
        for name, template in own.items():
            where = f"{locale}.{name}"
            if name not in known:
                found.append(f"{where}: there is no such text; there are {', '.join(sorted(known))}")
            found += [f"{where}: {problem}" for problem in _template_problems(template)]
    return found


def _template_problems(template: str) -> list[str]:
    found = [
        f"{{{place}}} is no place; there are {{name}}, {{title}}, {{link}}"
        for place in _ANY_PLACE.findall(template)
        if place not in {"name", "title", "link"}
    ]
    if not 0 < len(template.strip()) <= MAX_TEMPLATE:
        found.append(f"expected 1 to {MAX_TEMPLATE} characters")
    checker = _Tags()
    checker.feed(template)
    checker.close()
    return found + checker.found + [f"<{tag}> is not closed" for tag in checker.open]


class _Tags(HTMLParser):
    """Refuses what Telegram would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag of Telegram's, nested properly."""
        self.open.append(tag)
        if tag not in TAGS:
            self.found.append(f"<{tag}> is none of Telegram's tags")
        if any((tag, name) != ("a", "href") for name, _ in attrs):
            self.found.append(f"<{tag}> takes no attribute but href of <a>")

    def handle_endtag(self, tag: str) -> None:
        """The innermost open one."""
        if not self.open or self.open.pop() != tag:
            self.found.append(f"</{tag}> closes nothing")
