"""What is known of the recording moves the messages that rest on it."""

import pytest

from room_server.core.delivery import is_moved, moved
from room_server.core.messages import MessageKind
from room_server.core.room import Recording
from tests.core.builders import NOW, entry
from tests.core.test_delivery import FATES, delivery

LINK, NONE = Recording(url="https://example.org/r"), Recording(is_expected=False)


@pytest.mark.parametrize(
    ("status", "recording", "after"),
    [
        *(("held", Recording(), "held"), ("held", LINK, "queued"), ("held", NONE, "undeliverable")),
        *(("queued", Recording(), "held"), ("queued", LINK, "queued"), ("queued", NONE, "undeliverable")),
        *(("doubtful", Recording(), "held"), ("doubtful", LINK, "doubtful"), ("doubtful", NONE, "undeliverable")),
        *((status, NONE, status) for status in FATES if status not in {"held", "queued", "doubtful"}),
    ],
)
def test_what_is_known_of_the_recording_moves_what_rests_on_it(status: str, recording: Recording, after: str) -> None:
    """What is being sent is on the line; what has ended stays ended."""
    known = delivery(status, kind=MessageKind.RECORDING, doubts=1)
    went = moved(known, recording, entry(), NOW) if is_moved(known, recording) else known

    assert is_moved(known, recording) == (status != after)
    assert (went.status, went.error) == (after, "no_recording" if went.status != status and recording is NONE else None)


@pytest.mark.parametrize("kind", [MessageKind.ATTENDANCE, MessageKind.FOLLOW_UP])
@pytest.mark.parametrize("status", FATES)
def test_what_rests_on_no_recording_is_never_moved_by_it(kind: MessageKind, status: str) -> None:
    assert not any(is_moved(delivery(status, kind=kind), recording) for recording in (Recording(), LINK, NONE))
