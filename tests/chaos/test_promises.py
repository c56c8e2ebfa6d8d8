"""Each promise about servers that are away and clocks that differ fails on what it forbids, and holds otherwise."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from room_server.core.delivery import Delivery
from room_server.core.messages import DeliveryStatus, MessageKind
from tests.chaos import promises
from tests.chaos.checker import Claim, Stored
from tests.chaos.importing import Forgotten
from tests.chaos.observer import Living, Readiness, Told
from tests.chaos.promises import Epochs, Sending
from tests.chaos.recorder import Acknowledged, Recorder
from tests.chaos.test_checker import line
from tests.crowds import Audience, Client, Line

AWAY = frozenset({"p1"})
NOBODY: frozenset[str] = frozenset()
IN_DOUBT = "a message is in doubt or parked only when its worker was hurt"
IN_VAIN = "an attempt is a request that was made"


def delivery(**more: Any) -> Delivery:
    """A message to chat 7 that was sent."""
    fields: dict[str, Any] = {"attempts": 1, "status": DeliveryStatus.SENT, **more}
    return Delivery(kind=MessageKind.FOLLOW_UP, lead_id=1, chat_id=7, attended=True, locale="ru", **fields)


def sending(*deliveries: Delivery, requests: int = 1, befell: int = 0) -> list[Claim]:
    """What is claimed when so many requests reached chat 7."""
    return promises.sending(Sending(deliveries, {7: requests}, befell))


def epochs(told: int, explained: int, returned: int = 0) -> list[Claim]:
    """What is claimed of one webinar."""
    return promises.epochs([Epochs("w", told, explained, returned)])


CASES: dict[str, tuple[Sequence[Claim], set[str]]] = {
    "all is ready, and named": ([promises.readiness([Readiness("web", 200, AWAY, AWAY)])], set()),
    "a process is not ready": (
        [promises.readiness([Readiness("web", 503, AWAY, AWAY)])],
        {"one primary away leaves every process ready, and is named"},
    ),
    "nobody says which partitions are away": (
        [promises.readiness([Readiness("web", 200, NOBODY, AWAY)])],
        {"one primary away leaves every process ready, and is named"},
    ),
    "every room is told": ([promises.told([Told("w", True)])], set()),
    "a room of another primary is deaf": (
        [promises.told([Told("w", False)])],
        {"one primary away deafens no room of another"},
    ),
    "all signs of life are there": ([promises.bereft([Living("web", NOBODY)])], set()),
    "a sign of life is away with a primary": (
        [promises.bereft([Living("web", frozenset({"worker"}))])],
        {"signs of life survive the loss of any one primary"},
    ),
    "a sign of life is late once": (
        [promises.at_rest([Living("web", frozenset({"worker"})), *[Living("web", NOBODY)] * 3], {"web": 60})],
        set(),
    ),
    "a sign of life is struck off again and again": (
        [promises.at_rest([Living("web", frozenset({"worker"})), Living("web", NOBODY)], {"web": 60})],
        {"nobody's clock strikes off a sign of life"},
    ),
    "a new epoch after a fail-over": (epochs(2, 2), set()),
    "an epoch of each process": (
        epochs(3, 2),
        {"a fail-over begins one epoch at most, whatever the number of processes"},
    ),
    "an older epoch came back": (epochs(2, 2, 1), {"no socket goes back to an older epoch"}),
    "a message is sent at once": (sending(delivery()), set()),
    "a worker died with a message in hand": (sending(delivery(doubts=1, attempts=2), befell=1), set()),
    "a message is in doubt, and nothing befell its worker": (sending(delivery(doubts=1)), {IN_DOUBT}),
    "a message is parked that was never tried": (
        sending(delivery(doubts=2, attempts=2, status=DeliveryStatus.PARKED), requests=0),
        {IN_DOUBT, IN_VAIN},
    ),
    "an attempt without a request": (sending(delivery(attempts=2)), {IN_VAIN}),
    "a second attempt where nothing is really sent": (
        promises.sending(Sending([delivery(attempts=2, status=DeliveryStatus.DRY_RUN)], None, 0)),
        {IN_VAIN},
    ),
    "all is told": ([promises.ended([], 1)], set()),
    "something is never told": (
        [promises.ended(["w"], 1)],
        {"everything comes to its end, whatever the clocks say"},
    ),
    "a lead stays forgotten": ([promises.forgotten([Forgotten("w", 1, False)])], set()),
    "a lead is back": (
        [promises.forgotten([Forgotten("w", 1, True)])],
        {"who is forgotten beside an import stays forgotten"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_promise_fails_on_what_it_forbids(case: str) -> None:
    claims, expected = CASES[case]

    assert {claim.what for claim in claims if claim.wrong} == expected


def repeat(name: str, stored: Stored, **answer: Any) -> bool:
    """Whether the repeat of this hook may have been acknowledged."""
    recorder = Recorder([1])
    told = {"duplicate": True, **answer}
    recorder.acknowledged.append(Acknowledged("t1", name, {"webinar_id": "w"}, told))
    return not promises.repeats(recorder, stored).wrong


def stored(change: Callable[[Stored], Any] = lambda _: None) -> Stored:
    """A webinar of one lead, whose records are there; no events unless `change` adds them."""
    made = Stored()
    made.lines["w"] = {1: line(1, True)}
    change(made)
    return made


@pytest.mark.parametrize(
    ("hook", "answer", "event"),
    [
        ("core_webinar_set_status", {"version": 2}, lambda made: made.tags.update([("core_webinar_set_status", "t1")])),
        (
            "client_webinar_entered",
            {"lead_id": 1},
            lambda made: made.facts.update([("client_webinar_entered", "w", 1)]),
        ),
    ],
    ids=["start", "entering"],
)
def test_a_repeat_of_what_is_gone_is_found(hook: str, answer: dict[str, Any], event: Callable[[Stored], Any]) -> None:
    assert repeat(hook, stored(event), **answer)
    assert not repeat(hook, stored(), **answer)


def test_a_completion_after_the_evaluation_needs_no_event() -> None:
    nobody = stored()
    nobody.lines["w"] = {1: line(1, False)}

    assert repeat("client_webinar_completed", stored(), lead_id=1, attended=True)
    assert not repeat("client_webinar_completed", nobody, lead_id=1, attended=False)


def test_a_socket_that_goes_back_is_counted() -> None:
    """The second epoch is lawful; the first one's return is not, nor is a lower version of the same."""
    audience = Audience("/", "", [1])
    (client,) = audience.clients = [Client(audience)]
    socket = Line(client, b"")
    for epoch, version in ((b"a", 1), (b"a", 2), (b"b", 1)):
        client.told(socket, epoch, version)
    lawful = audience.returned, audience.backwards
    client.told(socket, b"a", 3)
    client.told(socket, b"a", 3)

    assert (lawful, audience.returned, audience.backwards) == ((0, 0), 1, 1)
    assert audience.epochs == {b"a", b"b"}
