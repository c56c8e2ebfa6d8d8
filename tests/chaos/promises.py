"""What must be true although a primary or a replica is away and clocks differ, checked against what was seen."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from room_server.core.delivery import Delivery
from room_server.core.messages import DeliveryStatus
from room_server.telegram.sender import IN_FLIGHT
from tests.chaos.checker import Claim, Stored
from tests.chaos.importing import Forgotten
from tests.chaos.observer import Living, Readiness, Told
from tests.chaos.recorder import Acknowledged, Recorder

RARELY = 0.25
"""The share of looks at which a process may be missing, on a machine that is too busy for a second at times."""


class Epochs(NamedTuple):
    """How many epochs of a webinar its readers were told, how many its fail-overs explain, and how many came back."""

    webinar_id: str
    told: int
    explained: int
    returned: int


class Sending(NamedTuple):
    """The messages as they ended; how many requests there were for each chat (None: nothing is really sent)."""

    deliveries: Sequence[Delivery]
    requests: Mapping[int, int] | None
    befell: int
    """Faults of workers, each of which may leave IN_FLIGHT messages in doubt."""


def repeats(recorder: Recorder, stored: Stored) -> Claim:
    """A repeat says that the first one took effect, so that one stands in the events."""
    found = [one for one in recorder.acknowledged if one.answer["duplicate"]]
    wrong = [f"{one.tag} of {one.webinar_id}" for one in found if not _took_effect(one, stored)]
    return Claim("no repeat was acknowledged for what is not there", f"{len(found):,} repeats", wrong)


def _took_effect(one: Acknowledged, stored: Stored) -> bool:
    """Speakers repeat no act but after an answer that was lost; leads enter again as they load their pages.

    A completion that comes after the evaluation is answered as a repeat, kept in the lead's record, and is no event.
    """
    if "version" in one.answer:
        return stored.tags[one.name, one.tag] == 1
    lead = one.answer["lead_id"]
    line = stored.lines[one.webinar_id].get(lead)
    late = "attended" in one.answer and line is not None and line.completed_at is not None
    return late or stored.facts[one.name, one.webinar_id, lead] > 0


def epochs(seen: Sequence[Epochs]) -> list[Claim]:
    """An epoch ends once, for all: when a fail-over has lost changes."""
    back = [f"{one.webinar_id}: {one.returned} states of an older epoch" for one in seen if one.returned]
    many = [f"{one.webinar_id}: {one.told}, {one.explained} explained" for one in seen if one.told > one.explained]
    told = f"{sum(one.told for one in seen):,} epochs of {len(seen):,} webinars"
    return [
        Claim("no socket goes back to an older epoch", told, back),
        Claim("a fail-over begins one epoch at most, whatever the number of processes", told, many),
    ]


def sending(sent: Sending) -> list[Claim]:
    """A message is in doubt, or was tried in vain, only because of what befell its worker."""
    explained = IN_FLIGHT * sent.befell
    doubts = sum(delivery.doubts for delivery in sent.deliveries)
    parked = [
        f"{one.kind} of {one.lead_id}: {one.error}" for one in sent.deliveries if one.status is DeliveryStatus.PARKED
    ]
    vain = _in_vain(sent)
    told = f"{len(sent.deliveries):,} messages, {sent.befell} faults of workers"
    wrong = [f"{doubts} doubts, {explained} explained", *parked] * (doubts > explained)
    return [
        Claim("a message is in doubt or parked only when its worker was hurt", told, wrong),
        Claim(
            "an attempt is a request that was made",
            told,
            [f"{vain} attempts without one, {explained} explained"] * (vain > explained),
        ),
    ]


def _in_vain(sent: Sending) -> int:
    """Attempts that are recorded and were none: no request reached the chat, or it was not the rehearsal's only one."""
    if sent.requests is None:
        return sum(max(0, delivery.attempts - 1) for delivery in sent.deliveries)
    attempts: Counter[int] = Counter()
    for delivery in sent.deliveries:
        if delivery.chat_id is not None:
            attempts[delivery.chat_id] += delivery.attempts
    return sum(max(0, number - sent.requests.get(chat, 0)) for chat, number in attempts.items())


def readiness(seen: Sequence[Readiness]) -> Claim:
    """All other partitions are served, so callers may be sent there; and it is said which ones are away."""
    wrong = [
        f"{one.process}: {one.status} and {sorted(one.named)}, but {sorted(one.gone)} are away"
        for one in seen
        if (one.status, one.named) != (200, one.gone)
    ]
    return Claim("one primary away leaves every process ready, and is named", f"{len(seen)} answers", wrong)


def told(seen: Sequence[Told]) -> Claim:
    """A room on another primary is told as ever."""
    wrong = [f"{one.webinar_id}: not all of its readers" for one in seen if not one.told]
    return Claim("one primary away deafens no room of another", f"{len(seen)} changes", wrong)


def bereft(seen: Sequence[Living]) -> Claim:
    """The signs of life do not stand and fall with one primary."""
    wrong = [f"{one.process} misses {', '.join(sorted(one.missing))}" for one in seen if one.missing]
    return Claim("signs of life survive the loss of any one primary", f"{len(seen)} looks", wrong)


def at_rest(seen: Sequence[Living], clocks: Mapping[str, int]) -> Claim:
    """Nobody is struck off by another one's clock."""
    missed = Counter(name for one in seen for name in one.missing)
    wrong = [f"{name} was missing in {n} of {len(seen)} looks" for name, n in missed.items() if n > RARELY * len(seen)]
    apart = ", ".join(f"{name} {ahead:+d} s" for name, ahead in clocks.items())
    return Claim("nobody's clock strikes off a sign of life", f"{len(seen)} looks, {apart}", wrong)


def ended(unsettled: Iterable[str], count: int) -> Claim:
    """Evaluations and messages come to their end, whatever clocks say that they stand still by."""
    return Claim("everything comes to its end, whatever the clocks say", f"{count} webinars", list(unsettled))


def forgotten(seen: Sequence[Forgotten]) -> Claim:
    """An import that was under way does not bring back who was forgotten meanwhile."""
    wrong = [f"lead {one.lead} is on the roster of {one.webinar_id}" for one in seen if one.is_back]
    return Claim("who is forgotten beside an import stays forgotten", f"{len(seen)} imports", wrong)
