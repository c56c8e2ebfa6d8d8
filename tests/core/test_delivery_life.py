"""One message through any number of senders, crashes, answers and retries: what holds after each step."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from room_server.core.delivery import MAX_ATTEMPTS, MAX_DOUBTS, RETRIABLE, claim, doubt, restart
from room_server.core.messages import DeliveryStatus
from room_server.core.room import Recording
from tests.core.builders import NOW
from tests.core.test_delivery import CELLS, NEW_CHAT, delivery, settled


class Life(RuleBasedStateMachine):
    """Any number of senders, crashes, answers and retries upon one message."""

    def __init__(self) -> None:
        super().__init__()
        self.standing = delivery()
        self.unknown = 0
        """Tries since the last retry whose outcome nobody knows."""

    @rule(owner=st.sampled_from(["w1", "w2"]))
    def someone_claims(self, owner: str) -> None:
        claimed = claim(self.standing, owner, NOW)
        assert (claimed is not None) == (self.standing.status in {DeliveryStatus.QUEUED, DeliveryStatus.DOUBTFUL})
        self.standing = claimed or self.standing

    @precondition(lambda self: self.standing.status is DeliveryStatus.SENDING)
    @rule(kind=st.sampled_from(sorted(CELLS)))
    def telegram_answers(self, kind: str) -> None:
        self.unknown += kind == "unknown"
        self.standing = settled(kind, self.standing, seconds=1.0, chat_id=NEW_CHAT).delivery

    @precondition(lambda self: self.standing.status is DeliveryStatus.SENDING)
    @rule()
    def its_sender_dies(self) -> None:
        self.unknown += 1
        self.standing = doubt(self.standing, "its sender died", NOW).delivery

    @precondition(lambda self: self.standing.status in RETRIABLE)
    @rule()
    def a_person_retries(self) -> None:
        self.unknown = 0
        self.standing = restart(self.standing, Recording(), None, NOW)

    @invariant()
    def what_has_ended_is_nobodys(self) -> None:
        if self.standing.status is not DeliveryStatus.SENDING:
            assert (self.standing.owner, self.standing.lease_until) == (None, None)

    @invariant()
    def doubts_are_the_unknown_tries_and_at_most_two(self) -> None:
        assert self.standing.doubts == self.unknown <= MAX_DOUBTS

    @invariant()
    def tries_are_bounded(self) -> None:
        assert 0 <= self.standing.attempts <= MAX_ATTEMPTS + 1  # one in doubt at the last is tried once more

    @invariant()
    def one_in_doubt_is_never_taken_for_new(self) -> None:
        if self.standing.doubts:
            assert self.standing.status is not DeliveryStatus.QUEUED


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=120, deadline=None)
