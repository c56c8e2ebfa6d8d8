"""The way of one message: who may send it, and what each answer of Telegram makes of it."""

from datetime import timedelta
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from msgspec.structs import replace

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
    lease_expired,
    may_still_record,
    restart,
)
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import Recording, RosterEntry
from tests.core.builders import CANDIDATE_CHAT, LEAD, NOW, PARTNER_CHAT, at, entry

FATES = ["queued", "sending", "held", "doubtful", "sent", "dry_run", "no_chat", "undeliverable", "parked"]
NEW_CHAT = 9003


def delivery(status: str = "queued", **fields: Any) -> Delivery:
    known: dict[str, Any] = {"lead_id": LEAD, "kind": MessageKind.FOLLOW_UP, "attended": True,
                             "chat_id": CANDIDATE_CHAT, "locale": "ru"}  # fmt: skip
    return Delivery(status=DeliveryStatus(status), **(known | fields))


def sending(**fields: Any) -> Delivery:
    """A message in its first try."""
    known: dict[str, Any] = {"owner": "w1", "lease_until": at(10), "attempts": 1, "at": at(-1)}
    return delivery("sending", **(known | fields))


def settled(kind: str, known: Delivery, **fields: Any) -> Transition:
    return apply_outcome(known, msgspec.convert({"kind": kind, **fields}, Outcome), NOW)


def back(known: Delivery, **fields: Any) -> Delivery:
    """The message as it is given back: nobody's, at this moment."""
    return replace(known, **({"owner": None, "lease_until": None, "at": NOW} | fields))


@pytest.mark.parametrize("status", ["queued", "doubtful"])
def test_a_claim_gives_the_right_to_send_for_as_long_as_the_lease(status: str) -> None:
    before = delivery(status, attempts=2, doubts=1)

    expected = replace(before, status=DeliveryStatus.SENDING, owner="w1", lease_until=NOW + LEASE, attempts=3, at=NOW)
    assert expected == claim(before, "w1", NOW)


@pytest.mark.parametrize("status", [fate for fate in FATES if fate not in {"queued", "doubtful"}])
@pytest.mark.parametrize("owner", ["w1", "w2"])
def test_what_is_not_waiting_cannot_be_claimed_by_anybody(status: str, owner: str) -> None:
    assert claim(delivery(status, owner="w1"), owner, NOW) is None


def test_a_message_cannot_be_claimed_twice() -> None:
    first = claim(delivery(), "w1", NOW)

    assert first is not None
    assert claim(first, "w2", NOW) is None


@pytest.mark.parametrize(
    ("seconds", "gone"), [(-3600, False), (9.999, False), (10, True), (10.001, True), (3600, True)]
)
def test_a_sender_is_taken_for_dead_when_its_lease_is_over(seconds: float, gone: bool) -> None:
    assert gone is lease_expired(sending(), at(seconds))


@pytest.mark.parametrize("status", [fate for fate in FATES if fate != "sending"])
def test_what_nobody_sends_has_no_lease_to_lapse(status: str) -> None:
    assert not lease_expired(delivery(status, lease_until=at(-1)), NOW)


def test_what_has_no_lease_does_not_lapse() -> None:
    assert not lease_expired(delivery("sending"), NOW)


def test_a_dead_senders_messages_are_taken_over_within_fifteen_seconds() -> None:
    limit = timedelta(seconds=15)

    assert limit > LEASE


@pytest.mark.parametrize(
    ("kind", "fields", "fate"),
    [
        ("sent", {"message_id": 55}, "sent"),
        ("dry_run", {}, "dry_run"),
        ("final", {"error": "forbidden"}, "undeliverable"),
    ],
)
@pytest.mark.parametrize("doubts", [0, 1])
def test_an_outcome_that_is_known_ends_the_way(kind: str, fields: dict[str, Any], fate: str, doubts: int) -> None:
    known = sending(doubts=doubts, error="an older one")

    ended = back(known, **({"status": DeliveryStatus(fate), "message_id": None, "error": None} | fields))
    assert Transition(delivery=ended, again_in=None) == settled(kind, known, **fields)


@pytest.mark.parametrize(("doubts", "fate"), [(0, "queued"), (1, "doubtful")])
def test_a_migrated_chat_is_followed_at_once(doubts: int, fate: str) -> None:
    known = sending(doubts=doubts)

    moved = back(known, status=DeliveryStatus(fate), chat_id=NEW_CHAT)
    assert Transition(delivery=moved, again_in=0.0) == settled("migrated", known, chat_id=NEW_CHAT)


@pytest.mark.parametrize("kind", ["flood", "halted", "late", "unconfirmed"])
@pytest.mark.parametrize(("doubts", "fate"), [(0, "queued"), (1, "doubtful")])
def test_a_wait_that_is_asked_for_is_kept_and_is_no_attempt(kind: str, doubts: int, fate: str) -> None:
    known = sending(attempts=7, doubts=doubts)

    waiting = back(known, status=DeliveryStatus(fate), attempts=6, error="retry_after")
    assert Transition(delivery=waiting, again_in=17.5) == settled(kind, known, seconds=17.5, error="retry_after")


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (11, 300), (39, 300)]
)
@pytest.mark.parametrize(("doubts", "fate"), [(0, "queued"), (1, "doubtful")])
def test_a_refused_try_backs_off_twice_as_long_each_time(attempts: int, seconds: float, doubts: int, fate: str) -> None:
    known = sending(attempts=attempts, doubts=doubts)

    waiting = back(known, status=DeliveryStatus(fate), error="network")
    assert Transition(delivery=waiting, again_in=seconds) == settled("refused", known, error="network")


def test_a_telegram_that_is_away_is_waited_for_for_more_than_two_hours() -> None:
    known, waited = delivery(), 0.0
    assert (known.attempts, known.doubts) == (0, 0)
    while claimed := claim(known, "w1", NOW):
        step = settled("refused", claimed, error="network")
        known, waited = step.delivery, waited + (step.again_in or 0.0)

    assert (known.status, known.attempts) == (DeliveryStatus.PARKED, MAX_ATTEMPTS)
    assert 2 * 3600 < waited < 3 * 3600


@pytest.mark.parametrize("attempts", [MAX_ATTEMPTS, MAX_ATTEMPTS + 1])
def test_a_message_that_was_tried_too_often_is_parked(attempts: int) -> None:
    known = sending(attempts=attempts)

    parked = back(known, status=DeliveryStatus.PARKED, error="network")
    assert Transition(delivery=parked, again_in=None) == settled("refused", known, error="network")
    moved = back(known, status=DeliveryStatus.PARKED, chat_id=NEW_CHAT)
    assert Transition(delivery=moved, again_in=None) == settled("migrated", known, chat_id=NEW_CHAT)


def test_an_unknown_outcome_is_tried_once_more() -> None:
    doubtful = back(sending(), status=DeliveryStatus.DOUBTFUL, doubts=1, error="timeout")

    assert Transition(delivery=doubtful, again_in=2.0) == settled("unknown", sending(), error="timeout")


def test_a_second_unknown_outcome_is_parked_for_a_person() -> None:
    parked = back(sending(doubts=1), status=DeliveryStatus.PARKED, doubts=2, error="timeout")

    assert Transition(delivery=parked, again_in=None) == settled("unknown", sending(doubts=1), error="timeout")


@pytest.mark.parametrize(("doubts", "fate", "again"), [(0, "doubtful", 2.0), (1, "parked", None)])
def test_a_sender_that_died_leaves_its_message_in_doubt(doubts: int, fate: str, again: float | None) -> None:
    known = sending(doubts=doubts)

    left = back(known, status=DeliveryStatus(fate), doubts=doubts + 1, error="its sender died")
    assert doubt(known, "its sender died", NOW) == Transition(delivery=left, again_in=again)


@pytest.mark.parametrize("between", ["flood", "refused", "halted", "late", "unconfirmed"])
def test_a_message_is_never_sent_a_third_time_with_an_unknown_outcome(between: str) -> None:
    """A wait between the two does not make the first doubt forgotten."""
    known = delivery()
    for outcome in ("unknown", between, "unknown"):
        claimed = claim(known, "w1", NOW)
        assert claimed is not None
        known = settled(outcome, claimed, seconds=1.0).delivery

    assert known.status is DeliveryStatus.PARKED
    assert claim(known, "w1", NOW) is None


@pytest.mark.parametrize(
    ("kind", "recording", "known", "fate", "chat_id"),
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
@pytest.mark.parametrize("status", ["held", "parked", "undeliverable", "dry_run", "no_chat"])
def test_what_begins_anew_goes_where_roster_and_recording_are_now(
    status: str, kind: str, recording: str | None, known: dict[str, Any] | None, fate: str, chat_id: int | None
) -> None:
    before = delivery(status, kind=MessageKind(kind), attempts=40, doubts=2, error="timeout")
    standing: RosterEntry | None = None if known is None else entry(**known)

    after = restart(before, Recording(url=recording), standing, NOW)

    first = {"attempts": 0, "doubts": 0, "error": None, "at": NOW}
    assert after == replace(before, status=DeliveryStatus(fate), chat_id=chat_id, **first)


def test_a_recording_that_will_never_be_is_not_waited_for() -> None:
    after = restart(delivery("held", kind=MessageKind.RECORDING), Recording(is_expected=False), entry(), NOW)

    assert (after.status, after.error) == (DeliveryStatus.UNDELIVERABLE, "no_recording")


@pytest.mark.parametrize("status", ["held", "sending", "queued", "parked"])
@pytest.mark.parametrize("fate", ["undeliverable", "parked", "no_chat"])
def test_a_message_that_ends_says_why_and_is_nobodys(status: str, fate: str) -> None:
    expected = delivery(fate, error="no_recording", at=NOW)

    assert (
        finish(delivery(status, owner="w1", lease_until=at(9)), DeliveryStatus(fate), "no_recording", NOW) == expected
    )


@pytest.mark.parametrize(
    ("standing", "may"),
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
def test_a_sender_taken_for_dead_may_tell_its_outcome_until_another_tries(standing: dict[str, Any], may: bool) -> None:
    claimed = sending()

    assert may_still_record(claimed, replace(claimed, **standing)) is may


def test_the_ends_are_those_of_the_design() -> None:
    ends = {"sent", "dry_run", "no_chat", "undeliverable", "parked"}

    assert ends == {fate.value for fate in ENDED}


def test_the_operator_may_retry_every_end_but_sent() -> None:
    retriable = {"dry_run", "no_chat", "undeliverable", "parked"}

    assert retriable == {fate.value for fate in RETRIABLE}


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
    "undeliverable": "refused",
    "parked": "refused",
}


def told(step: Transition) -> str:
    return step.delivery.status.value + ("" if step.again_in is None else f" in {step.again_in:g}")


@pytest.mark.parametrize("outcome", CELLS)
def test_every_outcome_of_every_try_is_this_one(outcome: str) -> None:
    tries = [sending(), sending(doubts=1), sending(attempts=MAX_ATTEMPTS)]

    assert tuple(told(settled(outcome, known, seconds=7.0)) for known in tries) == CELLS[outcome]


def test_every_status_may_be_claimed_or_not() -> None:
    asked = {status: claim(delivery(status), "w1", NOW) for status in FATES}

    assert {status: got.status.value if got else "refused" for status, got in asked.items()} == CLAIMS
    assert {status for status, answer in CLAIMS.items() if answer == "sending"} == {fate.value for fate in CLAIMABLE}


def test_the_table_has_every_outcome_there_is() -> None:
    assert set(CELLS) == set(get_args(get_type_hints(Outcome)["kind"]))
