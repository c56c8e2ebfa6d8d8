"""`room-server outbox preview`: every message of a webinar, as a lead would get it."""

from pathlib import Path

import pytest

from room_server.telegram import texts
from tests.terminal import Terminal

CREATE = ("webinar", "create", "launch", "--title", "Launch & more", "--at", "2099-11-22T18:00:00Z")


@pytest.fixture
def launch(terminal: Terminal) -> Terminal:
    terminal.says(*CREATE, "--cta-url", "https://example.org/offer")
    return terminal


def test_every_text_is_shown_in_every_language(launch: Terminal) -> None:
    lines = launch.says("outbox", "preview", "launch").splitlines()
    headings = [line for line in lines if line and not line.startswith(" ")]

    names = [name for name in texts.standard("ru") if name != "someone"]
    assert sorted(headings) == sorted(f"{locale} {name}" for locale in texts.LOCALES for name in names)
    assert "    ⏰ Анна Смирнова, вебинар «Launch &amp; more» начнётся через 24 ч: " in "\n".join(lines)
    assert "    The next step is here: https://example.org/offer" in lines
    assert not [line for line in lines if "{" in line]


def test_own_words_stand_in_their_place(launch: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[en]\narrival = "{name} is here"\nmoved = "Now at {when}, in {left}"\n', "utf-8")
    launch.says("webinar", "set", "launch", "--texts", str(file))
    said = launch.says("outbox", "preview", "launch", "--locale", "en")

    assert "en arrival\n    Ada Lovelace is here\n" in said
    assert '">22.11.2099, 18:00 UTC</tg-time>, in 24 h\n' in said
    assert "\nru " not in said


def test_a_webinar_that_is_not_there_has_no_messages(terminal: Terminal) -> None:
    assert "webinar_unknown" in terminal.refuses("outbox", "preview", "nowhere")
