"""Rooms, people, hooks and facts for the tests of the core: one plain way to make each."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from room_server.core.bindings import BoundChats
from room_server.core.decide import decide
from room_server.core.decision_types import Cancel, Change, Command, DecisionContext, Evaluate, Facts, OperatorAction
from room_server.core.messages import (
    Actor,
    AttendanceClassified,
    ClientHook,
    Completed,
    CoreHook,
    CtaClicked,
    Entered,
    PostWebinarRoute,
    Role,
    Route,
    SetCtaVisibility,
    SetStatus,
)
from room_server.core.room import Participation, Room, RosterEntry, Status, Visibility
from room_server.errors import Refusal

NOW = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)
WEBINAR = "demo"
LEAD = 101
OTHER_LEAD = 202
CANDIDATE_CHAT = 7001
PARTNER_CHAT = 8002
STATUSES = ("draft", "scheduled", "live", "paused", "finished", "archived")
ROLES = ("organizer", "speaker", "moderator", "attendee", "guest", "system", "monitor")

Hook = CoreHook | ClientHook | OperatorAction | Cancel | Evaluate


def at(seconds: float) -> datetime:
    """The server's clock, `seconds` after NOW."""
    return NOW + timedelta(seconds=seconds)


def room(status: str = "live", **fields: Any) -> Room:
    """A room as it stands in `status`: started 30 minutes ago, 10 minutes on air before a pause."""
    made = Room(
        webinar_id=WEBINAR,
        epoch="k3v9",
        version=7,
        status=Status(status),
        title="Как устроены комнаты",
        scheduled_at=at(-3600),
        cta_label="Записаться",
        cta_url="https://example.org/offer",
        player_url="https://example.org/player",
    )
    if status in {"live", "paused", "finished", "archived"}:
        made = replace(made, started_at=at(-1800), on_air_ms=600_000)
    if status == "live":
        made = replace(made, on_air_since=at(-1200))
    if status in {"finished", "archived"}:
        made = replace(made, finished_at=at(-60))
    return replace(made, **fields)


def visible(status: str) -> Room:
    """The room with its CTA shown."""
    return room(status, cta_visibility=Visibility.VISIBLE)


def actor(role: str, **fields: Any) -> Actor:
    """A caller with a token for the webinar; an attendee is LEAD, named."""
    known: dict[str, Any] = {"role": Role(role), "subject": f"a-{role}", "webinar_id": WEBINAR}
    if role == "attendee":
        known |= {"subject": str(LEAD), "lead_id": LEAD, "name": "Анна"}
    return Actor(**(known | fields))


def entry(**fields: Any) -> RosterEntry:
    known: dict[str, Any] = {"candidate_chat_id": CANDIDATE_CHAT, "partner_chat_id": PARTNER_CHAT}
    return RosterEntry(lead_id=LEAD, name="Анна К.", **(known | fields))


def entered(**fields: Any) -> Participation:
    """A lead that entered and did no more."""
    known: dict[str, Any] = {"name": "Анна", "session_id": "s-1", "entered_at": at(-1700)}
    return Participation(lead_id=LEAD, **(known | fields))


def attended() -> Participation:
    """A lead that entered, completed and was classified."""
    return entered(completed_at=at(-30), attended=True, classified_at=at(-30), route="attended")


def missed() -> Participation:
    """A lead that entered and was evaluated before it completed."""
    return entered(attended=False, classified_at=at(-30), route="not_attended")


def start() -> SetStatus:
    return SetStatus(webinar_id=WEBINAR, status="start")


def stop() -> SetStatus:
    return SetStatus(webinar_id=WEBINAR, status="stop")


def cta(shown: bool = True) -> SetCtaVisibility:
    return SetCtaVisibility(webinar_id=WEBINAR, visible=shown)


def enter(lead_id: int = LEAD, session_id: str | None = None) -> Entered:
    return Entered(webinar_id=WEBINAR, lead_id=lead_id, timestamp=1_795_373_000, session_id=session_id)


def complete(lead_id: int = LEAD, session_id: str | None = None) -> Completed:
    return Completed(webinar_id=WEBINAR, lead_id=lead_id, completed_at=1_795_374_000.5, session_id=session_id)


def click(lead_id: int = LEAD) -> CtaClicked:
    return CtaClicked(webinar_id=WEBINAR, lead_id=lead_id, timestamp=1_795_373_500)


def act(trigger: str) -> OperatorAction:
    return OperatorAction(webinar_id=WEBINAR, trigger=trigger)


def cancel() -> Cancel:
    return Cancel(webinar_id=WEBINAR)


def evaluate(lead_id: int = LEAD) -> Evaluate:
    return Evaluate(webinar_id=WEBINAR, lead_id=lead_id)


def classified(was_there: bool) -> AttendanceClassified:
    return AttendanceClassified(lead_id=LEAD, webinar_id=WEBINAR, attended=was_there, timestamp=NOW)


def routed(route: Route) -> PostWebinarRoute:
    return PostWebinarRoute(lead_id=LEAD, webinar_id=WEBINAR, attended=route == "attended", timestamp=NOW, route=route)


def context(status: str = "finished", **fields: Any) -> DecisionContext:
    """What a listener is given: an entered lead of the roster, unless said otherwise."""
    known: dict[str, Any] = {"room": room(status), "participation": entered(), "entry": entry()}
    known |= {"bound": BoundChats(), "command_id": "c-1", "actor_name": None, "now": NOW} | fields
    return DecisionContext(**({"recording": known["room"].recording} | known))


def command(hook: Hook, role: str = "system", **fields: Any) -> Command:
    return Command(id="c-1", actor=actor(role, **fields), hook=hook)


def facts(status: str = "live", **fields: Any) -> Facts:
    """The room in `status` and a lead of the roster that did nothing yet, unless said otherwise."""
    known: dict[str, Any] = {"room": room(status), "entry": entry()}
    return Facts(**(known | fields))


def code_of(attempt: Callable[[], object]) -> str:
    """`ok`, or the code with which the attempt was refused."""
    try:
        attempt()
    except Refusal as refusal:
        return code_with_detail(refusal)
    return "ok"


def code_with_detail(refusal: Refusal) -> str:
    """The code of a refusal, which also has a detail in words."""
    assert refusal.detail, refusal.code
    return refusal.code


def answer(given: Command, known: Facts) -> str:
    """How a command is answered: `ok`, `duplicate`, or the code of its refusal."""
    changes: list[Change] = []
    code = code_of(lambda: changes.append(decide(given, known, NOW)))
    return "duplicate" if code == "ok" and changes[0].duplicate else code


def decided(hook: Hook, known: Facts, role: str = "system") -> Change:
    """The change, where none is refused."""
    return decide(command(hook, role), known, NOW)
