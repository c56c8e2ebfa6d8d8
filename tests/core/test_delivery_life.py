"""One message through any number of workers, crashes, outcomes and retries: what holds after each step."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from room_server.core.bindings import BoundChats
from room_server.core.decision_types import Facts
from room_server.core.delivery import MAX_ATTEMPTS, MAX_DOUBTS, RETRIABLE, claim, doubt, has_chat_now, restart
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import RosterEntry
from tests.core.builders import NOW
from tests.core.test_delivery import CELLS, NEW_CHAT, applied, delivery


class Life(RuleBasedStateMachine):
    """Any number of claims, crashes, outcomes and retries of one message."""

    def __init__(self) -> None:
        super().__init__()
        self.current = delivery()
        self.unknown = 0
        """Tries since the last retry with an unknown outcome."""

    @rule(owner=st.sampled_from(["w1", "w2"]))
    def a_worker_claims(self, owner: str) -> None:
        claimed = claim(self.current, owner, NOW)
        assert (claimed is not None) == (self.current.status in {DeliveryStatus.QUEUED, DeliveryStatus.DOUBTFUL})
        self.current = claimed or self.current

    @precondition(lambda self: self.current.status is DeliveryStatus.SENDING)
    @rule(kind=st.sampled_from(sorted(CELLS)))
    def telegram_answers(self, kind: str) -> None:
        self.unknown += kind == "unknown"
        self.current = applied(kind, self.current, seconds=1.0, chat_id=NEW_CHAT).delivery

    @precondition(lambda self: self.current.status is DeliveryStatus.SENDING)
    @rule()
    def its_worker_dies(self) -> None:
        self.unknown += 1
        self.current = doubt(self.current, "its sender died", NOW).delivery

    @precondition(lambda self: self.current.status in RETRIABLE)
    @rule()
    def an_operator_retries(self) -> None:
        self.unknown = 0
        self.current = restart(self.current, Facts(), NOW)

    @invariant()
    def only_a_message_that_is_sent_has_an_owner(self) -> None:
        if self.current.status is not DeliveryStatus.SENDING:
            assert (self.current.owner, self.current.lease_until) == (None, None)

    @invariant()
    def doubts_are_the_unknown_tries_and_at_most_two(self) -> None:
        assert self.current.doubts == self.unknown <= MAX_DOUBTS

    @invariant()
    def tries_are_bounded(self) -> None:
        assert (
            0 <= self.current.attempts <= MAX_ATTEMPTS + 1
        )  # a message that is doubtful at its last try is tried once more

    @invariant()
    def a_doubtful_message_never_counts_as_new(self) -> None:
        if self.current.doubts:
            assert self.current.status is not DeliveryStatus.QUEUED


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=120, deadline=None)


@pytest.mark.parametrize(
    ("status", "kind", "fields", "has"),
    [
        ("no_chat", "follow_up", {"candidate_chat_id": 5}, True),
        ("no_chat", "attendance", {"partner_chat_id": 5}, True),
        ("no_chat", "attendance", {"candidate_chat_id": 5}, False),
        ("no_chat", "follow_up", None, False),
        ("sent", "follow_up", {"candidate_chat_id": 5}, False),
        ("parked", "follow_up", {"candidate_chat_id": 5}, False),
    ],
)
def test_only_a_message_that_ended_without_a_chat_may_have_one_now(
    status: str, kind: str, fields: dict[str, Any] | None, has: bool
) -> None:
    entry = None if fields is None else RosterEntry(lead_id=1, **fields)

    assert has_chat_now(delivery(status, kind=MessageKind(kind), chat_id=None), Facts(entry=entry)) is has


@pytest.mark.parametrize(
    ("kind", "bound", "has"),
    [
        ("follow_up", BoundChats(candidate=5), True),
        ("attendance", BoundChats(partner=5), True),
        ("attendance", BoundChats(candidate=5), False),
    ],
)
def test_whoever_is_bound_has_a_chat_on_the_roster_or_not(kind: str, bound: BoundChats, has: bool) -> None:
    for entry in (None, RosterEntry(lead_id=1)):
        facts = Facts(entry=entry, bound=bound)
        assert has_chat_now(delivery("no_chat", kind=MessageKind(kind), chat_id=None), facts) is has
