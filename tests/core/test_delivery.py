"""The delivery of one message: who may send it, and what follows from each outcome."""

from datetime import timedelta
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from msgspec.structs import replace

from room_server.core.decision_types import Facts
from room_server.core.delivery import (
    CLAIMABLE,
    ENDED,
    LEASE,
    MAX_ATTEMPTS,
    RETRIABLE,
    Delivery,
    Outcome,
    Transition,
    apply_outcome,
    claim,
    doubt,
    finish,
    is_moved,
    lease_expired,
    look_again,
    may_still_record,
    moved,
    replacement,
)
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import Participation, Recording
from tests.core.builders import CANDIDATE_CHAT, LEAD, NOW, at, entry

STATUSES = [
    "queued",
    "sending",
    "held",
    "doubtful",
    "sent",
    "dry_run",
    "no_chat",
    "opted_out",
    "undeliverable",
    "parked",
]
NEW_CHAT = 9003


def delivery(status: str = "queued", **fields: Any) -> Delivery:
    known: dict[str, Any] = {"lead_id": LEAD, "kind": MessageKind.FOLLOW_UP, "attended": True,
                             "chat_id": CANDIDATE_CHAT, "locale": "ru"}  # fmt: skip
    return Delivery(status=DeliveryStatus(status), **(known | fields))


def sending(**fields: Any) -> Delivery:
    """A message in its first try."""
    known: dict[str, Any] = {"owner": "w1", "lease_until": at(10), "attempts": 1, "at": at(-1)}
    return delivery("sending", **(known | fields))


def applied(kind: str, known: Delivery, **fields: Any) -> Transition:
    return apply_outcome(known, msgspec.convert({"kind": kind, **fields}, Outcome), NOW)


def back(known: Delivery, **fields: Any) -> Delivery:
    """The message without an owner, changed now."""
    return replace(known, **({"owner": None, "lease_until": None, "at": NOW} | fields))


@pytest.mark.parametrize("status", ["queued", "doubtful"])
def test_a_claim_gives_the_right_to_send_for_as_long_as_the_lease(status: str) -> None:
    before = delivery(status, attempts=2, doubts=1)

    expected = replace(before, status=DeliveryStatus.SENDING, owner="w1", lease_until=NOW + LEASE, attempts=3, at=NOW)
    assert expected == claim(before, "w1", NOW)


@pytest.mark.parametrize("status", [status for status in STATUSES if status not in {"queued", "doubtful"}])
@pytest.mark.parametrize("owner", ["w1", "w2"])
def test_only_queued_and_doubtful_messages_can_be_claimed(status: str, owner: str) -> None:
    assert claim(delivery(status, owner="w1"), owner, NOW) is None


def test_a_message_cannot_be_claimed_twice() -> None:
    first = claim(delivery(), "w1", NOW)

    assert first is not None
    assert claim(first, "w2", NOW) is None


@pytest.mark.parametrize(
    ("seconds", "gone"), [(-3600, False), (9.999, False), (10, True), (10.001, True), (3600, True)]
)
def test_a_worker_counts_as_dead_when_its_lease_is_over(seconds: float, gone: bool) -> None:
    assert gone is lease_expired(sending(), at(seconds))


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "sending"])
def test_only_a_message_that_is_being_sent_has_a_lease(status: str) -> None:
    assert not lease_expired(delivery(status, lease_until=at(-1)), NOW)


def test_a_message_without_a_lease_does_not_expire() -> None:
    assert not lease_expired(delivery("sending"), NOW)


def test_messages_of_a_worker_that_died_are_claimed_within_fifteen_seconds() -> None:
    limit = timedelta(seconds=15)

    assert limit > LEASE


@pytest.mark.parametrize(
    ("kind", "fields", "after_status"),
    [
        ("sent", {"message_id": 55}, "sent"),
        ("dry_run", {}, "dry_run"),
        ("final", {"error": "forbidden"}, "undeliverable"),
    ],
)
@pytest.mark.parametrize("doubts", [0, 1])
def test_a_final_outcome_ends_the_delivery(kind: str, fields: dict[str, Any], after_status: str, doubts: int) -> None:
    known = sending(doubts=doubts, error="an older one")

    ended = back(known, **({"status": DeliveryStatus(after_status), "message_id": None, "error": None} | fields))
    assert Transition(delivery=ended, again_in=None) == applied(kind, known, **fields)


@pytest.mark.parametrize(("doubts", "after_status"), [(0, "queued"), (1, "doubtful")])
def test_a_migrated_chat_is_followed_at_once(doubts: int, after_status: str) -> None:
    known = sending(doubts=doubts)

    moved = back(known, status=DeliveryStatus(after_status), chat_id=NEW_CHAT)
    assert Transition(delivery=moved, again_in=0.0) == applied("migrated", known, chat_id=NEW_CHAT)


@pytest.mark.parametrize("kind", ["flood", "halted", "late", "unconfirmed"])
@pytest.mark.parametrize(("doubts", "after_status"), [(0, "queued"), (1, "doubtful")])
def test_a_claim_that_sends_nothing_waits_and_does_not_count_as_a_try(
    kind: str, doubts: int, after_status: str
) -> None:
    known = sending(attempts=7, doubts=doubts)

    waiting = back(known, status=DeliveryStatus(after_status), attempts=6, error="retry_after")
    assert Transition(delivery=waiting, again_in=17.5) == applied(kind, known, seconds=17.5, error="retry_after")


def test_a_claim_that_sends_nothing_keeps_the_error_of_the_last_try() -> None:
    known = sending(attempts=2, error="flood")

    waiting = back(known, status=DeliveryStatus.QUEUED, attempts=1, error="flood")
    assert Transition(delivery=waiting, again_in=1.0) == applied("late", known, seconds=1.0)


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (11, 300), (39, 300)]
)
@pytest.mark.parametrize(("doubts", "after_status"), [(0, "queued"), (1, "doubtful")])
def test_a_refused_try_backs_off_twice_as_long_each_time(
    attempts: int, seconds: float, doubts: int, after_status: str
) -> None:
    known = sending(attempts=attempts, doubts=doubts)

    waiting = back(known, status=DeliveryStatus(after_status), error="network")
    assert Transition(delivery=waiting, again_in=seconds) == applied("refused", known, error="network")


def test_an_unreachable_telegram_is_tried_for_more_than_two_hours() -> None:
    known, waited = delivery(), 0.0
    assert (known.attempts, known.doubts) == (0, 0)
    while claimed := claim(known, "w1", NOW):
        step = applied("refused", claimed, error="network")
        known, waited = step.delivery, waited + (step.again_in or 0.0)

    assert (known.status, known.attempts) == (DeliveryStatus.PARKED, MAX_ATTEMPTS)
    assert 2 * 3600 < waited < 3 * 3600


@pytest.mark.parametrize("attempts", [MAX_ATTEMPTS, MAX_ATTEMPTS + 1])
def test_a_message_that_was_tried_too_often_is_parked(attempts: int) -> None:
    known = sending(attempts=attempts)

    parked = back(known, status=DeliveryStatus.PARKED, error="network")
    assert Transition(delivery=parked, again_in=None) == applied("refused", known, error="network")
    moved = back(known, status=DeliveryStatus.PARKED, chat_id=NEW_CHAT)
    assert Transition(delivery=moved, again_in=None) == applied("migrated", known, chat_id=NEW_CHAT)


def test_an_unknown_outcome_is_tried_once_more() -> None:
    doubtful = back(sending(), status=DeliveryStatus.DOUBTFUL, doubts=1, error="timeout")

    assert Transition(delivery=doubtful, again_in=2.0) == applied("unknown", sending(), error="timeout")


def test_a_second_unknown_outcome_is_parked_for_a_person() -> None:
    parked = back(sending(doubts=1), status=DeliveryStatus.PARKED, doubts=2, error="timeout")

    assert Transition(delivery=parked, again_in=None) == applied("unknown", sending(doubts=1), error="timeout")


@pytest.mark.parametrize(("doubts", "after_status", "again"), [(0, "doubtful", 2.0), (1, "parked", None)])
def test_a_sender_that_died_leaves_its_message_in_doubt(doubts: int, after_status: str, again: float | None) -> None:
    known = sending(doubts=doubts)

    left = back(known, status=DeliveryStatus(after_status), doubts=doubts + 1, error="its sender died")
    assert doubt(known, "its sender died", NOW) == Transition(delivery=left, again_in=again)


@pytest.mark.parametrize("between", ["flood", "refused", "halted", "late", "unconfirmed"])
def test_a_message_is_never_sent_a_third_time_with_an_unknown_outcome(between: str) -> None:
    """An outcome between the two does not reset the first doubt."""
    known = delivery()
    for outcome in ("unknown", between, "unknown"):
        claimed = claim(known, "w1", NOW)
        assert claimed is not None
        known = applied(outcome, claimed, seconds=1.0).delivery

    assert known.status is DeliveryStatus.PARKED
    assert claim(known, "w1", NOW) is None


@pytest.mark.parametrize("status", ["held", "sending", "queued", "parked"])
@pytest.mark.parametrize("after_status", ["undeliverable", "parked", "no_chat"])
def test_a_message_that_ends_has_an_error_and_no_owner(status: str, after_status: str) -> None:
    known = delivery(status, owner="w1", lease_until=at(9))
    ended = finish(known, DeliveryStatus(after_status), "no_recording", NOW)

    assert ended == delivery(after_status, error="no_recording", at=NOW)


@pytest.mark.parametrize(
    ("current", "may"),
    [
        ({"status": DeliveryStatus.SENDING, "lease_until": at(1)}, True),
        ({"status": DeliveryStatus.SENDING, "owner": "w2"}, False),
        ({"status": DeliveryStatus.DOUBTFUL, "doubts": 1, "attempts": 1}, True),
        ({"status": DeliveryStatus.PARKED, "doubts": 1, "attempts": 1}, True),
        ({"status": DeliveryStatus.DOUBTFUL, "doubts": 1, "attempts": 2}, False),
        ({"status": DeliveryStatus.SENDING, "doubts": 1, "attempts": 2, "owner": "w2"}, False),
        ({"status": DeliveryStatus.SENT, "doubts": 1, "attempts": 1}, False),
        ({"status": DeliveryStatus.DOUBTFUL, "doubts": 2, "attempts": 1}, False),
        ({"status": DeliveryStatus.UNDELIVERABLE, "doubts": 0, "attempts": 1}, False),
    ],
)
def test_a_worker_whose_lease_expired_may_record_its_outcome_until_another_tries(
    current: dict[str, Any], may: bool
) -> None:
    claimed = sending()

    assert may_still_record(claimed, replace(claimed, **current)) is may


def test_six_statuses_end_a_delivery_and_all_but_sent_may_be_retried() -> None:
    assert {status.value for status in RETRIABLE} == {"dry_run", "no_chat", "opted_out", "undeliverable", "parked"}
    assert RETRIABLE | {DeliveryStatus.SENT} == ENDED


@pytest.mark.parametrize("kind", [Delivery, Outcome, Transition])
def test_a_record_is_never_changed_after_it_was_made(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


@pytest.mark.parametrize("known", [delivery(), sending(doubts=1, error="timeout"), delivery("sent", message_id=5)])
def test_a_delivery_survives_being_stored(known: Delivery) -> None:
    assert known == msgspec.json.decode(msgspec.json.encode(known), type=Delivery)


CELLS: dict[str, tuple[str, str, str]] = {
    # outcome: what a try comes to when it is the first, when one before it is in doubt, when there were too many
    "sent": ("sent", "sent", "sent"),
    "dry_run": ("dry_run", "dry_run", "dry_run"),
    "final": ("undeliverable", "undeliverable", "undeliverable"),
    "opted_out": ("opted_out", "opted_out", "opted_out"),
    "refused": ("queued in 1", "doubtful in 1", "parked"),
    "flood": ("queued in 7", "doubtful in 7", "queued in 7"),
    "halted": ("queued in 7", "doubtful in 7", "queued in 7"),
    "late": ("queued in 7", "doubtful in 7", "queued in 7"),
    "unconfirmed": ("queued in 7", "doubtful in 7", "queued in 7"),
    "migrated": ("queued in 0", "doubtful in 0", "parked"),
    "unknown": ("doubtful in 7", "parked", "doubtful in 7"),
}
CLAIMS = {
    "queued": "sending",
    "doubtful": "sending",
    "sending": "refused",
    "held": "refused",
    "sent": "refused",
    "dry_run": "refused",
    "no_chat": "refused",
    "opted_out": "refused",
    "undeliverable": "refused",
    "parked": "refused",
}


def summary(step: Transition) -> str:
    return step.delivery.status.value + ("" if step.again_in is None else f" in {step.again_in:g}")


@pytest.mark.parametrize("outcome", CELLS)
def test_every_outcome_has_the_transition_of_the_table(outcome: str) -> None:
    tries = [sending(), sending(doubts=1), sending(attempts=MAX_ATTEMPTS)]

    assert tuple(summary(applied(outcome, known, seconds=7.0)) for known in tries) == CELLS[outcome]


def test_every_status_may_be_claimed_or_not() -> None:
    asked = {status: claim(delivery(status), "w1", NOW) for status in STATUSES}

    assert {status: got.status.value if got else "refused" for status, got in asked.items()} == CLAIMS
    assert {status for status, answer in CLAIMS.items() if answer == "sending"} == {
        status.value for status in CLAIMABLE
    }


def test_the_table_has_every_outcome_there_is() -> None:
    assert set(CELLS) == set(get_args(get_type_hints(Outcome)["kind"]))


LINK, NONE = Recording(url="https://example.org/r"), Recording(is_expected=False)


@pytest.mark.parametrize(
    ("status", "recording", "after"),
    [
        *(("held", Recording(), "held"), ("held", LINK, "queued"), ("held", NONE, "undeliverable")),
        *(("queued", Recording(), "held"), ("queued", LINK, "queued"), ("queued", NONE, "undeliverable")),
        *(("doubtful", Recording(), "held"), ("doubtful", LINK, "doubtful"), ("doubtful", NONE, "undeliverable")),
        *((status, NONE, status) for status in STATUSES if status not in {"held", "queued", "doubtful"}),
    ],
)
def test_a_change_of_the_recording_moves_messages_that_wait_for_it(
    status: str, recording: Recording, after: str
) -> None:
    """Those that are being sent or have ended stay as they are."""
    known = delivery(status, kind=MessageKind.RECORDING, doubts=1)
    facts = Facts(named_recording=recording, entry=entry())
    after_move = moved(known, facts, NOW) if is_moved(known, recording) else known

    assert is_moved(known, recording) == (status != after)
    assert (after_move.status, after_move.error) == (
        after,
        "no_recording" if after_move.status != status and recording is NONE else None,
    )


@pytest.mark.parametrize("kind", [MessageKind.ATTENDANCE, MessageKind.FOLLOW_UP])
@pytest.mark.parametrize("status", STATUSES)
def test_other_messages_are_never_moved_by_the_recording(kind: MessageKind, status: str) -> None:
    assert not any(is_moved(delivery(status, kind=kind), recording) for recording in (Recording(), LINK, NONE))


@pytest.mark.parametrize(("seconds", "left"), [(-5, -5), (0, 0), (8, 8), (8.001, 8), (3600, 8)])
def test_a_lease_by_a_clock_that_is_ahead_is_cut_to_a_whole_one(seconds: float, left: float) -> None:
    known = sending(lease_until=at(seconds))

    expected = Transition(delivery=replace(known, lease_until=at(left)), again_in=max(left, 0.0))
    assert look_again(known, NOW) == expected


def test_a_message_that_is_sent_without_a_lease_is_looked_at_again_at_once() -> None:
    known = delivery("sending")

    assert look_again(known, NOW) == Transition(delivery=replace(known, lease_until=NOW), again_in=0.0)


def test_a_message_in_place_of_an_unreadable_one_is_parked_and_goes_where_the_roster_says() -> None:
    facts = Facts(participation=Participation(lead_id=LEAD, attended=True), entry=entry(locale="en"))

    expected = delivery("parked", locale="en", error="why", at=NOW)
    assert replacement(f"{LEAD}:follow_up", facts, "why", NOW) == expected
    assert replacement(f"{LEAD}:follow_up", Facts(), "why", NOW) == replace(
        expected, attended=False, chat_id=None, locale="ru"
    )


@pytest.mark.parametrize("field", ["", "x:follow_up", f"{LEAD}:letter", f"{LEAD}"])
def test_a_field_that_names_no_lead_or_kind_has_no_replacement(field: str) -> None:
    with pytest.raises(ValueError, match=r"not a valid|invalid literal"):
        replacement(field, Facts(), "why", NOW)
