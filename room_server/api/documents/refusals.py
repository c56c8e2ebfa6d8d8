"""With which codes each hook is refused.

They follow from the order of checks in api/hooks.py and the tables of the core; tests provoke each.
"""

from collections.abc import Iterable

from room_server.core import lifecycle
from room_server.core.decide import STATUS_WORDS
from room_server.core.lifecycle import Trigger
from room_server.core.messages import (
    Completed,
    CtaClicked,
    Entered,
    Inbound,
    OfALead,
    SetCtaVisibility,
    SetStatus,
)
from room_server.core.planning import PlanWebinar
from room_server.core.room import Status
from room_server.core.site_hooks import (
    ArchiveWebinar,
    CancelWebinar,
    CheckSite,
    ForgetLead,
    PauseWebinar,
    ResumeWebinar,
    SiteHook,
)


def _refusals(triggers: Iterable[Trigger]) -> tuple[str, ...]:
    """The codes with which these triggers are refused in any status."""
    return tuple(
        lifecycle.SPECIAL_REFUSALS.get((status, trigger), lifecycle.REFUSALS[trigger])
        for trigger in triggers
        for status in Status
        if status is not lifecycle.RESULT[trigger] and status not in lifecycle.TRANSITIONS[trigger]
    )


CONFLICTS: dict[type[Inbound | SiteHook], tuple[str, ...]] = {
    SetStatus: _refusals(STATUS_WORDS.values()),
    SetCtaVisibility: tuple(lifecycle.CTA_REFUSALS.values()),
    Entered: ("webinar_not_live",),
    Completed: ("webinar_not_finished", "lead_not_entered"),
    CtaClicked: ("cta_not_visible",),
    PlanWebinar: ("webinar_state_invalid_rewind", "webinar_state_locked", "webinar_rule_locked"),
    PauseWebinar: _refusals([Trigger.PAUSE]),
    ResumeWebinar: _refusals([Trigger.RESUME]),
    ArchiveWebinar: _refusals([Trigger.ARCHIVE]),
    CancelWebinar: ("webinar_state_invalid_cancel", "webinar_state_locked"),
    ForgetLead: ("lead_in_running_webinar",),
}
"""The codes of status 409 of each hook that has any."""
KNOWS_EVERY_WEBINAR = frozenset({PlanWebinar, ForgetLead, CheckSite})
"""Hooks to which no webinar is unknown: one makes it, the others are about none."""


def codes_of(kind: type[Inbound | SiteHook]) -> tuple[str, ...]:
    """All codes of a hook's refusals, without those that any request may get."""
    return (
        "malformed_body",
        "unauthenticated",
        "forbidden_role",
        "forbidden_webinar",
        *(["forbidden_lead"] if issubclass(kind, OfALead) else []),
        *([] if kind in KNOWS_EVERY_WEBINAR else ["webinar_unknown"]),
        *CONFLICTS.get(kind, ()),
        "body_too_large",
        "invalid_payload",
        *(["webinar_status_mutation_forbidden"] if kind is SetStatus else []),
        "state_unavailable",
    )
