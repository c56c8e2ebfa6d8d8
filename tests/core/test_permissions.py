"""Every cell of docs/domain.md, "Roles": who may send, read and see what."""

import msgspec
import pytest

from room_server.core.messages import ClientHook, CoreHook
from room_server.core.permissions import Reading, check_read, check_scope, check_send, check_visible
from room_server.core.room import Status
from room_server.core.site_hooks import SITE_HOOKS, SiteHook
from room_server.errors import Forbidden, Unknown
from tests.core.builders import (
    LEAD,
    OTHER_LEAD,
    ROLES,
    STATUSES,
    WEBINAR,
    actor,
    click,
    code_of,
    complete,
    cta,
    enter,
    start,
    stop,
)

YES, NO = "ok", "forbidden_role"

INBOUND: dict[str, CoreHook | ClientHook] = {
    "start": start(),
    "stop": stop(),
    "show": cta(True),
    "hide": cta(False),
    "enter": enter(),
    "complete": complete(),
    "click": click(),
}

SEND: dict[str, dict[str, str]] = {
    "organizer": {"start": YES, "stop": YES, "show": YES, "hide": YES, "enter": NO, "complete": NO, "click": NO},
    "speaker": {"start": YES, "stop": YES, "show": YES, "hide": YES, "enter": NO, "complete": NO, "click": NO},
    "moderator": {"start": NO, "stop": NO, "show": NO, "hide": NO, "enter": NO, "complete": NO, "click": NO},
    "attendee": {"start": NO, "stop": NO, "show": NO, "hide": NO, "enter": YES, "complete": YES, "click": YES},
    "guest": {"start": NO, "stop": NO, "show": NO, "hide": NO, "enter": NO, "complete": NO, "click": NO},
    "system": {"start": NO, "stop": NO, "show": NO, "hide": NO, "enter": YES, "complete": YES, "click": YES},
    "monitor": {"start": NO, "stop": NO, "show": NO, "hide": NO, "enter": NO, "complete": NO, "click": NO},
}

READ: dict[str, dict[str, str]] = {
    "organizer": {"room": YES, "standing": NO, "counts": YES, "attendance": YES},
    "speaker": {"room": YES, "standing": NO, "counts": YES, "attendance": NO},
    "moderator": {"room": YES, "standing": NO, "counts": NO, "attendance": NO},
    "attendee": {"room": YES, "standing": YES, "counts": NO, "attendance": NO},
    "guest": {"room": NO, "standing": NO, "counts": NO, "attendance": NO},
    "system": {"room": YES, "standing": NO, "counts": YES, "attendance": YES},
    "monitor": {"room": NO, "standing": NO, "counts": YES, "attendance": NO},
}


SAMPLE = {"webinar_id": WEBINAR, "leads": [{"lead_id": LEAD}], "lead_ids": [LEAD], "lead_id": LEAD, "nonce": "n"}


def sample(kind: type[SiteHook]) -> SiteHook:
    """A hook of this type about the webinar, or about none."""
    return msgspec.convert(SAMPLE, kind)


SENDS = [(role, hook, code) for role, row in SEND.items() for hook, code in row.items()]
READS = [(role, Reading(what), code) for role, row in READ.items() for what, code in row.items()]


@pytest.mark.parametrize(("role", "reading", "code"), READS)
def test_a_token_for_reading_reads_what_its_role_may(role: str, reading: Reading, code: str) -> None:
    assert code == code_of(lambda: check_read(actor(role, read_only=True), reading, WEBINAR))


@pytest.mark.parametrize("role", ROLES)
def test_a_token_for_reading_sends_nothing(role: str) -> None:
    reader = actor(role, read_only=True, webinar_id="*")
    hooks = [*INBOUND.values(), *map(sample, SITE_HOOKS.values())]

    assert {NO} == {code_of(lambda hook=hook: check_send(reader, hook)) for hook in hooks}  # type: ignore[misc]


@pytest.mark.parametrize("table", [SEND, READ])
def test_the_tables_name_every_role(table: dict[str, dict[str, str]]) -> None:
    named = tuple(table)

    assert named == ROLES


@pytest.mark.parametrize(("role", "hook", "code"), SENDS)
def test_a_role_may_send_what_the_canon_lets_it(role: str, hook: str, code: str) -> None:
    assert code == code_of(lambda: check_send(actor(role), INBOUND[hook]))


@pytest.mark.parametrize("kind", SITE_HOOKS.values())
@pytest.mark.parametrize("role", ROLES)
def test_the_sites_own_hooks_are_the_systems_only(role: str, kind: type[SiteHook]) -> None:
    assert (YES if role == "system" else NO) == code_of(lambda: check_send(actor(role, webinar_id="*"), sample(kind)))


@pytest.mark.parametrize("kind", SITE_HOOKS.values())
def test_a_hook_that_is_about_no_webinar_needs_a_token_for_all(kind: type[SiteHook]) -> None:
    expected = YES if "webinar_id" in kind.__struct_fields__ else "forbidden_webinar"

    assert expected == code_of(lambda: check_send(actor("system"), sample(kind)))


@pytest.mark.parametrize(("role", "reading", "code"), READS)
@pytest.mark.parametrize("webinar_id", [WEBINAR, None])
def test_a_role_may_read_what_the_canon_lets_it(role: str, reading: Reading, code: str, webinar_id: str | None) -> None:
    assert code == code_of(lambda: check_read(actor(role), reading, webinar_id))


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("role", ["organizer", "speaker", "moderator", "attendee", "system"])
def test_a_room_is_visible_in_every_status_but_a_draft_to_an_attendee(role: str, status: str) -> None:
    expected = "webinar_unknown" if (role, status) == ("attendee", "draft") else YES
    assert expected == code_of(lambda: check_visible(actor(role), WEBINAR, Status(status)))


@pytest.mark.parametrize("role", ROLES)
def test_a_room_that_is_not_there_is_unknown_to_all(role: str) -> None:
    with pytest.raises(Unknown) as refusal:
        check_visible(actor(role), WEBINAR, None)

    expected = (404, "webinar_unknown")
    assert expected == (refusal.value.status, refusal.value.code)


def test_an_attendee_cannot_tell_a_draft_from_nothing() -> None:
    answers = []
    for status in (Status.DRAFT, None):
        with pytest.raises(Unknown) as refusal:
            check_visible(actor("attendee"), WEBINAR, status)
        answers.append((refusal.value.code, refusal.value.detail))

    draft, nothing = answers
    assert ("webinar_unknown", f"there is no webinar {WEBINAR}") == nothing == draft


@pytest.mark.parametrize(("lead_id", "code"), [(LEAD, YES), (OTHER_LEAD, "forbidden_lead")])
@pytest.mark.parametrize("hook", ["enter", "complete", "click"])
def test_an_attendee_speaks_for_itself_only(lead_id: int, code: str, hook: str) -> None:
    assert code == code_of(lambda: check_send(actor("attendee", lead_id=lead_id), INBOUND[hook]))


@pytest.mark.parametrize("hook", [enter(LEAD), enter(OTHER_LEAD), complete(LEAD), complete(OTHER_LEAD)])
def test_the_system_speaks_for_any_lead(hook: ClientHook) -> None:
    check_send(actor("system"), hook)


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        (WEBINAR, YES),
        ("*", YES),
        ("other", "forbidden_webinar"),
        ("dem", "forbidden_webinar"),
        ("", "forbidden_webinar"),
    ],
)
@pytest.mark.parametrize(
    ("role", "hook"), [("speaker", "start"), ("organizer", "show"), ("attendee", "enter"), ("system", "complete")]
)
def test_a_token_is_for_one_webinar_or_for_all(scope: str, code: str, role: str, hook: str) -> None:
    known = actor(role, webinar_id=scope)

    assert code == code_of(lambda: check_send(known, INBOUND[hook]))
    assert code == code_of(lambda: check_scope(known, WEBINAR))


@pytest.mark.parametrize(("role", "reading"), [("attendee", Reading.ROOM), ("monitor", Reading.COUNTS)])
def test_a_token_for_another_webinar_reads_nothing_of_this_one(role: str, reading: Reading) -> None:
    expected = "forbidden_webinar"
    assert expected == code_of(lambda: check_read(actor(role, webinar_id="other"), reading, WEBINAR))


@pytest.mark.parametrize(
    ("role", "webinar_id", "code"),
    [
        ("guest", "other", "forbidden_role"),
        ("attendee", "other", "forbidden_webinar"),
        ("attendee", WEBINAR, "forbidden_lead"),
    ],
)
def test_the_role_is_checked_first_then_the_webinar_then_the_lead(role: str, webinar_id: str, code: str) -> None:
    """In every line the lead is wrong, in the first two the webinar, in the first one the role."""
    with pytest.raises(Forbidden) as refusal:
        check_send(actor(role, webinar_id=webinar_id, lead_id=OTHER_LEAD), enter(LEAD))

    assert (403, code) == (refusal.value.status, refusal.value.code)
