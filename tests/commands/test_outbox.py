"""`room-server outbox …`: what a person sees of the messages that were not sent, and what becomes of their decision."""

from datetime import UTC, datetime, timedelta

import pytest

from room_server.clock import utc_now
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import RosterEntry
from room_server.jobs.evaluation import Evaluations
from room_server.state import roster
from room_server.state.store import Store
from tests.commands.aftermath import WEBINAR, change, deliveries_of, on, over
from tests.support import transactions
from tests.terminal import Terminal

AT = datetime(2026, 11, 22, 19, 5, 7, tzinfo=UTC)
PEOPLE = [
    RosterEntry(lead_id=1, name="Анна <b>", partner_chat_id=900, candidate_chat_id=101),
    RosterEntry(lead_id=2, name="Boris", partner_chat_id=900, candidate_chat_id=102, locale="en"),
    RosterEntry(lead_id=3),
]


@pytest.fixture
def url(valkey_url: str) -> str:
    """Lead 1 came, lead 2 left, lead 3 has no chat: 2 + 3 + 3 messages."""
    over(valkey_url, *PEOPLE)
    change(valkey_url, 1, MessageKind.ATTENDANCE, status=DeliveryStatus.SENT, at=AT)
    change(
        valkey_url,
        1,
        MessageKind.FOLLOW_UP,
        status=DeliveryStatus.PARKED,
        at=AT,
        doubts=2,
        attempts=2,
        error="TimedOut: Timed out",
    )
    return valkey_url


def statuses(url: str) -> dict[str, str]:
    return {name: stored.delivery.status.value for name, stored in sorted(deliveries_of(url).items())}


BEFORE = {
    "1:attendance": "sent",
    "1:follow_up": "parked",
    "2:attendance": "queued",
    "2:follow_up": "queued",
    "2:recording": "held",
    "3:attendance": "no_chat",
    "3:follow_up": "no_chat",
    "3:recording": "no_chat",
}


def fields(line: str) -> list[str]:
    return line.split()


def test_list_shows_what_was_not_sent_with_its_reason(terminal: Terminal, url: str) -> None:
    lines = terminal.says("outbox", "list").splitlines()

    (parked,) = [line for line in lines if " parked " in line]
    assert len(lines) == 7
    assert fields(parked) == fields(
        "demo lead 1 follow_up parked 2026-11-22 19:05:07Z TimedOut: Timed out (may have arrived 2 times)"
    )
    assert not any(" sent " in line for line in lines)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("demo", "--all"), 8),
        (("demo", "--status", "parked"), 1),
        (("demo", "--status", "sent"), 1),
        (("demo", "--kind", "recording"), 2),
        (("demo", "--lead", "3"), 3),
        (("demo", "--lead", "3", "--kind", "attendance"), 1),
        (("--status", "no_chat"), 3),
        (("demo", "--lead", "99"), 0),
    ],
)
def test_list_can_be_narrowed(terminal: Terminal, url: str, words: tuple[str, ...], shown: int) -> None:
    assert len(terminal.says("outbox", "list", *words).splitlines()) == shown


def test_list_shows_the_text_that_a_message_has(terminal: Terminal, url: str) -> None:
    output = terminal.says("outbox", "list", "demo", "--lead", "1", "--text")

    assert output.splitlines()[1:] == ["    Анна &lt;b&gt;, спасибо, что были на вебинаре «Webinar»!"]


def test_retry_sends_a_parked_message_on_its_way_again(terminal: Terminal, url: str) -> None:
    output = terminal.says("outbox", "retry", "demo", "--status", "parked")

    again = deliveries_of(url)["1:follow_up"].delivery
    assert output == "1 message changed, 0 left as they are\n"
    assert (again.status, again.attempts, again.doubts, again.error) == (DeliveryStatus.QUEUED, 0, 0, None)
    assert statuses(url) == BEFORE | {"1:follow_up": "queued"}


def test_retry_touches_nothing_that_was_sent_or_is_on_its_way(terminal: Terminal, url: str) -> None:
    terminal.says("outbox", "retry", "demo")

    assert statuses(url) == BEFORE | {"1:follow_up": "queued"}


def test_retry_goes_to_where_the_roster_is_now(terminal: Terminal, url: str) -> None:
    async def learn(store: Store) -> None:
        known = RosterEntry(lead_id=3, candidate_chat_id=103)
        await roster.import_roster(store, WEBINAR, [known], replace=False)

    on(url, learn)
    output = terminal.says("outbox", "retry", "demo", "--lead", "3")

    assert output == "2 messages changed, 1 left as they are\n"
    assert statuses(url) == BEFORE | {"3:follow_up": "queued", "3:recording": "held"}
    assert deliveries_of(url)["3:follow_up"].delivery.chat_id == 103


def test_a_recording_is_never_retried_without_its_link(terminal: Terminal, url: str) -> None:
    terminal.says("outbox", "discard", "demo", "--kind", "recording", "--lead", "2")
    terminal.says("outbox", "retry", "demo", "--kind", "recording", "--lead", "2")

    assert statuses(url)["2:recording"] == "held"


def test_what_ended_without_a_recording_is_retried_with_one_that_was_named_after_the_archive(
    terminal: Terminal, url: str
) -> None:
    def retried() -> str:
        terminal.says("outbox", "retry", "demo", "--lead", "2", "--kind", "recording")
        return statuses(url)["2:recording"]

    terminal.says("webinar", "archive", "demo")
    terminal.says("webinar", "set", "demo", "--no-recording")
    on(url, lambda store: Evaluations(transactions(store)).run_pending(WEBINAR))
    without = retried()
    terminal.says("webinar", "set", "demo", "--recording-url", "https://example.org/late")

    assert (without, retried()) == ("undeliverable", "queued")
    output = terminal.says("outbox", "list", "demo", "--lead", "2", "--kind", "recording", "--text")
    assert "https://example.org/late" in output


def test_what_is_retried_wakes_a_sender(terminal: Terminal, url: str) -> None:
    async def waiting(store: Store) -> int:
        return int(await store.call("XLEN", store.keys.outbox(store.keys.tag(WEBINAR))))

    before = on(url, waiting)
    terminal.says("outbox", "retry", "demo")

    assert on(url, waiting) == before + 1


def test_discard_ends_a_message_for_good(terminal: Terminal, url: str) -> None:
    output = terminal.says("outbox", "discard", "demo", "--lead", "2")

    ended = deliveries_of(url)["2:follow_up"].delivery
    assert output == "3 messages changed, 0 left as they are\n"
    assert (ended.status, ended.error) == (DeliveryStatus.UNDELIVERABLE, "discarded")
    assert statuses(url) == BEFORE | dict.fromkeys(("2:attendance", "2:follow_up", "2:recording"), "undeliverable")


def test_what_was_sent_or_is_being_sent_cannot_be_discarded(terminal: Terminal, url: str) -> None:
    change(
        url,
        2,
        MessageKind.ATTENDANCE,
        status=DeliveryStatus.SENDING,
        owner="w",
        lease_until=utc_now() + timedelta(hours=1),
    )

    output = terminal.says("outbox", "discard", "demo")

    assert output == "6 messages changed, 2 left as they are\n"
    assert (statuses(url)["1:attendance"], statuses(url)["2:attendance"]) == ("sent", "sending")


def test_a_large_webinar_is_changed_as_a_whole(terminal: Terminal, url: str) -> None:
    async def enlarge(store: Store) -> None:
        await roster.import_roster(
            store, WEBINAR, [RosterEntry(lead_id=n, candidate_chat_id=n) for n in range(10, 310)], False
        )
        await Evaluations(transactions(store)).run_pending(WEBINAR)

    on(url, enlarge)

    output = terminal.says("outbox", "discard", "demo", "--kind", "follow_up")

    again = terminal.says("outbox", "retry", "demo", "--kind", "follow_up")
    assert output == "303 messages changed, 0 left as they are\n"
    assert again == "302 messages changed, 1 left as they are\n"  # one has no chat


def test_an_unknown_webinar_is_refused_by_name(terminal: Terminal) -> None:
    for command in ("list", "retry", "discard"):
        assert terminal.refuses("outbox", command, "nope") == "Error: there is no webinar nope (webinar_unknown)\n"


def test_list_prints_nothing_when_there_are_no_messages(terminal: Terminal) -> None:
    assert terminal.says("outbox", "list") == ""


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (("retry",), "Missing argument 'ID'"),
        (("discard",), "Missing argument 'ID'"),
        (("list", "two words"), "'two words' is not a webinar id: 1-64 of A-Z a-z 0-9 _ -"),
        (("retry", "demo", "--status", "lost"), "'lost' is not one of 'queued', 'sending', 'held'"),
        (("retry", "demo", "--kind", "letter"), "'letter' is not one of 'attendance', 'follow_up', 'recording'"),
        (("discard", "demo", "--lead", "0"), "0 is not in the range x>=1"),
        (("discard", "demo", "--lead", "Anna"), "'Anna' is not a valid integer"),
    ],
)
def test_wrong_usage_is_named(terminal: Terminal, words: tuple[str, ...], output: str) -> None:
    assert output in terminal.misunderstands("outbox", *words)


@pytest.mark.parametrize(
    ("words", "example"),
    [
        ((), "room-server outbox retry launch --status parked"),
        (("list",), "room-server outbox list launch --status parked --text"),
        (("retry",), "room-server outbox retry launch --status parked"),
        (("discard",), "room-server outbox discard launch --lead 42"),
    ],
)
def test_help_shows_an_example(terminal: Terminal, words: tuple[str, ...], example: str) -> None:
    assert example in terminal.says("outbox", *words, "--help")
