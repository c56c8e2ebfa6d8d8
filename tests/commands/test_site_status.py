"""What `room-server site status` prints of a receiver in a partition."""

import msgspec
import pytest

from room_server.commands.site_status import event_id_of, facts_of, line_of
from room_server.core.site_delivery import Progress
from room_server.state.site_events import PartitionStanding, StreamEntry

HOUR = 3_600_000
NOW = 500 * HOUR
URL = "https://site.example/events"
BEGIN = f"{URL}: "


def standing(lag: int = 0, lost: int = 0, erased: int = 0, **fields: object) -> PartitionStanding:
    """Of a receiver whose progress has these fields."""
    progress = msgspec.structs.replace(Progress(url=URL, label="site.example-abc", seen_at=NOW), **fields)
    return PartitionStanding(
        tag="p2", receiver="abc", now=NOW, progress=progress, raw=b"", place="1-0", lag=lag, oldest_s=90.0 * lag,
        parked=lag // 3, lost=lost, erased=erased,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (standing(), "ok; 0 events wait; 0 are parked"),
        (
            standing(answer="HTTP 200", answered_at=NOW - 5_000),
            "ok; 0 events wait; 0 are parked; last answer 5 s ago: HTTP 200",
        ),
        (
            standing(lag=3, failures=4, due=NOW + HOUR, answer="HTTP 503", answered_at=NOW - HOUR),
            "waits 60 min for the next try; 3 events wait, the oldest for 4 min; 1 is parked; "
            "last answer 60 min ago: HTTP 503",
        ),
        (
            standing(lag=1, lost=1, erased=1),
            "ok; 1 event waits, the oldest for 90 s; 0 are parked, 1 was lost, 1 was erased before being sent",
        ),
        (
            standing(lag=80, lost=7, erased=5, off_since=NOW - 50 * HOUR),
            "OFF for 2 d; 80 events wait, the oldest for 2 h; 26 are parked, 7 were lost, "
            "5 were erased before being sent",
        ),
    ],
)
def test_a_person_gets_a_sentence(made: PartitionStanding, line: str) -> None:
    assert line_of(made, 1) == BEGIN + line
    assert line_of(made, 2).startswith(f"{URL} [p2]: ")


def test_a_program_gets_seconds_from_now() -> None:
    made = facts_of(standing(lag=3, failures=1, due=NOW + 1500, answer="HTTP 503", answered_at=NOW - 2500))

    assert made == {
        "url": URL, "receiver": "site.example-abc", "partition": "p2", "state": "waiting", "lag": 3, "oldest_s": 270.0,
        "parked": 1, "lost": 0, "erased": 0, "sent": 0, "next_try_s": 1.5, "off_s": None,
        "answer": "HTTP 503", "answered_s": 2.5,
        "place": "1-0",
    }  # fmt: skip
    assert facts_of(standing(off_since=NOW - 1000))["off_s"] == 1.0


def test_an_event_is_named_by_its_id_and_an_erased_one_by_the_streams() -> None:
    fields = {b"hook": b"h", b"payload": b"{}", b"actor": b"", b"id": b"h:w:1"}

    assert (event_id_of(StreamEntry("1-0", fields)), event_id_of(StreamEntry("1-0", None))) == ("h:w:1", "1-0")
