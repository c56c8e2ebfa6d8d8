"""Who may do what over HTTP, as tables for test_access.py: every route, socket and hook, and the roles it is for."""

from typing import Any

ROLES = ("organizer", "speaker", "moderator", "attendee", "guest", "system", "monitor")
CREDENTIALS = ("none", "expired", "another webinar's", "the webinar's", "every webinar's")
LEAD = 42
"""The lead of the tests' attendee."""
ANYBODY = frozenset(ROLES)
READERS = frozenset({"organizer", "speaker", "moderator", "attendee", "system"})
COUNTERS = frozenset({"organizer", "speaker", "system", "monitor"})
ATTENDEES = frozenset({"attendee"})
REPORTED = frozenset({"organizer", "system"})
LEADERS = frozenset({"organizer", "speaker"})
SPEAKING_FOR_LEADS = frozenset({"attendee", "system"})
SYSTEM = frozenset({"system"})
NOBODY: frozenset[str] = frozenset()

OPEN = {
    "/webinars": "/webinars",
    "/healthz": "/healthz",
    "/readyz": "/readyz",
    "/openapi.json": "/openapi.json",
    "/asyncapi.json": "/asyncapi.json",
    "/static": "/static/api.js",
    "/": "/",
    "/room/{webinar_id}": "/room/live",
    "/speaker/{webinar_id}": "/speaker/live",
    "/report/{webinar_id}": "/report/live",
    "/monitor": "/monitor",
    "/r/{code}": "/r/" + "x" * 22,
    "/demo/player": "/demo/player",
    "/demo/cta": "/demo/cta",
    "/demo/recording": "/demo/recording",
}
"""What everybody may read, whatever token comes along: the route, and one address on it."""
TELEGRAM = "/hooks/telegram_update"
"""What only Telegram's secret opens."""
BY_CODE = "/links"
"""What only the code of a short link opens."""
READ = {
    "/rooms/{webinar_id}/state": ("/rooms/live/state", READERS, True),
    "/rooms/{webinar_id}/me": ("/rooms/live/me", ATTENDEES, True),
    "/monitor/counts": ("/monitor/counts", COUNTERS, False),
    "/webinars/{webinar_id}/attendance": ("/webinars/live/attendance", REPORTED, True),
    "/webinars/{webinar_id}/report": ("/webinars/live/report", REPORTED, True),
}
WATCHED = {
    "/rooms/{webinar_id}/socket": ("/rooms/live/socket", READERS, True),
    "/monitor/socket": ("/monitor/socket", COUNTERS, False),
}
"""Route, one address on it, who may, and whether it is about one webinar."""
SENT: dict[str, tuple[frozenset[str], dict[str, Any]]] = {
    "core_webinar_set_status": (LEADERS, {"status": "start"}),
    "core_webinar_set_cta_visibility": (LEADERS, {"visible": False}),
    "client_webinar_entered": (SPEAKING_FOR_LEADS, {"lead_id": LEAD, "timestamp": 1}),
    "client_webinar_completed": (SPEAKING_FOR_LEADS, {"lead_id": LEAD, "completed_at": 1}),
    "client_webinar_cta_clicked": (SPEAKING_FOR_LEADS, {"lead_id": LEAD, "timestamp": 1}),
    "core_webinar_plan": (SYSTEM, {"description": None}),
    "core_webinar_pause": (SYSTEM, {"webinar_id": "paused"}),
    "core_webinar_resume": (SYSTEM, {}),
    "core_webinar_archive": (SYSTEM, {"webinar_id": "archived"}),
    "core_webinar_cancel": (SYSTEM, {}),
    "core_roster_register": (SYSTEM, {"webinar_id": "nothing", "leads": [{"lead_id": LEAD}]}),
    "core_roster_withdraw": (SYSTEM, {"webinar_id": "nothing", "lead_ids": [LEAD]}),
    "core_lead_forget": (SYSTEM, {"lead_id": LEAD}),
    "core_site_check": (SYSTEM, {"nonce": "n"}),
    "webinar_completed": (NOBODY, {"lead_id": LEAD, "completed_at": 1}),
    "client_webinar_attendance_classified": (NOBODY, {"lead_id": LEAD, "attended": True, "timestamp": 1}),
    "post_webinar_route": (NOBODY, {"lead_id": LEAD, "attended": True, "timestamp": 1, "route": "attended"}),
}
"""Each hook, who may send it, and what it says of the live webinar; where it is let in, nothing is left to change."""
LET_IN = {
    "client_webinar_completed": (409, "webinar_not_finished"),
    "client_webinar_cta_clicked": (409, "cta_not_visible"),
    "core_webinar_cancel": (409, "webinar_state_invalid_cancel"),
    "core_roster_register": (404, "webinar_unknown"),
    "core_roster_withdraw": (404, "webinar_unknown"),
    "core_lead_forget": (409, "lead_in_running_webinar"),
}
"""What a hook that may be sent is answered, where that is not 200."""
ABOUT_NO_WEBINAR = {"core_lead_forget", "core_site_check"}
"""Hooks that need a token for all webinars."""
