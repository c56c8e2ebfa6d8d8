"""Who listens to what: the mission's module map, and that what it starts comes to an end."""

from graphlib import TopologicalSorter
from typing import Any

import pytest
from msgspec.structs import replace

from room_server.core import attendance, follow_ups, routing
from room_server.core.decision_types import Change, DecisionContext
from room_server.core.listeners import LISTENERS, run_listeners
from room_server.core.messages import (
    NAMES,
    AttendanceClassified,
    Event,
    Message,
    MessageKind,
    PostWebinarRoute,
    Route,
    WebinarCompleted,
)
from room_server.core.room import Participation, Visibility
from tests.core.builders import (
    LEAD,
    NOW,
    WEBINAR,
    at,
    classified,
    click,
    complete,
    context,
    cta,
    decided,
    enter,
    entered,
    evaluate,
    facts,
    room,
    routed,
    start,
)

TRACKER = "Client Webinar Tracker v2"
EMITTER = "Client Webinar Event Emitter"
SERVICE = "Client Webinar Attendance Service"
TELEGRAM = "Client Webinar Attendance Telegram"
ROUTING = "Post Webinar Routing Service"
FOLLOW_UP = "Post Webinar Follow-up Telegram"
RECORDING = "Post Webinar Recording Follow-up Telegram"
ARRIVAL = "Arrival Telegram"
"""Not the mission's: the partner is told that its lead has come."""

MISSION: dict[str, set[str]] = {
    "core_webinar_set_status": set(),
    "core_webinar_set_cta_visibility": set(),
    "client_webinar_entered": {TRACKER, SERVICE, ARRIVAL},
    "client_webinar_completed": {TRACKER, EMITTER, SERVICE},
    "client_webinar_cta_clicked": {TRACKER},
    "webinar_completed": {EMITTER, SERVICE},
    "client_webinar_attendance_classified": {SERVICE, TELEGRAM, ROUTING},
    "post_webinar_route": {ROUTING, FOLLOW_UP, RECORDING},
}
"""The mission's table of entry points: the modules that each hook touches, the one that emits it among them.

Core, Control Integration and the room's page are not listeners: they are `decide`, the hook intake and the pages.
"""

INDIRECT: dict[str, set[str]] = {
    "client_webinar_entered": {SERVICE},  # reads the entry that the tracker keeps, when it classifies
    "client_webinar_completed": {SERVICE},  # hears of it by `webinar_completed`
}

EMITTERS: dict[str, str] = {
    "webinar_completed": EMITTER,
    "client_webinar_attendance_classified": SERVICE,
    "post_webinar_route": ROUTING,
}

MODULES = {
    attendance.track_entered: TRACKER,
    attendance.track_completed: TRACKER,
    attendance.track_cta_clicked: TRACKER,
    attendance.emit_completed: EMITTER,
    attendance.classify_completed: SERVICE,
    follow_ups.notify_partner: TELEGRAM,
    routing.route: ROUTING,
    follow_ups.follow_up: FOLLOW_UP,
    follow_ups.recording_follow_up: RECORDING,
    follow_ups.tell_arrival: ARRIVAL,
}

DONE = WebinarCompleted(webinar_id=WEBINAR, lead_id=LEAD, completed_at=at(0), session_id="s-1")

SAMPLES: tuple[Event, ...] = (
    start(),
    cta(),
    enter(),
    complete(),
    click(),
    DONE,
    classified(True),
    classified(False),
    routed("attended"),
    routed("not_attended"),
)


def names(events: tuple[Event, ...]) -> list[str]:
    return [NAMES[type(event)] for event in events]


def emitted_by(event: Event) -> dict[str, set[str]]:
    """Module -> the hooks that it emits when it hears `event`."""
    return {MODULES[listen]: set(names(listen(event, context()).emit)) for listen in LISTENERS[type(event)]}


def settled(event: Event, **fields: Any) -> tuple[DecisionContext, Change]:
    before = context(**fields)
    return before, run_listeners((event,), before)


def test_every_hook_has_its_line_in_the_map() -> None:
    assert sorted(MISSION) == sorted(NAMES[kind] for kind in LISTENERS)
    assert LISTENERS.keys() == NAMES.keys()


@pytest.mark.parametrize("event", SAMPLES)
def test_the_listeners_are_the_modules_of_the_mission(event: Event) -> None:
    hook = NAMES[type(event)]

    expected = MISSION[hook] - {EMITTERS.get(hook)} - INDIRECT.get(hook, set())
    assert expected == {MODULES[listen] for listen in LISTENERS[type(event)]}


@pytest.mark.parametrize("event", SAMPLES)
def test_a_hook_is_emitted_by_the_module_that_the_canon_names(event: Event) -> None:
    for module, hooks in emitted_by(event).items():
        assert hooks == {hook for hook in hooks if EMITTERS.get(hook) == module}


def test_every_emitted_hook_is_emitted_by_someone() -> None:
    emitted = {hook for event in SAMPLES for hooks in emitted_by(event).values() for hook in hooks}

    assert emitted == EMITTERS.keys()


def test_the_map_has_no_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for event in SAMPLES:
        graph.setdefault(NAMES[type(event)], set()).update(*emitted_by(event).values())

    order = list(TopologicalSorter(graph).static_order())
    assert sorted(MISSION) == sorted(order)


@pytest.mark.parametrize("event", [start(), cta()])
def test_the_rooms_own_hooks_are_emitted_and_change_no_lead(event: Event) -> None:
    before, change = settled(event, status="live")

    assert Change(room=before.room, participation=before.participation, events=(event,)) == change


def test_no_events_change_nothing() -> None:
    before = context()

    change = run_listeners((), before)
    assert change.room is before.room
    assert change.participation is before.participation
    assert Change(room=before.room, participation=before.participation) == change


def test_a_listener_gets_the_participation_of_the_one_before() -> None:
    """The tracker, the attendance service and the routing service each write their own fields of one record."""
    _, change = settled(complete())

    expected = replace(entered(), completed_at=NOW, attended=True, classified_at=NOW, route="attended")
    assert expected == change.participation


def test_events_are_in_the_order_in_which_they_were_emitted() -> None:
    _, change = settled(complete())

    expected = [
        "client_webinar_completed",
        "webinar_completed",
        "client_webinar_attendance_classified",
        "post_webinar_route",
    ]
    assert expected == names(change.events)


def test_several_events_are_settled_first_come_first_served() -> None:
    change = run_listeners((classified(False), enter()), context("live"))

    expected = ["client_webinar_attendance_classified", "client_webinar_entered", "post_webinar_route"]
    assert expected == names(change.events)


def test_messages_are_in_the_order_of_the_events() -> None:
    _, change = settled(classified(False))

    expected = [MessageKind.ATTENDANCE, MessageKind.FOLLOW_UP, MessageKind.RECORDING]
    assert expected == [message.kind for message in change.messages]


def test_no_listener_touches_the_room() -> None:
    for event in SAMPLES:
        before, change = settled(event, room=room("finished", cta_visibility=Visibility.VISIBLE))
        assert change.room is before.room


def chain(was_there: bool, way: Route) -> tuple[AttendanceClassified, PostWebinarRoute]:
    return (
        AttendanceClassified(lead_id=LEAD, webinar_id=WEBINAR, attended=was_there, timestamp=NOW),
        PostWebinarRoute(lead_id=LEAD, webinar_id=WEBINAR, attended=was_there, timestamp=NOW, route=way),
    )


def sent(messages: tuple[Message, ...]) -> list[tuple[str, int | None, str, bool]]:
    return [(one.kind.value, one.chat_id, one.status.value, one.attended) for one in messages]


@pytest.mark.parametrize("role", ["attendee", "system"])
def test_a_completion_leads_to_attended_its_route_and_its_messages(role: str) -> None:
    change = decided(complete(), facts("finished", participation=entered()), role)

    kept = entered(completed_at=NOW, attended=True, classified_at=NOW, route="attended")
    messages = [("attendance", 8002, "queued", True), ("follow_up", 7001, "queued", True)]
    first, done, *rest = change.events
    assert (room("finished"), kept, messages) == (change.room, change.participation, sent(change.messages))
    assert (complete(session_id="s-1"), [*chain(True, "attended")]) == (first, rest)
    assert isinstance(done, WebinarCompleted)
    expected = (WEBINAR, LEAD, "s-1", "live")
    assert expected == (done.webinar_id, done.lead_id, done.session_id, done.webinar_type)


@pytest.mark.parametrize("status", ["finished", "archived"])
@pytest.mark.parametrize("known", [entered(), None])
def test_an_evaluation_leads_to_not_attended_its_route_and_its_messages(
    status: str, known: Participation | None
) -> None:
    change = decided(evaluate(), facts(status, participation=known))

    judged = {"attended": False, "classified_at": NOW, "route": "not_attended"}
    kept = replace(known or Participation(lead_id=LEAD), **judged)
    expected = [
        ("attendance", 8002, "queued", False),
        ("follow_up", 7001, "queued", False),
        ("recording", 7001, "held", False),
    ]
    assert (room(status), kept) == (change.room, change.participation)
    assert chain(False, "not_attended") == change.events
    assert expected == sent(change.messages)


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ({"recording_url": "https://example.org/r"}, ("recording", 7001, "queued", False)),
        ({"no_recording": True}, ("recording", 7001, "undeliverable", False)),
    ],
)
def test_the_recording_is_what_the_operator_has_set(fields: dict[str, Any], fate: tuple[str, int, str, bool]) -> None:
    change = decided(evaluate(), facts(room=room("finished", **fields)))

    assert fate == sent(change.messages)[-1]


def test_a_lead_without_chats_is_classified_and_its_messages_end_at_once() -> None:
    change = decided(evaluate(), facts("finished", participation=entered(), entry=None))

    expected = [(kind, None, "no_chat", False) for kind in ("attendance", "follow_up", "recording")]
    assert expected == sent(change.messages)
