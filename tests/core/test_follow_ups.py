"""Which Telegram message goes to whom, and where its way begins."""

import pytest

from room_server.core.bindings import BoundChats
from room_server.core.decision_types import Reaction
from room_server.core.follow_ups import chat_of, first_status, follow_up, notify_partner, recording_follow_up
from room_server.core.messages import DeliveryStatus, Message, MessageKind, Route
from room_server.core.room import Recording
from tests.core.builders import CANDIDATE_CHAT, LEAD, PARTNER_CHAT, classified, context, entry, room, routed

RECORDING = "https://example.org/recording"


def message(kind: str, attended: bool, chat_id: int | None, status: str = "queued", **fields: str) -> Message:
    return Message(
        lead_id=LEAD,
        kind=MessageKind(kind),
        status=DeliveryStatus(status),
        attended=attended,
        chat_id=chat_id,
        locale=fields.get("locale", "ru"),
        error=fields.get("error"),
    )


@pytest.mark.parametrize("was_there", [True, False])
def test_the_partner_learns_whether_the_lead_came(was_there: bool) -> None:
    expected = Reaction(messages=(message("attendance", was_there, PARTNER_CHAT),))
    assert expected == notify_partner(classified(was_there), context())


@pytest.mark.parametrize(("way", "was_there"), [("attended", True), ("not_attended", False)])
def test_the_candidate_is_followed_up_on_both_routes(way: Route, was_there: bool) -> None:
    expected = Reaction(messages=(message("follow_up", was_there, CANDIDATE_CHAT),))
    assert expected == follow_up(routed(way), context())


def test_a_lead_that_did_not_attend_gets_the_recording() -> None:
    expected = Reaction(messages=(message("recording", False, CANDIDATE_CHAT),))
    assert expected == recording_follow_up(
        routed("not_attended"), context(room=room("finished", recording_url=RECORDING))
    )


def test_a_lead_that_attended_gets_no_recording() -> None:
    nothing = Reaction()

    assert nothing == recording_follow_up(routed("attended"), context(room=room("finished", recording_url=RECORDING)))


@pytest.mark.parametrize(
    ("none_comes", "fate", "why"), [(False, "held", {}), (True, "undeliverable", {"error": "no_recording"})]
)
def test_without_a_recording_only_the_message_about_it_waits_or_ends(
    none_comes: bool, fate: str, why: dict[str, str]
) -> None:
    missing = context(room=room("finished", recording_url=None, no_recording=none_comes))

    assert Reaction(messages=(message("recording", False, CANDIDATE_CHAT, fate, **why),)) == recording_follow_up(
        routed("not_attended"), missing
    )
    assert Reaction(messages=(message("follow_up", False, CANDIDATE_CHAT),)) == follow_up(
        routed("not_attended"), missing
    )


def test_a_message_is_in_the_language_of_the_roster_entry() -> None:
    expected = Reaction(messages=(message("follow_up", True, CANDIDATE_CHAT, locale="en"),))
    assert expected == follow_up(routed("attended"), context(entry=entry(locale="en")))


def test_a_lead_that_is_not_on_the_roster_has_no_chat_and_russian_texts() -> None:
    partner = Reaction(messages=(message("attendance", False, None, "no_chat"),))
    candidate = Reaction(messages=(message("follow_up", False, None, "no_chat"),))

    assert partner == notify_partner(classified(False), context(entry=None))
    assert candidate == follow_up(routed("not_attended"), context(entry=None))


def test_partner_and_candidate_never_get_each_others_message() -> None:
    known = context(entry=entry(partner_chat_id=None))
    other = context(entry=entry(candidate_chat_id=None))

    assert Reaction(messages=(message("attendance", True, None, "no_chat"),)) == notify_partner(classified(True), known)
    assert Reaction(messages=(message("follow_up", True, CANDIDATE_CHAT),)) == follow_up(routed("attended"), known)
    assert Reaction(messages=(message("attendance", True, PARTNER_CHAT),)) == notify_partner(classified(True), other)
    assert Reaction(messages=(message("follow_up", True, None, "no_chat"),)) == follow_up(routed("attended"), other)


@pytest.mark.parametrize(
    ("kind", "chat_id", "recording", "none_comes", "fate", "error"),
    [
        ("attendance", 1, None, False, "queued", None),
        ("attendance", 1, None, True, "queued", None),
        ("attendance", 1, RECORDING, False, "queued", None),
        ("attendance", None, RECORDING, False, "no_chat", None),
        ("follow_up", 1, None, False, "queued", None),
        ("follow_up", 1, None, True, "queued", None),
        ("follow_up", 1, RECORDING, False, "queued", None),
        ("follow_up", None, None, True, "no_chat", None),
        ("recording", 1, RECORDING, False, "queued", None),
        ("recording", 1, None, False, "held", None),
        ("recording", 1, None, True, "undeliverable", "no_recording"),
        ("recording", 1, RECORDING, True, "queued", None),
        ("recording", None, RECORDING, False, "no_chat", None),
        ("recording", None, None, False, "no_chat", None),
        ("recording", None, None, True, "no_chat", None),
    ],
)
def test_a_message_begins_where_its_chat_and_recording_let_it(
    kind: str, chat_id: int | None, recording: str | None, none_comes: bool, fate: str, error: str | None
) -> None:
    state = room("finished", recording_url=recording, no_recording=none_comes)

    assert (fate, error) == first_status(MessageKind(kind), chat_id, state.recording)


def test_a_chat_id_of_zero_is_not_a_missing_one() -> None:
    expected = (DeliveryStatus.QUEUED, None)
    assert expected == first_status(MessageKind.FOLLOW_UP, 0, Recording())


@pytest.mark.parametrize(
    ("kind", "entry_fields", "bound", "chat"),
    [
        ("follow_up", {"candidate_chat_id": 1}, BoundChats(candidate=2, partner=3), 1),
        ("follow_up", {"candidate_chat_id": None}, BoundChats(candidate=2, partner=3), 2),
        ("follow_up", None, BoundChats(candidate=2), 2),
        ("follow_up", {"candidate_chat_id": 0}, BoundChats(candidate=2), 0),
        ("attendance", {"partner_chat_id": 1}, BoundChats(candidate=2, partner=3), 1),
        ("attendance", {"partner_chat_id": None}, BoundChats(candidate=2, partner=3), 3),
        ("attendance", {"partner_chat_id": None}, BoundChats(candidate=2), None),
    ],
)
def test_the_rosters_chat_comes_before_the_one_that_is_bound(
    kind: str, entry_fields: dict[str, int | None] | None, bound: BoundChats, chat: int | None
) -> None:
    known = None if entry_fields is None else entry(**entry_fields)

    assert chat_of(MessageKind(kind), known, bound) == chat
