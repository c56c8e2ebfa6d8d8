"""Texts as Telegram's HTML: what its reader takes, and what it refuses, by line."""

import pytest

from room_server.telegram.markup import ATTRIBUTED, TAGS, html_problems

PLAIN = sorted(TAGS - ATTRIBUTED)
"""Tags that need no attribute."""


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "two\nlines",
        "<b>bold</b> and <i><u>both</u></i>",
        "<B>loud</b >",
        "<b>short</>",
        '<a href="https://example.org/?a=1&amp;b=2">link</a>',
        '<a href="https://example.org/?a=1&copy=2">link</a>',
        "<a\n href='https://example.org/' title=x>link</a>",
        '<a href="{link}">{name}</a>',
        '<a href="tg://user?id=123456789">she</a>',
        "1 &lt; 2 &amp; 3 &gt; 2 &quot;&#39;&#x27;&#128512;",
        "A & B > C",
        "AT&T, R&D; &c, Q&A",
        "&#" + "1" * 5000,
        '<b class="c">x</b>',
        '<span class="tg-spoiler">x</span>, <tg-spoiler>y</tg-spoiler>',
        "<span class=TG-spoiler>x</span>",
        '<tg-emoji emoji-id="5368324170671202286">👍</tg-emoji>',
        '<tg-time unix="1647531900">22:45</tg-time>',
        *(f'<tg-time unix="1647531900" format="{form}">22:45</tg-time>' for form in ("", "r", "wDT", "t", "dT")),
        "<blockquote expandable>x</blockquote>",
        '<blockquote expandable="">x</blockquote>',
        '<pre><code class="language-python">x</code></pre>',
        *(f"<{tag}>x</{tag}>" for tag in PLAIN),
    ],
)
def test_what_telegram_takes_has_no_problems(text: str) -> None:
    assert html_problems(text) == []


NOT_WRITTEN = 'is not written as name="value"'
EMOJI = 'line 1: <tg-emoji> needs a number: emoji-id="5368324170671202286"'
SPAN = 'line 1: <span> is taken as <span class="tg-spoiler"> only'
TIME = 'line 1: <tg-time> needs Unix seconds: unix="1647531900"'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["it says nothing"]),
        (" \n ", ["it says nothing"]),
        ("<b></b>", ["it says nothing"]),
        ("<b>x", ["line 1: <b> is not closed"]),
        ("x\n\n<b>\ny", ["line 3: <b> is not closed"]),
        ("x</b>", ["line 1: </b> closes nothing"]),
        ("x</b", ["line 1: </b has no >"]),
        ("x<b", ["line 1: <b has no >"]),
        ("<b><i>x</b></i>", ["line 1: </b> closes nothing", "line 1: </i> closes nothing"]),
        ("x\n<p>x</p>", ["line 2: <p> is none of Telegram's tags"]),
        ("x<br>", ["line 1: <br> is none of Telegram's tags", "line 1: <br> is not closed"]),
        ("x<br/>", ["line 1: <br/> is none of Telegram's tags"]),
        ("<{name}>", ["line 1: a `<` that begins no tag is written &lt;"]),
        ("1 < 2", ["line 1: a `<` that begins no tag is written &lt;"]),
        ("I <3 it", ["line 1: a `<` that begins no tag is written &lt;"]),
        ("a\nb&nbsp;b", ["line 2: &nbsp; is unknown to Telegram, which would show it as it is written"]),
        ("a &#xd83d;", ["line 1: &#xd83d; is no character"]),
        ("a &#55357;", ["line 1: &#55357; is no character"]),
        ("<span>x</span>", [SPAN]),
        ('<span class="red">x</span>', [SPAN]),
        ("<tg-emoji>x</tg-emoji>", [EMOJI]),
        ('<tg-emoji emoji-id="0">x</tg-emoji>', [EMOJI]),
        ('<tg-emoji emoji-id="9223372036854775808">x</tg-emoji>', [EMOJI]),
        ("<tg-time>x</tg-time>", [TIME]),
        ('<tg-time unix="2147483648">x</tg-time>', [TIME]),
        ('<tg-time unix="1" format="Dw">x</tg-time>',
         ['line 1: the format of <tg-time> is "r", or of w, d or D, t or T in this order']),
        ("<b x/>y</b>", [f"line 1: what follows <b {NOT_WRITTEN}"]),
        ("<a href={link}>y</a>", [f"line 1: what follows <a {NOT_WRITTEN}"]),
        ("<a href=https://example.org>y</a>", [f"line 1: what follows <a {NOT_WRITTEN}"]),
        ('<a href="x>y</a>', [f"line 1: what follows <a {NOT_WRITTEN}"]),
        ("x<!-- y -->", ["line 1: <!--> is none of Telegram's tags"]),
        ("x<!DOCTYPE html>", ["line 1: <!doctype> is none of Telegram's tags"]),
        ("x<?php ?>", ["line 1: <?php> is none of Telegram's tags"]),
        ("x<![if y]>", ["line 1: <![if> is none of Telegram's tags"]),
    ],
)  # fmt: skip
def test_what_telegram_refuses_is_named_with_its_line(text: str, found: list[str]) -> None:
    assert html_problems(text) == found


@pytest.mark.parametrize("text", ["<" * 4096, "<b " * 1300, "<a " + "x=1 " * 1000, "&" * 4096, "<b x=" * 800])
def test_any_text_is_read_in_one_pass(text: str) -> None:
    assert html_problems(text) != [] or "&" in text
