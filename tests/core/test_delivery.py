"""The way of one message: who may send it, and what each answer of Telegram makes of it."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from room_server.core.delivery import (
    ENDED,
    LEASE,
    MAX_ATTEMPTS,
    RETRIABLE,
    Delivery,
    Outcome,
    Step,
    claim,
    doubt,
    give_up,
    lapsed,
    overtaken,
    park,
    release,
    settle,
)
from room_server.core.messages import Fate, Kind
from tests.core.builders import CANDIDATE_CHAT, LEAD, NOW, at

FATES = ["queued", "sending", "held", "doubtful", "sent", "dry_run", "no_chat", "undeliverable", "parked"]
NEW_CHAT = 9003


def delivery(status: str = "queued", **fields: Any) -> Delivery:
    known: dict[str, Any] = {
        "lead_id": LEAD,
        "kind": Kind.FOLLOW_UP,
        "attended": True,
        "chat_id": CANDIDATE_CHAT,
        "locale": "ru",
    }
    return Delivery(status=Fate(status), **(known | fields))


def sending(**fields: Any) -> Delivery:
    """A message in its first try."""
    known: dict[str, Any] = {"owner": "w1", "lease_until": at(10), "attempts": 1, "at": at(-1)}
    return delivery("sending", **(known | fields))


def settled(kind: str, known: Delivery, **fields: Any) -> Step:
    return settle(known, msgspec.convert({"kind": kind, **fields}, Outcome), NOW)


def back(known: Delivery, **fields: Any) -> Delivery:
    """The message as it is given back: nobody's, at this moment."""
    return replace(known, **({"owner": None, "lease_until": None, "at": NOW} | fields))


@pytest.mark.parametrize("status", ["queued", "doubtful"])
def test_a_claim_gives_the_right_to_send_for_as_long_as_the_lease(status: str) -> None:
    before = delivery(status, attempts=2, doubts=1)

    expected = replace(before, status=Fate.SENDING, owner="w1", lease_until=NOW + LEASE, attempts=3, at=NOW)
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
    assert gone is lapsed(sending(), at(seconds))


@pytest.mark.parametrize("status", [fate for fate in FATES if fate != "sending"])
def test_what_nobody_sends_has_no_lease_to_lapse(status: str) -> None:
    assert not lapsed(delivery(status, lease_until=at(-1)), NOW)


def test_what_has_no_lease_does_not_lapse() -> None:
    assert not lapsed(delivery("sending"), NOW)


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

    ended = back(known, **({"status": Fate(fate), "message_id": None, "error": None} | fields))
    assert Step(delivery=ended, again_in=None) == settled(kind, known, **fields)


@pytest.mark.parametrize(("doubts", "fate"), [(0, "queued"), (1, "doubtful")])
def test_a_migrated_chat_is_followed_at_once(doubts: int, fate: str) -> None:
    known = sending(doubts=doubts)

    moved = back(known, status=Fate(fate), chat_id=NEW_CHAT)
    assert Step(delivery=moved, again_in=0.0) == settled("migrated", known, chat_id=NEW_CHAT)


@pytest.mark.parametrize("kind", ["flood", "halted", "late"])
@pytest.mark.parametrize(("doubts", "fate"), [(0, "queued"), (1, "doubtful")])
def test_a_wait_that_is_asked_for_is_kept_and_is_no_attempt(kind: str, doubts: int, fate: str) -> None:
    known = sending(attempts=7, doubts=doubts)

    waiting = back(known, status=Fate(fate), attempts=6, error="retry_after")
    assert Step(delivery=waiting, again_in=17.5) == settled(kind, known, seconds=17.5, error="retry_after")


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (11, 300), (39, 300)]
)
@pytest.mark.parametrize(("doubts", "fate"), [(0, "queued"), (1, "doubtful")])
def test_a_refused_try_backs_off_twice_as_long_each_time(attempts: int, seconds: float, doubts: int, fate: str) -> None:
    known = sending(attempts=attempts, doubts=doubts)

    waiting = back(known, status=Fate(fate), error="network")
    assert Step(delivery=waiting, again_in=seconds) == settled("refused", known, error="network")


@pytest.mark.parametrize("attempts", [MAX_ATTEMPTS, MAX_ATTEMPTS + 1])
def test_a_message_that_was_tried_too_often_is_parked(attempts: int) -> None:
    known = sending(attempts=attempts)

    parked = back(known, status=Fate.PARKED, error="network")
    assert Step(delivery=parked, again_in=None) == settled("refused", known, error="network")
    moved = back(known, status=Fate.PARKED, chat_id=NEW_CHAT)
    assert Step(delivery=moved, again_in=None) == settled("migrated", known, chat_id=NEW_CHAT)


def test_an_unknown_outcome_is_tried_once_more() -> None:
    doubtful = back(sending(), status=Fate.DOUBTFUL, doubts=1, error="timeout")

    assert Step(delivery=doubtful, again_in=2.0) == settled("unknown", sending(), error="timeout")


def test_a_second_unknown_outcome_is_parked_for_a_person() -> None:
    parked = back(sending(doubts=1), status=Fate.PARKED, doubts=2, error="timeout")

    assert Step(delivery=parked, again_in=None) == settled("unknown", sending(doubts=1), error="timeout")


@pytest.mark.parametrize(("doubts", "fate", "again"), [(0, "doubtful", 2.0), (1, "parked", None)])
def test_a_sender_that_died_leaves_its_message_in_doubt(doubts: int, fate: str, again: float | None) -> None:
    known = sending(doubts=doubts)

    left = back(known, status=Fate(fate), doubts=doubts + 1, error="died")
    assert Step(delivery=left, again_in=again) == doubt(known, "died", NOW)


@pytest.mark.parametrize("doubts", [0, 1])
def test_a_sender_that_was_taken_for_dead_may_still_tell_until_the_message_is_tried_again(doubts: int) -> None:
    claimed = sending(doubts=doubts)
    doubted = doubt(claimed, "died", NOW).delivery

    assert overtaken(claimed, doubted)
    assert not overtaken(claimed, replace(doubted, attempts=2))


@pytest.mark.parametrize(
    "standing",
    [
        sending(),
        sending(owner="w2", attempts=2, doubts=1),
        sending(doubts=1),
        delivery("queued", attempts=1),
        delivery("queued", attempts=1, doubts=1),
        delivery("sent", attempts=1, doubts=1),
        delivery("doubtful", attempts=1, doubts=0),
        delivery("parked", attempts=1, doubts=2),
    ],
)
def test_a_sender_has_nothing_to_tell_of_what_is_not_its_own_doubt(standing: Delivery) -> None:
    assert not overtaken(sending(), standing)


@pytest.mark.parametrize("between", ["flood", "refused", "halted", "late"])
def test_a_message_is_never_sent_a_third_time_with_an_unknown_outcome(between: str) -> None:
    """A wait between the two does not make the first doubt forgotten."""
    known = delivery()
    for outcome in ("unknown", between, "unknown"):
        claimed = claim(known, "w1", NOW)
        assert claimed is not None
        known = settled(outcome, claimed, seconds=1.0).delivery

    assert known.status is Fate.PARKED
    assert claim(known, "w1", NOW) is None


@pytest.mark.parametrize("status", ["held", "parked", "undeliverable", "dry_run", "no_chat"])
@pytest.mark.parametrize(("chat_id", "fate"), [(NEW_CHAT, "queued"), (0, "queued"), (None, "no_chat")])
def test_a_released_message_starts_anew_to_where_the_roster_says(status: str, chat_id: int | None, fate: str) -> None:
    known = delivery(status, attempts=40, doubts=2, error="timeout")

    expected = replace(known, status=Fate(fate), chat_id=chat_id, attempts=0, doubts=0, error=None, at=NOW)
    assert expected == release(known, chat_id, NOW)


@pytest.mark.parametrize("status", ["held", "parked"])
def test_a_message_that_is_given_up_says_why(status: str) -> None:
    expected = delivery(status="undeliverable", error="no_recording", at=NOW)
    assert expected == give_up(delivery(status), "no_recording", NOW)


def test_a_message_that_cannot_be_sent_as_things_stand_is_parked_and_says_why() -> None:
    expected = back(sending(doubts=1), status=Fate.PARKED, error="text")
    assert expected == park(sending(doubts=1), "text", NOW)


def test_the_ends_are_those_of_the_design() -> None:
    ends = {"sent", "dry_run", "no_chat", "undeliverable", "parked"}

    assert ends == {fate.value for fate in ENDED}


def test_the_operator_may_retry_every_end_but_sent() -> None:
    retriable = {"dry_run", "no_chat", "undeliverable", "parked"}

    assert retriable == {fate.value for fate in RETRIABLE}


@pytest.mark.parametrize("kind", [Delivery, Outcome, Step])
def test_a_record_is_never_changed_after_it_was_made(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


@pytest.mark.parametrize("known", [delivery(), sending(doubts=1, error="timeout"), delivery("sent", message_id=5)])
def test_a_delivery_survives_being_stored(known: Delivery) -> None:
    assert known == msgspec.json.decode(msgspec.json.encode(known), type=Delivery)
