"""What the subcommands share."""

import json
import signal

import click
import pytest

from room_server.commands.common import ID, listed, run, state_options
from room_server.errors import StateUnavailable
from room_server.state.keys import PARTITIONS, SLOTS, Keys, slot
from room_server.state.store import Store
from room_server.state.webinars import LISTED
from tests.cluster import form, processes, url_of
from tests.support import AT, few_at_once, room, transactions
from tests.terminal import Terminal


def test_an_id_is_checked_before_anything_is_opened() -> None:
    assert ID.convert("launch-2_A", None, None) == "launch-2_A"
    with pytest.raises(click.BadParameter, match="'a b' is not a webinar id"):
        ID.convert("a b", None, None)


def test_flags_go_before_the_environment(terminal: Terminal, valkey_url: str) -> None:
    wrong = "redis://127.0.0.1:1"

    assert terminal.says("webinar", "list", "--json", "--redis-url", valkey_url, ROOM_SERVER_REDIS_URL=wrong) == "[]\n"


async def test_a_list_that_may_not_be_whole_says_so(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    await few_at_once(transactions(store).create(room(f"w-{number}")) for number in range(LISTED - 1))
    assert len(await listed(store)) == LISTED - 1
    assert capsys.readouterr().err == ""
    await transactions(store).create(room("last"))

    assert len(await listed(store)) == LISTED
    assert capsys.readouterr().err == "warning: at most 1000 webinars are listed, those nearest in time\n"


def test_what_the_work_refuses_comes_through() -> None:
    async def refused() -> None:
        raise StateUnavailable

    with pytest.raises(StateUnavailable):
        run(refused())


def test_the_state_options_are_those_of_every_command() -> None:
    @click.command()
    @state_options
    def command(**_: object) -> None:
        pass

    assert [option.name for option in command.params] == ["redis_url", "data_dir"]


def test_a_variable_that_means_nothing_is_told_and_stops_nobody(terminal: Terminal) -> None:
    result = terminal.run("webinar", "list", "--json", ROOM_SERVER_REDIS="redis://elsewhere")

    assert (result.exit_code, result.stdout) == (0, "[]\n")
    assert result.stderr == "warning: ROOM_SERVER_REDIS is no setting of room-server\n"


def test_a_secret_that_can_be_guessed_is_refused(terminal: Terminal) -> None:
    complaint = terminal.refuses("webinar", "list", "--json", ROOM_SERVER_TOKEN_SECRET="guess")

    assert "each secret has at least 32 bytes" in complaint


def test_all_wrong_settings_are_one_message(terminal: Terminal) -> None:
    complaint = terminal.refuses("webinar", "list", ROOM_SERVER_MAX_SOCKETS="x", ROOM_SERVER_LOG_FORMAT="y")

    assert complaint.splitlines() == [
        "Error: ROOM_SERVER_LOG_FORMAT: expected console or json, not 'y'",
        "ROOM_SERVER_MAX_SOCKETS: expected a whole number, at least 0 and at most 1000000000, not 'x'",
    ]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "unix:///nowhere/at/all.sock"])
def test_a_redis_that_is_not_there_is_one_clear_message(terminal: Terminal, url: str) -> None:
    complaint = terminal.refuses("webinar", "list", "--redis-url", url)

    assert complaint.startswith("Error: ROOM_SERVER_REDIS_URL: no answer from ")
    assert len(complaint.splitlines()) == 1


def test_a_password_in_the_address_is_not_shown(terminal: Terminal) -> None:
    complaint = terminal.refuses("webinar", "list", "--redis-url", "redis://user:hidden@127.0.0.1:1")

    assert "hidden" not in complaint


def test_a_list_warns_when_a_part_of_the_cluster_does_not_answer(terminal: Terminal) -> None:
    with processes(3) as started:
        url = url_of(form(list(started)))
        names = [f"w-{number}" for number in range(12)]
        for name in names:
            terminal.says("webinar", "create", name, "--title", "T", "--at", AT.isoformat(), "--redis-url", url,
                          ROOM_SERVER_PARTITIONS="8")  # fmt: skip
        silent = (slot(PARTITIONS) * 3 // SLOTS + 1) % 3
        list(started.values())[silent].send_signal(signal.SIGSTOP)
        result = terminal.run("webinar", "list", "--json", "--redis-url", url)

    tags = Keys(8).tags
    lost = {tag for tag in tags if slot(tag) * 3 // SLOTS == silent}
    assert [one["webinar_id"] for one in json.loads(result.stdout)] == sorted(
        (name for name in names if Keys(8).tag(name) not in lost), reverse=True
    )
    assert f"warning: {len(lost)} of 8 partitions do not answer; their webinars are missing here" in result.stderr


CREATE = ("webinar", "create", "launch", "--title", "Launch")


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("Europe/Moscow", "2030-11-22T18:00", "2030-11-22T15:00:00Z"),
        ("Asia/Kolkata", "2030-11-22T18:00:00", "2030-11-22T12:30:00Z"),
        ("Europe/Berlin", "2030-07-01 18:00", "2030-07-01T16:00:00Z"),
    ],
)
def test_a_time_without_an_offset_is_of_the_zone_beside_it(terminal: Terminal, zone: str, local: str, utc: str) -> None:
    terminal.says(*CREATE, "--at", local, "--tz", zone)

    assert json.loads(terminal.says("webinar", "show", "launch", "--json"))["scheduled_at"] == utc


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (("--at", "2030-11-22T18:00"), "add --tz Europe/Moscow"),
        (("--at", "2030-11-22T18:00Z", "--tz", "Europe/Moscow"), "has an offset of its own"),
        (("--at", "2030-11-22T18:00", "--tz", "Moscow"), "'Moscow' is no time zone of the IANA database"),
        (("--at", "2030-03-31T02:30", "--tz", "Europe/Berlin"), "show 2030-03-31T02:30:00 never"),
        (("--at", "2030-10-27T02:30", "--tz", "Europe/Berlin"), "show 2030-10-27T02:30:00 twice"),
    ],
)
def test_a_time_that_is_not_one_moment_is_refused_with_what_would_be_right(
    terminal: Terminal, words: tuple[str, ...], right: str
) -> None:
    assert right in terminal.misunderstands(*CREATE, *words)
    assert terminal.says("webinar", "list", "--json") == "[]\n"
