"""Plans, cancellations and moves of webinars: one commit each, and answers that are true of what is stored."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from room_server.core.decision_types import OperatorAction
from room_server.core.planning import PlanWebinar
from room_server.core.room import RosterEntry, Status
from room_server.core.site_hooks import ArchiveWebinar, CancelWebinar, PauseWebinar, ResumeWebinar
from room_server.errors import BadInput, Conflict, Unknown
from room_server.operations import webinars
from room_server.operations.webinars import Planned
from room_server.state import roster
from room_server.state.store import Store
from tests.support import AT, OPERATOR, room, transactions

ROUNDS = 10


def new(**fields: Any) -> PlanWebinar:
    """The plan of a webinar that may be new."""
    return PlanWebinar(webinar_id="w", **{"title": "T", "scheduled_at": AT, **fields})


async def plan(store: Store, hook: PlanWebinar) -> Planned:
    return await webinars.plan(transactions(store), OPERATOR, hook)


async def test_a_plan_makes_a_webinar_and_then_changes_it(any_store: Store) -> None:
    assert await plan(any_store, new()) == Planned("w", False, True, Status.SCHEDULED, 1)
    assert await plan(any_store, new()) == Planned("w", True, False, Status.SCHEDULED, 1)
    assert await plan(any_store, PlanWebinar(webinar_id="w", title="U")) == Planned(
        "w", False, False, Status.SCHEDULED, 2
    )


async def test_a_publication_with_another_change_is_one_commit(any_store: Store) -> None:
    await plan(any_store, new(draft=True))

    assert await plan(any_store, new(title="U", draft=False)) == Planned("w", False, False, Status.SCHEDULED, 2)


async def test_of_two_plans_at_once_each_answer_is_true_of_what_was_stored(any_store: Store) -> None:
    for number in range(ROUNDS):
        name = f"w-{number}"
        hooks = [PlanWebinar(webinar_id=name, title=title, scheduled_at=AT) for title in ("A", "B", "A")]
        answers = await asyncio.gather(*(plan(any_store, hook) for hook in hooks))
        stored = (await any_store.load(name)).room

        assert stored is not None
        assert sum(answer.created for answer in answers) == 1
        assert max(answer.version for answer in answers) == stored.version
        fresh = [answer.version for answer in answers if not answer.duplicate]
        assert sorted(fresh) == list(range(1, stored.version + 1))
        last = {answer.version: hook.title for answer, hook in zip(answers, hooks, strict=True)}
        assert last[stored.version] == stored.title


async def test_what_must_be_new_is_not_there_and_what_must_be_there_is(any_store: Store) -> None:
    with pytest.raises(Unknown):
        await webinars.amend(transactions(any_store), OPERATOR, new())
    await webinars.create(transactions(any_store), OPERATOR, new())
    with pytest.raises(Conflict) as refusal:
        await webinars.create(transactions(any_store), OPERATOR, new())

    assert refusal.value.code == "webinar_exists"
    assert (await webinars.amend(transactions(any_store), OPERATOR, new(title="U"))).version == 2


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("texts", {"texts": {"de": {}}}),
        ("texts", {"texts": {"ru": {"recording": "<b>"}}}),
        ("player_url", {"player_url": "https://www.youtube.com/watch?v=x"}),
        ("frame_origins[0]", {"frame_origins": ("https://a.example/x",)}),
    ],
)
async def test_what_the_types_cannot_see_is_refused_by_name(
    any_store: Store, field: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(BadInput) as refusal:
        await plan(any_store, new(**fields))

    assert (refusal.value.code, refusal.value.field) == ("invalid_payload", field)
    assert (await any_store.load("w")).room is None


async def test_a_webinar_is_paused_resumed_and_archived_once_its_leads_are_evaluated(any_store: Store) -> None:
    by = (transactions(any_store), OPERATOR)
    await by[0].create(room(status=Status.LIVE, started_at=AT, on_air_since=AT))
    await roster.import_roster(any_store, "w", [RosterEntry(lead_id=1)], replace=False)

    paused = [await webinars.pause(*by, PauseWebinar(webinar_id="w")) for _ in range(2)]
    resumed = await webinars.resume(*by, ResumeWebinar(webinar_id="w"))
    await webinars.move(*by, OperatorAction("w", "stop"))
    archived = [await webinars.archive(*by, ArchiveWebinar(webinar_id="w")) for _ in range(2)]

    assert [(one.status, one.duplicate, one.version) for one in [*paused, resumed, *archived]] == [
        (Status.PAUSED, False, 2),
        (Status.PAUSED, True, 2),
        (Status.LIVE, False, 3),
        (Status.ARCHIVED, False, 5),
        (Status.ARCHIVED, True, 5),
    ]
    assert await any_store.call("HGET", any_store.keys.tally("w"), "classified") == b"1"


async def test_a_cancelled_webinar_is_so_since_the_first_time_until_it_has_a_new_one(any_store: Store) -> None:
    by = (transactions(any_store), OPERATOR)
    await plan(any_store, new())
    first, again = [await webinars.cancel(*by, CancelWebinar(webinar_id="w")) for _ in range(2)]
    await plan(any_store, new(scheduled_at=AT + timedelta(hours=1)))
    stored = (await any_store.load("w")).room

    assert first.cancelled_at is not None
    assert (first.duplicate, again.duplicate, again.cancelled_at) == (False, True, first.cancelled_at)
    assert stored is not None
    assert (stored.cancelled_at, stored.version) == (None, 3)
