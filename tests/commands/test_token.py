"""`room-server token issue`: only the token, and only tokens that will be accepted."""

import contextlib
import os
import pty
import subprocess
import time
from pathlib import Path

import pytest

from room_server.auth import Authenticator
from room_server.config import Settings
from room_server.core.messages import MAX_LEAD_ID, Actor, Role
from tests.support import TOKEN_SECRET, next_state, room, serving, settings_for
from tests.terminal import COMMAND, Terminal, clean, finished

URL = "redis://127.0.0.1:1"
"""Nobody listens there: tokens need no Redis."""


@pytest.fixture
def terminal() -> Terminal:
    """A terminal without a server."""
    return Terminal(URL)


def verified(token: str, secret: str = TOKEN_SECRET) -> Actor:
    """The actor of a token, as a server with this secret sees it."""
    return Authenticator(Settings(token_secret=secret)).token(token)


def test_a_token_is_all_that_is_printed(terminal: Terminal) -> None:
    result = terminal.run("token", "issue", "--role", "speaker", "--webinar", "launch")

    assert result.stderr == ""
    actor = verified(result.stdout.removesuffix("\n"))
    assert (actor.role, actor.webinar_id, actor.lead_id) == (Role.SPEAKER, "launch", None)


def test_a_token_may_be_for_reading_only(terminal: Terminal) -> None:
    words = ("token", "issue", "--role", "organizer", "--webinar", "launch")
    tokens = [terminal.says(*words).strip(), terminal.says(*words, "--read-only").strip()]

    assert [False, True] == [verified(token).read_only for token in tokens]


def test_an_attendees_token_is_its_leads(terminal: Terminal) -> None:
    token = terminal.says("token", "issue", "--role", "attendee", "--webinar", "launch", "--lead", "42").strip()

    assert (verified(token).role, verified(token).lead_id) == (Role.ATTENDEE, 42)


def test_a_token_may_be_for_all_webinars_and_name_its_subject(terminal: Terminal) -> None:
    token = terminal.says("token", "issue", "--role", "system", "--webinar", "*", "--subject", "crm").strip()

    assert (verified(token).webinar_id, verified(token).subject) == ("*", "crm")


@pytest.mark.parametrize("role", [role.value for role in Role if role is not Role.ATTENDEE])
def test_each_token_is_a_person_of_its_own_unless_it_names_one(terminal: Terminal, role: str) -> None:
    words = ("token", "issue", "--role", role, "--webinar", "launch")
    strangers = {verified(terminal.says(*words).strip()).person for _ in range(3)}
    friends = {verified(terminal.says(*words, "--subject", "anna").strip()).person for _ in range(3)}

    assert (len(strangers), friends) == (3, {f"{role}:anna"})


async def test_speakers_with_tokens_of_their_own_share_no_limit(valkey_url: str) -> None:
    words = ("token", "issue", "--role", "speaker", "--webinar", "w")
    async with (
        serving(settings_for(valkey_url, max_sockets_per_person=1)) as site,
        contextlib.AsyncExitStack() as sockets,
    ):
        await site.transactions.create(room())
        for _ in range(3):
            token = Terminal(URL).says(*words).strip()
            socket = await sockets.enter_async_context(site.socket(token=token))
            assert (await next_state(socket))["webinar_id"] == "w"


@pytest.mark.parametrize(("ttl", "seconds"), [(None, 43200), ("90s", 90), ("15m", 900), ("12h", 43200), ("7d", 604800)])
def test_a_token_is_valid_for_its_ttl(terminal: Terminal, ttl: str | None, seconds: int) -> None:
    words = ("--ttl", ttl) if ttl else ()
    token = terminal.says("token", "issue", "--role", "monitor", "--webinar", "*", *words).strip()

    assert verified(token).expires_at == pytest.approx(time.time() + seconds, abs=2)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--role", "speaker"], "Missing option '--webinar'"),
        (["--role", "king", "--webinar", "w"], "'king' is not one of 'organizer', 'speaker'"),
        (["--role", "speaker", "--webinar", "a b"], "'a b' is not a webinar id: 1-64 of A-Z a-z 0-9 _ -"),
        (["--role", "attendee", "--webinar", "w"], "an attendee's token names its lead: --lead N, and no --subject"),
        (["--role", "attendee", "--webinar", "w", "--lead", "1", "--subject", "x"], "and no --subject"),
        (["--role", "attendee", "--webinar", "w", "--lead", "0"], f"0 is not in the range 1<=x<={MAX_LEAD_ID}"),
        (["--role", "speaker", "--webinar", "w", "--lead", "1"], "--lead is for attendees; a speaker has a --subject"),
        (["--role", "speaker", "--webinar", "w", "--subject", "x" * 201], "is not a subject of 1 to 200 characters"),
        (["--role", "speaker", "--webinar", "w", "--subject", ""], "is not a subject of 1 to 200 characters"),
        (["--role", "speaker", "--webinar", "w", "--ttl", "0h"], "'0h' is no span; write 90s, 15m, 12h or 7d"),
        (["--role", "speaker", "--webinar", "w", "--ttl", "forever"], "'forever' is no span"),
    ],
)
def test_wrong_usage_is_answered_with_what_would_be_right(terminal: Terminal, words: list[str], complaint: str) -> None:
    assert complaint in terminal.misunderstands("token", "issue", *words)


def test_the_first_secret_signs(terminal: Terminal) -> None:
    secret = "another-secret-that-is-long-enough-too"
    words = ("token", "issue", "--role", "speaker", "--webinar", "w")

    token = terminal.says(*words, ROOM_SERVER_TOKEN_SECRET=f"{secret} old-{secret}").strip()

    assert verified(token, secret).role is Role.SPEAKER


def test_a_server_that_only_verifies_tokens_prints_that_instead_of_links(terminal: Terminal) -> None:
    words = ("token", "issue", "--role", "speaker", "--webinar", "w")

    complaint = terminal.refuses(*words, ROOM_SERVER_TOKEN_PUBLIC_KEY="PEM")

    assert complaint == (
        "Error: ROOM_SERVER_TOKEN_PUBLIC_KEY is set: tokens are signed elsewhere, here only verified\n"
    )


def test_a_shared_redis_needs_a_secret(terminal: Terminal) -> None:
    complaint = terminal.refuses("token", "issue", "--role", "speaker", "--webinar", "w", ROOM_SERVER_TOKEN_SECRET="")

    assert "ROOM_SERVER_TOKEN_SECRET is not set" in complaint


async def test_an_embedded_installation_signs_with_its_own_secret(tmp_path: Path) -> None:
    words = ("token", "issue", "--role", "speaker", "--webinar", "w", "--data-dir", str(tmp_path))

    status, token, complaints = await finished(*words)

    assert (status, complaints) == (0, "")
    assert verified(token.strip(), (tmp_path / "token_secret").read_text()).role is Role.SPEAKER


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        ([], "whoever has this link can start and stop the webinar; --read-only makes one to show\n"),
        (["--read-only"], ""),
    ],
)
def test_who_asks_for_an_organizers_token_at_a_terminal_is_told_where_the_report_is(
    words: list[str], warning: str
) -> None:
    ours, theirs = pty.openpty()
    environment = clean(ROOM_SERVER_TOKEN_SECRET=TOKEN_SECRET, ROOM_SERVER_PUBLIC_URL="https://rooms.example.org")
    command = [*COMMAND, "token", "issue", "--role", "organizer", "--webinar", "launch", *words]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, env=environment, check=True, text=True)
    os.close(theirs)
    printed = os.read(ours, 65536).decode().strip()
    os.close(ours)

    assert verified(printed).role is Role.ORGANIZER
    assert done.stderr == f"the report opens at https://rooms.example.org/report/launch#token={printed}\n{warning}"
