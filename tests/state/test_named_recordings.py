"""The recording of an archived webinar, named later: it moves the messages, and nothing else."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from room_server.clock import utc_now
from room_server.core.decision_types import Facts
from room_server.core.delivery import claim
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.planning import Plan
from room_server.core.room import Recording, RosterEntry
from room_server.errors import Conflict
from room_server.jobs.evaluation import Evaluations
from room_server.state import roster
from room_server.state.evaluation_schedule import EvaluationSchedule
from room_server.state.outbox import FollowOn, Outbox, StoredDelivery
from room_server.state.redis.pipeline import pairs
from room_server.state.startup import State
from room_server.state.store import Store
from tests.core.builders import WEBINAR, act, stop
from tests.state.acts import done, everything, prepare
from tests.support import amend, eventually, transactions

URL = "https://example.org/recording"
NAMED, NONE = Plan(recording_url=URL), Plan(recording_url=None)


async def register(store: Store, *numbers: int) -> None:
    people = [RosterEntry(lead_id=number, candidate_chat_id=100 + number) for number in numbers]
    await roster.import_roster(store, WEBINAR, people, replace=False)


async def archived(store: Store, *numbers: int, **plan: Any) -> None:
    """An archived webinar that none of these leads attended, evaluated."""
    await prepare(store, "live")
    await register(store, *numbers)
    await done(store, stop())
    if plan:
        await amend(store, WEBINAR, Plan(**plan))
    await evaluated(store)
    await done(store, act("archive"))


async def evaluated(store: Store) -> None:
    """Evaluate the webinar as the worker does when it is due."""
    await Evaluations(transactions(store)).run_pending(WEBINAR)


async def recordings(store: Store) -> dict[int, StoredDelivery]:
    """The messages that link the recording, by lead."""
    found = [held async for held in Outbox(store).deliveries(WEBINAR)]
    return {held.delivery.lead_id: held for held in found if held.delivery.kind is MessageKind.RECORDING}


async def fates(store: Store) -> Counter[str]:
    return Counter(held.delivery.status.value for held in (await recordings(store)).values())


async def woken(store: Store) -> int:
    """How often senders were woken."""
    return int(await store.call("XLEN", store.keys.outbox(store.keys.tag(WEBINAR))))


async def room_of(store: Store) -> dict[bytes, Any]:
    """The room as it is stored, but for the recording that its messages rest on."""
    stored = dict(pairs(await store.call("HGETALL", store.keys.room(WEBINAR))))
    stored.pop(b"recording", None)
    return stored


async def test_a_recording_that_is_named_later_releases_held_messages_once(any_store: Store) -> None:
    await archived(any_store, *range(1, 101))
    before = await fates(any_store), await woken(any_store)

    for _ in range(2):
        await amend(any_store, WEBINAR, NAMED)
        await evaluated(any_store)

    assert before == (Counter(held=100), 100)  # the follow-ups
    assert (await fates(any_store), await woken(any_store)) == (Counter(queued=100), 200)


async def test_held_messages_end_when_there_will_be_no_recording(any_store: Store) -> None:
    await archived(any_store, 1, 2)

    await amend(any_store, WEBINAR, NONE)
    await evaluated(any_store)

    assert {(held.delivery.status, held.delivery.error) for held in (await recordings(any_store)).values()} == {
        (DeliveryStatus.UNDELIVERABLE, "no_recording")
    }


@pytest.mark.parametrize("plan", [NAMED, NONE])
async def test_the_room_stays_as_it_is(any_store: Store, plan: Plan) -> None:
    await archived(any_store, 1)
    before = await room_of(any_store)

    told = await amend(any_store, WEBINAR, plan)

    assert await room_of(any_store) == before
    assert told == (await any_store.load(WEBINAR)).room


async def test_together_with_any_other_edit_it_is_refused(any_state: State) -> None:
    await archived(any_state.store, 1)
    before = await everything(any_state)

    with pytest.raises(Conflict) as refusal:
        await amend(any_state.store, WEBINAR, Plan(title="Another", recording_url=URL))

    assert refusal.value.code == "webinar_state_locked"
    assert await everything(any_state) == before


async def test_the_same_recording_again_writes_nothing(any_state: State) -> None:
    await archived(any_state.store, 1, recording_url=URL)
    before = await everything(any_state)

    await amend(any_state.store, WEBINAR, NAMED)

    assert await everything(any_state) == before


async def test_of_two_recordings_at_once_one_is_stored_and_each_message_is_released_once(any_store: Store) -> None:
    await archived(any_store, *range(1, 41))
    urls = [f"{URL}/{number}" for number in range(4)]

    await asyncio.gather(*(amend(any_store, WEBINAR, Plan(recording_url=url)) for url in urls))
    await asyncio.gather(evaluated(any_store), evaluated(any_store))

    named = (await any_store.load(WEBINAR)).recording
    assert named.url in urls
    assert (await fates(any_store), await woken(any_store)) == (Counter(queued=40), 80)


async def test_a_release_that_was_killed_goes_on_where_it_was(any_store: Store) -> None:
    await archived(any_store, *range(1, 1001))
    await amend(any_store, WEBINAR, NAMED)

    async def begun() -> bool:
        return (await fates(any_store))["queued"] > 0

    task = asyncio.create_task(evaluated(any_store))
    await eventually(begun, "some are released")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    left = (await fates(any_store))["held"]
    await evaluated(any_store)

    assert left > 0
    assert await fates(any_store) == Counter(queued=1000)
    assert await EvaluationSchedule(any_store).pending(WEBINAR) is None


@pytest.mark.parametrize(("said", "plan", "fate"), [({}, NAMED, "queued"), ({"recording_url": None}, NAMED, "queued"),
                                                    ({"recording_url": URL}, NONE, "undeliverable")])  # fmt: skip
async def test_messages_for_a_later_roster_use_the_last_recording(
    any_store: Store, said: dict[str, Any], plan: Plan, fate: str
) -> None:
    await archived(any_store, 1, **said)
    await amend(any_store, WEBINAR, plan)
    await evaluated(any_store)

    await register(any_store, 2)
    await evaluated(any_store)

    assert (await recordings(any_store))[2].delivery.status == fate


async def test_without_the_recording_a_queued_message_ends_and_one_being_sent_does_not(any_store: Store) -> None:
    await archived(any_store, 1, 2, recording_url=URL)
    on_the_line = (await recordings(any_store))[2]
    wanted = claim(on_the_line.delivery, "sender", utc_now())
    assert await Outbox(any_store).update(WEBINAR, on_the_line, wanted, FollowOn())

    await amend(any_store, WEBINAR, NONE)
    await evaluated(any_store)

    known = await recordings(any_store)
    assert (known[1].delivery.status, known[2].delivery.status) == (
        DeliveryStatus.UNDELIVERABLE,
        DeliveryStatus.SENDING,
    )


async def test_the_facts_have_it_and_a_new_webinar_with_the_same_id_does_not(any_store: Store) -> None:
    await archived(any_store, 1)
    await amend(any_store, WEBINAR, NAMED)
    known = await any_store.load(WEBINAR)
    await any_store.delete(WEBINAR)
    await prepare(any_store, "archived")

    assert known.named_recording == known.recording == Recording(url=URL)
    assert await any_store.load(WEBINAR) == Facts(room=(await any_store.load(WEBINAR)).room)
