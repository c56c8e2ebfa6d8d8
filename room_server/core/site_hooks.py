"""The hooks by which a site does what the operator's command line does (docs/domain.md, "The site's own hooks").

They are commands to the server and no events: none of them appears in the stream. `core_webinar_plan` is in
core.planning.
"""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from room_server.core.messages import GivenLeadId, WebinarId
from room_server.core.planning import PlanWebinar
from room_server.core.registration import MAX_LEADS, Lead


class PauseWebinar(Struct, frozen=True, kw_only=True):
    """`core_webinar_pause`: a technical pause; the time on air stands still."""

    webinar_id: WebinarId


class ResumeWebinar(Struct, frozen=True, kw_only=True):
    """`core_webinar_resume`: go on after a pause."""

    webinar_id: WebinarId


class ArchiveWebinar(Struct, frozen=True, kw_only=True):
    """`core_webinar_archive`: close a finished webinar for good; a pending evaluation runs first."""

    webinar_id: WebinarId


class CancelWebinar(Struct, frozen=True, kw_only=True):
    """`core_webinar_cancel`: call a webinar off before it has begun."""

    webinar_id: WebinarId
    silent: bool = False
    """Whether registered leads are not told."""


class RegisterLeads(Struct, frozen=True, kw_only=True):
    """`core_roster_register`: put leads on the roster, or change what is known of them; all or nothing."""

    webinar_id: WebinarId
    leads: Annotated[tuple[Lead, ...], Meta(min_length=1, max_length=MAX_LEADS)]


class WithdrawLeads(Struct, frozen=True, kw_only=True):
    """`core_roster_withdraw`: take leads off the roster; who has entered stays."""

    webinar_id: WebinarId
    lead_ids: Annotated[tuple[GivenLeadId, ...], Meta(min_length=1, max_length=MAX_LEADS)]

    def __post_init__(self) -> None:
        force_setattr(self, "lead_ids", tuple(dict.fromkeys(map(int, self.lead_ids))))


class ForgetLead(Struct, frozen=True, kw_only=True):
    """`core_lead_forget`: delete all that is stored of a person."""

    lead_id: GivenLeadId

    def __post_init__(self) -> None:
        force_setattr(self, "lead_id", int(self.lead_id))


class CheckSite(Struct, frozen=True, kw_only=True):
    """`core_site_check`: try both directions; the event `core_site_checked` with the nonce goes out."""

    nonce: Annotated[str, Meta(min_length=1, max_length=64)]


SiteHook = (
    PlanWebinar
    | PauseWebinar
    | ResumeWebinar
    | ArchiveWebinar
    | CancelWebinar
    | RegisterLeads
    | WithdrawLeads
    | ForgetLead
    | CheckSite
)

SITE_HOOKS: dict[str, type[SiteHook]] = {
    "core_webinar_plan": PlanWebinar,
    "core_webinar_pause": PauseWebinar,
    "core_webinar_resume": ResumeWebinar,
    "core_webinar_archive": ArchiveWebinar,
    "core_webinar_cancel": CancelWebinar,
    "core_roster_register": RegisterLeads,
    "core_roster_withdraw": WithdrawLeads,
    "core_lead_forget": ForgetLead,
    "core_site_check": CheckSite,
}
