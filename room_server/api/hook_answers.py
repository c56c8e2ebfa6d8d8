"""The answers to hooks that were accepted."""

from msgspec import Struct

from room_server.core.decision_types import Change
from room_server.core.messages import Completed, CtaClicked, Entered, Inbound, SetCtaVisibility, SetStatus
from room_server.core.room import Status, Visibility
from room_server.core.site_hooks import SITE_HOOKS, SiteHook
from room_server.operations.acts import ACTS


class CoreAnswer(Struct, frozen=True):
    """The answer to a hook that is about the room."""

    webinar_id: str
    duplicate: bool
    status: Status
    version: int
    cta_visibility: Visibility


class LeadAnswer(Struct, frozen=True):
    """The answer to `client_webinar_entered` and `client_webinar_cta_clicked`."""

    webinar_id: str
    duplicate: bool
    lead_id: int


class CompletedAnswer(Struct, frozen=True):
    """The answer to `client_webinar_completed`; `attended` is the lead's classification."""

    webinar_id: str
    duplicate: bool
    lead_id: int
    attended: bool | None


Answer = CoreAnswer | LeadAnswer | CompletedAnswer
ANSWERS: dict[type[Inbound | SiteHook], type[Struct]] = {
    **{SITE_HOOKS[name]: act.answer for name, act in ACTS.items()},
    SetStatus: CoreAnswer,
    SetCtaVisibility: CoreAnswer,
    Entered: LeadAnswer,
    Completed: CompletedAnswer,
    CtaClicked: LeadAnswer,
}
"""The type of the answer to each hook that is accepted."""


def answer_to(hook: Inbound, change: Change) -> Answer:
    """The answer to a hook that was accepted and caused `change`, if only in an earlier attempt."""
    match hook:
        case Entered() | CtaClicked():
            return LeadAnswer(hook.webinar_id, change.duplicate, hook.lead_id)
        case Completed():
            attended = change.participation.attended if change.participation else None
            return CompletedAnswer(hook.webinar_id, change.duplicate, hook.lead_id, attended)
        case _:
            room = change.room
            return CoreAnswer(room.webinar_id, change.duplicate, room.status, room.version, room.cta_visibility)
