"""What Telegram's HTML allows."""

import pytest

from room_server.telegram.markup import TAGS, problems


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "two\nlines",
        "<b>bold</b> and <i><u>both</u></i>",
        "<B>loud</B>",
        '<a href="https://example.org/?a=1&amp;b=2">link</a>',
        '<a href="{link}">{name}</a>',
        "1 &lt; 2 &amp; 3 &gt; 2 &quot;&#39;&#x27;",
        "A & B > C",
        *(f"<{tag}>x</{tag}>" for tag in sorted(TAGS)),
    ],
)
def test_what_telegram_takes_has_no_problems(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["it says nothing"]),
        (" \n ", ["it says nothing"]),
        ("<b></b>", ["it says nothing"]),
        ("<b>x", ["<b> is not closed"]),
        ("x</b>", ["</b> closes nothing"]),
        ("<b><i>x</b></i>", ["</b> closes nothing", "</i> closes nothing"]),
        ("<p>x</p>", ["<p> is none of Telegram's tags"]),
        ("x<br>", ["<br> is none of Telegram's tags", "<br> is not closed"]),
        ("x<br/>", ["<br/> is none of Telegram's tags"]),
        ('<b class="c">x</b>', ["<b> takes no attribute but href of <a>"]),
        ('<a href="x" title="y">x</a>', ["<a> takes no attribute but href of <a>"]),
        ("1 < 2", ["a `<` that begins no tag is written &lt;"]),
        ("I <3 it", ["a `<` that begins no tag is written &lt;"]),
        ("a&nbsp;b", ["&nbsp; is unknown to Telegram; a `&` is written &amp;"]),
        ("x<!-- y -->", ["<!-- --> is not for messages"]),
        ("x<!DOCTYPE html>", ["<! > is not for messages"]),
        ("x<?php ?>", ["<? > is not for messages"]),
        ("x<![if y]>", ["<![ ]> is not for messages"]),
    ],
)
def test_what_telegram_refuses_is_named(text: str, found: list[str]) -> None:
    assert problems(text) == found
