"""What Telegram's HTML allows: found out before a message is sent, since Telegram refuses the whole of it."""

from html.parser import HTMLParser

TAGS = frozenset({"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre", "blockquote"})
"""Telegram's HTML style (Bot API, Formatting options)."""
ENTITIES = frozenset({"lt", "gt", "amp", "quot"})
"""The only named ones that Telegram knows."""


def problems(text: str) -> list[str]:
    """What is wrong with a text as Telegram's HTML, in the order found."""
    checker = _Checker()
    checker.feed(text)
    checker.close()
    empty = [] if checker.said.strip() else ["it says nothing"]
    return [*checker.found, *(f"<{tag}> is not closed" for tag in checker.open), *empty]


class _Checker(HTMLParser):
    """Refuses what Telegram would refuse, or would show as it is written."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []
        self.found: list[str] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag of Telegram's."""
        self.open.append(tag)
        if tag not in TAGS:
            self.found.append(f"<{tag}> is none of Telegram's tags")
        if any((tag, name) != ("a", "href") for name, _ in attrs):
            self.found.append(f"<{tag}> takes no attribute but href of <a>")

    def handle_endtag(self, tag: str) -> None:
        """The innermost open one."""
        if not self.open or self.open.pop() != tag:
            self.found.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        """What is read; a `<` in it is no tag to us, and an error to Telegram."""
        self.said += data
        if "<" in data:
            self.found.append("a `<` that begins no tag is written &lt;")

    def handle_charref(self, name: str) -> None:
        """A character by its number."""
        self.said += name

    def handle_entityref(self, name: str) -> None:
        """A character by its name."""
        self.said += name
        if name not in ENTITIES:
            self.found.append(f"&{name}; is unknown to Telegram; a `&` is written &amp;")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """None is empty."""
        self.found.append(f"<{tag}/> is none of Telegram's tags")

    def handle_comment(self, data: str) -> None:
        """None."""
        self.found.append("<!-- --> is not for messages")

    def handle_decl(self, decl: str) -> None:
        """None."""
        self.found.append("<! > is not for messages")

    def handle_pi(self, data: str) -> None:
        """None."""
        self.found.append("<? > is not for messages")

    def unknown_decl(self, data: str) -> None:
        """None."""
        self.found.append("<![ ]> is not for messages")
