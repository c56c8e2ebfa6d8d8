"""Which role may send and read what, as tables (docs/domain.md, "Roles"). No other file decides by a role."""

from enum import StrEnum

from room_server.core.messages import (
    Actor,
    ClientHook,
    Completed,
    CoreHook,
    CtaClicked,
    Entered,
    Inbound,
    Role,
    SetCtaVisibility,
    SetStatus,
)
from room_server.core.room import Status
from room_server.core.site_hooks import SITE_HOOKS, SiteHook
from room_server.errors import Forbidden, webinar_unknown


class Reading(StrEnum):
    """What a token can give access to."""

    ROOM = "room"
    STANDING = "standing"
    COUNTS = "counts"
    ATTENDANCE = "attendance"


MAY_SEND: dict[type[Inbound | SiteHook], frozenset[Role]] = {
    **dict.fromkeys(SITE_HOOKS.values(), frozenset({Role.SYSTEM})),
    SetStatus: frozenset({Role.ORGANIZER, Role.SPEAKER}),
    SetCtaVisibility: frozenset({Role.ORGANIZER, Role.SPEAKER}),
    Entered: frozenset({Role.ATTENDEE, Role.SYSTEM}),
    Completed: frozenset({Role.ATTENDEE, Role.SYSTEM}),
    CtaClicked: frozenset({Role.ATTENDEE, Role.SYSTEM}),
}

MAY_READ: dict[Reading, frozenset[Role]] = {
    Reading.ROOM: frozenset({Role.ORGANIZER, Role.SPEAKER, Role.MODERATOR, Role.ATTENDEE, Role.SYSTEM}),
    Reading.STANDING: frozenset({Role.ATTENDEE}),
    Reading.COUNTS: frozenset({Role.ORGANIZER, Role.SPEAKER, Role.SYSTEM, Role.MONITOR}),
    Reading.ATTENDANCE: frozenset({Role.ORGANIZER, Role.SYSTEM}),
}

HIDDEN_FROM: dict[Status, frozenset[Role]] = {Status.DRAFT: frozenset({Role.ATTENDEE})}
"""Roles to which a room in this status is unknown: they can neither read it nor send hooks to it."""


def check_send(actor: Actor, hook: CoreHook | ClientHook | SiteHook) -> None:
    """Check the role, then the token's webinar, then the lead. Raises Forbidden.

    A hook that is about no webinar needs a token for all. A token that may only read sends none.
    """
    if actor.read_only:
        raise Forbidden("forbidden_role", "this token is for reading only (its claim read_only)")
    if actor.role not in MAY_SEND[type(hook)]:
        raise Forbidden("forbidden_role", f"the role {actor.role} may not send this hook")
    check_scope(actor, getattr(hook, "webinar_id", "*"))
    if isinstance(hook, ClientHook) and actor.role is not Role.SYSTEM and actor.lead_id != hook.lead_id:
        raise Forbidden("forbidden_lead", f"lead {actor.lead_id} may not speak for lead {hook.lead_id}")


def check_read(actor: Actor, reading: Reading, webinar_id: str | None) -> None:
    """Check the role and, unless `webinar_id` is None (all rooms), the token's webinar. Raises Forbidden."""
    if actor.role not in MAY_READ[reading]:
        raise Forbidden("forbidden_role", f"the role {actor.role} may not read this")
    if webinar_id is not None:
        check_scope(actor, webinar_id)


def check_scope(actor: Actor, webinar_id: str) -> None:
    """Check that the token is for this webinar or, with `*`, for all. Raises Forbidden."""
    if actor.webinar_id not in {"*", webinar_id}:
        raise Forbidden("forbidden_webinar", f"the token is for the webinar {actor.webinar_id} only")


def check_visible(actor: Actor, webinar_id: str, status: Status | None) -> None:
    """Check that there is a room (`status` is not None) which the role may know of. Raises Unknown."""
    if status is None or is_hidden(actor, status):
        raise webinar_unknown(webinar_id)


def is_hidden(actor: Actor, status: Status) -> bool:
    """Whether a room in this status is unknown to the actor's role."""
    return actor.role in HIDDEN_FROM.get(status, ())
