"""A message that is sent anew: to the present chat, with the present recording."""

from typing import Any

import pytest
from msgspec.structs import replace

from room_server.core.bindings import BoundChats
from room_server.core.decision_types import Facts
from room_server.core.delivery import restart
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import Recording, RosterEntry
from tests.core.builders import CANDIDATE_CHAT, NOW, PARTNER_CHAT, entry
from tests.core.test_delivery import NEW_CHAT, delivery


@pytest.mark.parametrize(
    ("kind", "recording", "known", "after_status", "chat_id"),
    [
        ("follow_up", None, {"candidate_chat_id": NEW_CHAT}, "queued", NEW_CHAT),
        ("follow_up", None, {"candidate_chat_id": 0}, "queued", 0),
        ("follow_up", None, {"candidate_chat_id": None}, "no_chat", None),
        ("follow_up", None, None, "queued", CANDIDATE_CHAT),
        ("attendance", None, {"candidate_chat_id": NEW_CHAT}, "queued", PARTNER_CHAT),
        ("attendance", None, {"partner_chat_id": None}, "no_chat", None),
        ("recording", "https://example.org/r", {"candidate_chat_id": NEW_CHAT}, "queued", NEW_CHAT),
        ("recording", None, {}, "held", CANDIDATE_CHAT),
    ],
)
@pytest.mark.parametrize("status", ["held", "parked", "undeliverable", "dry_run", "no_chat", "opted_out"])
def test_a_restarted_message_follows_the_present_roster_and_recording(
    status: str, kind: str, recording: str | None, known: dict[str, Any] | None, after_status: str, chat_id: int | None
) -> None:
    before = delivery(status, kind=MessageKind(kind), attempts=40, doubts=2, error="timeout")
    standing: RosterEntry | None = None if known is None else entry(**known)

    after = restart(before, Facts(named_recording=Recording(url=recording), entry=standing), NOW)

    first = {"attempts": 0, "doubts": 0, "error": None, "at": NOW}
    assert after == replace(before, status=DeliveryStatus(after_status), chat_id=chat_id, **first)


def test_a_recording_that_will_never_be_is_not_waited_for() -> None:
    none = Facts(named_recording=Recording(is_expected=False), entry=entry())
    after = restart(delivery("held", kind=MessageKind.RECORDING), none, NOW)

    assert (after.status, after.error) == (DeliveryStatus.UNDELIVERABLE, "no_recording")


def test_whoever_is_bound_meanwhile_gets_it() -> None:
    ended = delivery("no_chat", chat_id=None)

    after = restart(ended, Facts(entry=entry(candidate_chat_id=None), bound=BoundChats(candidate=NEW_CHAT)), NOW)

    assert (after.status, after.chat_id) == (DeliveryStatus.QUEUED, NEW_CHAT)
