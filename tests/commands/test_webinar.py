"""`room-server webinar …`: the operator's acts, what they refuse, and what they print."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from room_server.clock import utc_now
from room_server.core.messages import DeliveryStatus
from room_server.core.room import RosterEntry
from room_server.jobs.evaluation import Evaluations
from tests.commands.aftermath import WEBINAR, deliveries_of, on, over
from tests.support import transactions
from tests.terminal import Terminal

AT = ("--at", "2026-11-22T18:00:00+03:00")
PLAN = (
    *("--description", "Two hours"),
    *("--cta-label", "Join", "--cta-url", "https://example.org/join"),
    *("--player-url", "https://example.org/player", "--recording-url", "https://example.org/recording"),
)


def shown(terminal: Terminal, webinar_id: str = "launch") -> dict[str, object]:
    """The record, as `show --json` prints it."""
    record: dict[str, object] = json.loads(terminal.says("webinar", "show", webinar_id, "--json"))
    return record


@pytest.fixture
def launch(terminal: Terminal) -> Terminal:
    """A terminal beside a scheduled webinar."""
    terminal.says("webinar", "create", "launch", "--title", "Launch", *AT)
    return terminal


def test_create_schedules_at_once(terminal: Terminal) -> None:
    output = terminal.says("webinar", "create", "launch", "--title", "Launch", *AT)

    assert output == "launch is scheduled\n"


def test_create_keeps_a_draft_off_the_schedule_until_it_is_scheduled(terminal: Terminal) -> None:
    assert terminal.says("webinar", "create", "later", "--title", "Later", *AT, "--draft") == "later is draft\n"
    assert terminal.says("webinar", "schedule", "later") == "later is scheduled\n"


def test_everything_that_is_planned_is_kept_and_times_are_utc(terminal: Terminal) -> None:
    terminal.says("webinar", "create", "launch", "--title", "Запуск", *AT, *PLAN)

    record = shown(terminal)
    expected = {
        "webinar_id": "launch",
        "title": "Запуск",
        "status": "scheduled",
        "version": 1,
        "scheduled_at": "2026-11-22T15:00:00Z",
        "description": "Two hours",
        "cta_label": "Join",
        "cta_url": "https://example.org/join",
        "player_url": "https://example.org/player",
        "recording_url": "https://example.org/recording",
        "started_at": None,
    }
    assert expected.items() <= record.items()


def test_a_webinar_is_made_once(launch: Terminal) -> None:
    complaint = launch.refuses("webinar", "create", "launch", "--title", "Again", *AT)

    assert complaint.endswith("Error: there is a webinar launch already (webinar_exists)\n")
    assert shown(launch)["title"] == "Launch"


@pytest.mark.parametrize("webinar_id", ["", "a b", "ä", "a" * 65, "../etc", "a\n", "*"])
@pytest.mark.parametrize("command", ["show", "archive"])
def test_an_id_that_cannot_be_is_wrong_usage(terminal: Terminal, command: str, webinar_id: str) -> None:
    complaint = terminal.misunderstands("webinar", command, webinar_id)

    assert "Invalid value for 'ID'" in complaint
    assert "a webinar id: 1-64 of A-Z a-z 0-9 _ -" in complaint


@pytest.mark.parametrize(
    ("option", "value", "right"),
    [
        ("--at", "tomorrow", "2030-11-22T18:00:00+03:00"),
        ("--at", "2026-11-22T18:00:00", "names no time zone"),
        ("--at", "0001-01-01T00:00:00+03:00", "is no time"),
        ("--title", "", "1 to 200 characters"),
        ("--title", "x" * 201, "1 to 200 characters"),
        ("--description", "x" * 4001, "at most 4000 characters"),
        ("--cta-label", "x" * 81, "1 to 80 characters"),
        ("--cta-url", "javascript:alert(1)", "http:// or https://"),
        ("--player-url", "//example.org", "http:// or https://"),
        ("--frame-origin", "player.example.org", "an origin like https://player.example.org"),
        ("--frame-origin", "https://example.org/player", "an origin like https://player.example.org"),
        ("--frame-origin", "https://me@example.org", "an origin like https://player.example.org"),
        ("--frame-origin", "ftp://example.org", "an origin like https://player.example.org"),
        ("--frame-origin", "https://*.example.org", "an origin like https://player.example.org"),
        ("--frame-origin", "https://[::1]", "an origin like https://player.example.org"),
        ("--recording-url", "recording", "http:// or https://"),
        ("--texts", "no-such-file.json", "does not exist"),
    ],
)
def test_an_option_that_cannot_be_is_named_with_what_would_be_right(
    launch: Terminal, option: str, value: str, right: str
) -> None:
    before = shown(launch)

    complaint = launch.misunderstands("webinar", "set", "launch", option, value)

    assert f"Invalid value for '{option}'" in complaint
    assert right in complaint
    assert shown(launch) == before


def test_origins_that_a_player_leads_to_are_named_and_taken_back(launch: Terminal) -> None:
    given = ("--frame-origin", "https://CDN.Example.org/", "--frame-origin", "http://плеер.рф:8080")
    launch.says("webinar", "set", "launch", *given)
    assert shown(launch)["frame_origins"] == ["https://cdn.example.org", "http://xn--e1aaqpi.xn--p1ai:8080"]
    assert "https://cdn.example.org http://xn--" in launch.says("webinar", "show", "launch")

    launch.says("webinar", "set", "launch", "--title", "Again")
    assert len(shown(launch)["frame_origins"]) == 2  # type: ignore[arg-type]
    complaint = launch.misunderstands("webinar", "set", "launch", *given, "--frame-origin", "none")
    assert "none goes with no other origin" in complaint
    launch.says("webinar", "set", "launch", "--frame-origin", "none")
    assert "frame_origins" not in shown(launch) or shown(launch)["frame_origins"] == []


def test_a_page_to_watch_on_is_no_player_and_the_player_is_named(launch: Terminal) -> None:
    complaint = launch.refuses("webinar", "set", "launch", "--player-url", "https://youtu.be/dQw4w9WgXcQ")

    assert "https://www.youtube.com/embed/dQw4w9WgXcQ" in complaint


@pytest.mark.parametrize("missing", ["--title", "--at"])
def test_a_webinar_needs_a_title_and_a_time(terminal: Terminal, missing: str) -> None:
    given = [*AT] if missing == "--title" else ["--title", "Launch"]

    assert f"Missing option '{missing}'" in terminal.misunderstands("webinar", "create", "launch", *given)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[", b"[1]", b'{"ru": 1}'])
def test_a_file_of_texts_that_cannot_be_is_wrong_usage(launch: Terminal, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "texts.json"
    file.write_bytes(content)

    assert "Invalid value for --texts" in launch.misunderstands("webinar", "set", "launch", "--texts", str(file))


def test_set_changes_the_fields_that_are_given(launch: Terminal) -> None:
    before = shown(launch)

    assert launch.says("webinar", "set", "launch", "--title", "The launch") == "launch is scheduled, version 2\n"
    assert shown(launch) == {**before, "title": "The launch", "version": 2}


def test_set_moves_the_time(launch: Terminal) -> None:
    launch.says("webinar", "set", "launch", "--at", "2027-01-01T00:00:00Z")

    assert shown(launch)["scheduled_at"] == "2027-01-01T00:00:00Z"


def test_set_wants_to_know_what(launch: Terminal) -> None:
    assert "say what to change" in launch.misunderstands("webinar", "set", "launch")


def test_a_recording_and_none_at_once_is_refused(launch: Terminal) -> None:
    words = ("webinar", "set", "launch", "--recording-url", "https://example.org", "--no-recording")

    assert "contradict each other" in launch.misunderstands(*words)


RECORDING = ("--recording-url", "https://example.org/recording")


@pytest.fixture
def closed(terminal: Terminal, valkey_url: str) -> Terminal:
    """A terminal beside the webinar `demo`: archived, with a message that waits for the recording."""
    over(valkey_url, RosterEntry(lead_id=2, candidate_chat_id=102))
    terminal.says("webinar", "archive", WEBINAR)
    assert fate(valkey_url) == DeliveryStatus.HELD
    return terminal


def fate(url: str) -> DeliveryStatus:
    """What became of the message that links the recording."""
    return deliveries_of(url)["2:recording"].delivery.status


@pytest.mark.parametrize(
    ("words", "output", "after"),
    [
        (RECORDING, "link https://example.org/recording", DeliveryStatus.QUEUED),
        (("--no-recording",), "wait for no recording", DeliveryStatus.UNDELIVERABLE),
    ],
)
def test_the_recording_of_an_archived_webinar_is_named_for_its_messages_alone(
    closed: Terminal, valkey_url: str, words: tuple[str, ...], output: str, after: DeliveryStatus
) -> None:
    before = shown(closed, WEBINAR)
    printed = [closed.says("webinar", "set", WEBINAR, *words) for _ in range(2)]
    on(valkey_url, lambda store: Evaluations(transactions(store)).run_pending(WEBINAR))

    record = shown(closed, WEBINAR)
    assert printed[0] == printed[1]
    assert printed[0].splitlines()[0] == f"demo is archived, version {before['version']}"
    assert {**record, "attendance": before["attendance"]} == before
    assert output in closed.says("webinar", "show", WEBINAR)
    assert fate(valkey_url) == after


@pytest.mark.parametrize(
    "words", [("--title", "New"), ("--title", "New", *RECORDING), ("--title", "New", "--no-recording")]
)
def test_only_the_recording_of_an_archived_webinar_may_be_set(
    closed: Terminal, valkey_url: str, words: tuple[str, ...]
) -> None:
    before = shown(closed, WEBINAR)

    complaint = closed.refuses("webinar", "set", WEBINAR, *words)

    assert complaint == (
        "Error: an archived webinar never changes; only its recording may be named (webinar_state_locked)\n"
    )
    assert (shown(closed, WEBINAR), fate(valkey_url)) == (before, DeliveryStatus.HELD)


def test_what_is_not_there_is_unknown(terminal: Terminal) -> None:
    assert terminal.refuses("webinar", "show", "nowhere") == "Error: there is no webinar nowhere (webinar_unknown)\n"


def test_list_shows_the_latest_first(launch: Terminal) -> None:
    launch.says("webinar", "create", "next", "--title", "Next", "--at", "2026-12-01T12:00:00Z", "--draft")

    lines = [line.split() for line in launch.says("webinar", "list").splitlines()]

    assert lines == [
        ["next", "draft", "2026-12-01", "12:00Z", "Next"],
        ["launch", "scheduled", "2026-11-22", "15:00Z", "Launch"],
    ]


def test_list_as_json_is_one_array(launch: Terminal) -> None:
    assert [room["webinar_id"] for room in json.loads(launch.says("webinar", "list", "--json"))] == ["launch"]


def test_an_empty_list_prints_how_to_create_a_webinar_and_is_an_empty_array(terminal: Terminal) -> None:
    result = terminal.run("webinar", "list")

    assert (result.stdout, json.loads(terminal.says("webinar", "list", "--json"))) == ("", [])
    assert "room-server webinar create --help" in result.stderr


def test_show_is_a_few_readable_lines(terminal: Terminal) -> None:
    at = (utc_now() + timedelta(days=1)).astimezone(UTC)
    terminal.says("webinar", "create", "launch", "--title", "Launch", "--at", at.isoformat(), *PLAN)

    lines = dict(line.split(maxsplit=1) for line in terminal.says("webinar", "show", "launch").splitlines())

    assert lines["title"] == "Launch"
    assert lines["status"] == "scheduled, version 1"
    assert datetime.strptime(lines["planned"], "%Y-%m-%d %H:%M:%S %Z").replace(tzinfo=UTC) == at.replace(microsecond=0)
    assert lines["CTA"] == "hidden: Join https://example.org/join"
    assert "{" not in "".join(lines.values())


def test_a_webinar_is_unlisted_and_has_a_grace_of_its_own_until_told_otherwise(terminal: Terminal) -> None:
    terminal.says("webinar", "create", "launch", "--title", "Launch", *AT, "--unlisted", "--grace", "0")
    assert (shown(terminal)["unlisted"], shown(terminal)["grace"]) == (True, 0)
    lines = terminal.says("webinar", "show", "launch")
    assert "\nschedule   does not show it\n" in lines
    assert "\ngrace      0 s from the end to the evaluation\n" in lines

    terminal.says("webinar", "set", "launch", "--title", "Again")
    assert (shown(terminal)["unlisted"], shown(terminal)["grace"]) == (True, 0)
    terminal.says("webinar", "set", "launch", "--listed", "--grace", "300")
    assert (shown(terminal)["unlisted"], shown(terminal)["grace"]) == (False, 300)


def test_a_zone_without_a_time_is_wrong_usage(launch: Terminal) -> None:
    complaint = launch.misunderstands("webinar", "set", "launch", "--title", "L", "--tz", "Europe/Moscow")

    assert "--tz is the zone of --at, which is missing" in complaint


@pytest.mark.parametrize(("at", "is_told"), [("2025-11-22T18:00", True), ("2999-11-22T18:00", False)])
def test_a_time_that_has_passed_is_told(launch: Terminal, at: str, is_told: bool) -> None:
    """It is accepted, since a webinar may be planned for a moment ago; but most likely its date is mistyped."""
    words = ("--at", at, "--tz", "Europe/Moscow")
    made = launch.run("webinar", "create", "made", "--title", "Made", *words)
    moved = launch.run("webinar", "set", "launch", *words)
    cloned = launch.run("webinar", "clone", "launch", "cloned", *words)
    retitled = launch.run("webinar", "set", "launch", "--title", "Another")

    told = "warning: the planned time, 2025-11-22 15:00 UTC, has passed\n" if is_told else ""
    assert [done.exit_code for done in (made, moved, cloned, retitled)] == [0, 0, 0, 0]
    assert (made.stderr, cloned.stderr, retitled.stderr) == (told, told, "")
    assert moved.stderr.startswith(told or "warning: links")


@pytest.mark.parametrize(("at", "is_told"), [("2026-12-06T15:00:00Z", False), ("2026-12-06T15:00:01Z", True)])
def test_a_move_beyond_the_end_of_the_links_is_told(launch: Terminal, at: str, is_told: bool) -> None:
    """The webinar was planned for 2026-11-22 at 15:00 UTC."""
    result = launch.run("webinar", "set", "launch", "--at", at)

    warning = "warning: links that `roster links` made for the old time end at 2026-12-06 15:00 UTC"
    assert (result.exit_code, warning in result.stderr) == (0, is_told)
    assert is_told == ("room-server roster links launch" in result.stderr)


def test_the_rule_for_attendance_is_kept_shown_and_locked_by_the_start(launch: Terminal) -> None:
    launch.says("webinar", "set", "launch", "--attended-by", "either", "--min-watch", "60%")
    record = shown(launch)

    assert (record["attended_by"], record["min_watch"]) == ("either", "60%")
    assert "watching at least 60% of the time on air" in launch.says("webinar", "show", "launch")


def test_a_rule_that_cannot_be_is_refused(launch: Terminal) -> None:
    assert "needs a minimum such as 60% or 30m" in launch.refuses(
        "webinar", "set", "launch", "--attended-by", "watched"
    )


@pytest.mark.parametrize("words", [("--attended-by", "seen"), ("--min-watch", "0%"), ("--min-watch", "101%")])
def test_a_rule_that_nobody_knows_is_named(launch: Terminal, words: tuple[str, ...]) -> None:
    said = launch.misunderstands("webinar", "set", "launch", *words)
    assert words[0] in said
    assert words[1] in said
