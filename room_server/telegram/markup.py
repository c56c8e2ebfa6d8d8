"""Whether Telegram takes a text as HTML: the rules of its own reader (tdlib, `parse_html`), each fault with its line.

Telegram refuses a message for one wrong tag; names of attributes that it does not know it passes over. A `&` that
begins no entity stands for itself.
"""

import re
from html.entities import html5
from typing import NamedTuple

ATTRIBUTED = frozenset({"span", "tg-emoji", "tg-time"})
"""Tags that are refused without an attribute."""
TAGS = ATTRIBUTED.union(
    ("b", "strong", "i", "em", "u", "ins", "s", "strike", "del"), ("a", "code", "pre", "blockquote", "tg-spoiler")
)
"""Tags of Telegram's HTML style (Bot API, Formatting options)."""
ENTITIES = frozenset({"lt", "gt", "amp", "quot"})
"""Named entities of Telegram's HTML style; every numeric one is allowed, too."""
_BLANK = r"[ \t\r\n\v]"
_TAG = re.compile(rf"<(/?)([^>\s]*){_BLANK}*")
_ATTRIBUTE = re.compile(
    rf"""{_BLANK}*([^\s=>/"']+){_BLANK}*(?:={_BLANK}*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9.-]*)(?=[\s>])))?{_BLANK}*"""
)
_ENTITY = re.compile(r"&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([A-Za-z]+));?")
_TIME_FORMAT = re.compile(r"r|w?[dD]?[tT]?")
_MOST_UNIX = 2**31 - 1


class _Open(NamedTuple):
    """A tag that is not closed yet."""

    tag: str
    line: int


def html_problems(text: str) -> list[str]:
    """What is wrong with a text as Telegram's HTML, each with its line, in the order found."""
    reader = _Reader(text)
    reader.read()
    return reader.found


class _Reader:
    """Reads a text once, from its start to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[_Open] = []
        self._content: list[str] = []
        self.found: list[str] = []

    def read(self) -> None:
        """Collect all that is wrong."""
        while found := _TAG.search(self._text, self._at):
            self._plain(found.start())
            self._tag(found)
        self._plain(len(self._text))
        for tag, line in self._open:
            self.found.append(f"line {line}: <{tag}> is not closed")
        if not "".join(self._content).strip():
            self.found.append("it says nothing")

    def _wrong(self, what: str) -> None:
        self.found.append(f"line {self._line()}: {what}")

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _plain(self, end: int) -> None:
        """The text up to the next tag, to which `_at` is moved bit by bit, for the line of what is wrong."""
        self._content.append(self._text[self._at : end])
        for entity in _ENTITY.finditer(self._text, self._at, end):
            self._at = entity.start()
            hexadecimal, decimal, name = entity.groups()
            if name and name not in ENTITIES and f"{name};" in html5 and entity[0].endswith(";"):
                self._wrong(f"&{name}; is unknown to Telegram, which would show it as it is written")
            if not name and 0xD800 <= (int(hexadecimal, 16) if hexadecimal else int(decimal)) <= 0xDFFF:
                self._wrong(f"{entity[0]} is no character")
        self._at = end

    def _tag(self, found: re.Match[str]) -> None:
        """A tag begins at `_at`; behind it, or behind its `<` when it is none, is where reading goes on."""
        closes, tag = found[1] == "/", found[2].lower()
        if not closes and not re.match(r"[a-z!?]", tag):
            self._wrong("a `<` that begins no tag is written &lt;")
            self._at += 1
        elif closes:
            self._end_tag(tag, found.end())
        else:
            self._start_tag(tag, found.end())

    def _end_tag(self, tag: str, end: int) -> None:
        if self._text[end : end + 1] != ">":
            self._wrong(f"</{tag} has no >")
        elif not self._open or tag not in {"", self._open.pop().tag}:
            self._wrong(f"</{tag}> closes nothing")
        self._at = end + 1

    def _start_tag(self, tag: str, end: int) -> None:
        attributes: dict[str, str] = {}
        while found := _ATTRIBUTE.match(self._text, end):
            quoted = found[2] if found[3] is None else found[3]
            attributes[found[1]] = (found[4] or "").lower() if quoted is None else quoted
            end = found.end()
        closing = self._text.find(">", end)
        if closing < 0:
            self._wrong(f"<{tag} has no >")
        elif tag not in TAGS:
            self._wrong(f"<{tag}> is none of Telegram's tags")
        elif closing > end:
            self._wrong(f'what follows <{tag} is not written as name="value"')
        elif problem := _attribute_problem(tag, attributes):
            self._wrong(problem)
        if closing >= 0 and tag[0].isalpha() and not tag.endswith("/"):
            self._open.append(_Open(tag, self._line()))
        self._at = closing + 1 if closing >= 0 else len(self._text)


def _attribute_problem(tag: str, given: dict[str, str]) -> str | None:
    """What Telegram refuses a tag with these attributes for."""
    match tag:
        case "span" if given.get("class") != "tg-spoiler":
            return '<span> is taken as <span class="tg-spoiler"> only'
        case "tg-emoji" if not _whole_number(given.get("emoji-id", ""), 2**63 - 1):
            return '<tg-emoji> needs a number: emoji-id="5368324170671202286"'
        case "tg-time" if not _whole_number(given.get("unix", ""), _MOST_UNIX):
            return '<tg-time> needs Unix seconds: unix="1647531900"'
        case "tg-time" if not _TIME_FORMAT.fullmatch(given.get("format", "")):
            return 'the format of <tg-time> is "r", or of w, d or D, t or T in this order'
    return None


def _whole_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= most
