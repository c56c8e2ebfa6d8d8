"""The options that plan a webinar, as far as a plan needs more than a text: moments of reminders, and what is told."""

import pytest
from msgspec import json

from room_server.core.bindings import lead
from room_server.core.room import Room, RosterEntry
from room_server.state.roster import import_roster
from room_server.state.store import Store
from tests.commands.aftermath import on
from tests.telegram.people import bind
from tests.terminal import Terminal

AT = "2099-11-22T18:00:00Z"


@pytest.fixture
def launch(terminal: Terminal) -> Terminal:
    """A terminal beside a webinar."""
    terminal.says("webinar", "create", "launch", "--title", "Launch", "--at", AT, "--remind", "start,24h")
    return terminal


def shown(terminal: Terminal) -> dict[str, object]:
    found: dict[str, object] = json.decode(terminal.says("webinar", "show", "launch", "--json"))
    return found


def schedule(url: str) -> list[str]:
    """The announcements that are due some day."""

    async def names(store: Store) -> list[str]:
        key = store.keys.announcements(store.keys.tag("launch"))
        return [name.decode().partition(" ")[2] for name in await store.call("ZRANGE", key, 0, -1)]

    found: list[str] = on(url, names)
    return found


def test_reminders_are_set_in_any_order_and_taken_back(launch: Terminal, valkey_url: str) -> None:
    before = (shown(launch)["remind"], schedule(valkey_url))
    launch.says("webinar", "set", "launch", "--remind", "1h, 15m", "--tell-arrivals")
    during = (shown(launch)["remind"], shown(launch)["tell_arrivals"], schedule(valkey_url))
    told = launch.says("webinar", "show", "launch")
    launch.says("webinar", "set", "launch", "--remind", "none", "--no-tell-arrivals")

    assert before == (["24h", "start"], ["reminder_24h"])
    assert during == (["1h", "15m"], True, ["reminder_1h", "reminder_15m"])
    assert "reminders  1h, 15m\narrivals   are told to partners\n" in told
    assert (shown(launch)["remind"], shown(launch)["tell_arrivals"], schedule(valkey_url)) == ([], False, [])


@pytest.mark.parametrize("wrong", ["2h", "", "24h,,1h", "24h;1h", "none,1h", "START"])
def test_what_is_no_moment_is_named(launch: Terminal, wrong: str) -> None:
    said = launch.misunderstands("webinar", "set", "launch", "--remind", wrong)

    assert "is no moment of a reminder; expected 24h, 1h, 15m, start separated by commas, or none" in said


@pytest.mark.parametrize("silent", [(), ("--silent",)])
def test_a_new_time_and_a_cancellation_are_told_unless_silent(
    launch: Terminal, valkey_url: str, silent: tuple[str, ...]
) -> None:
    launch.says("webinar", "set", "launch", "--at", "2099-11-23T18:00:00Z", *silent)
    moved = schedule(valkey_url)
    launch.says("webinar", "cancel", "launch", *silent)

    assert ("moved" in moved, schedule(valkey_url)) == (not silent, [] if silent else ["cancelled"])


def test_silence_alone_changes_nothing(launch: Terminal) -> None:
    assert "say what to change" in launch.misunderstands("webinar", "set", "launch", "--silent")


def test_a_clone_has_the_reminders_of_the_first(launch: Terminal, valkey_url: str) -> None:
    async def people(store: Store) -> Room | None:
        await import_roster(store, "launch", [RosterEntry(lead_id=1)], replace=False)
        await bind(store, lead(1), 11)
        return None

    on(valkey_url, people)
    launch.says("webinar", "clone", "launch", "other", "--at", AT)

    assert json.decode(launch.says("webinar", "show", "other", "--json"))["remind"] == ["24h", "start"]
