"""The table of the operator's acts: the hook of the site, the commands of the command line, and what both run.

A hook and its commands leave equal records and refuse alike, because they run the same function.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from msgspec import Struct

from room_server.core.messages import Actor
from room_server.operations import leads, site_check, webinars
from room_server.state.redis.retry import DEADLINE
from room_server.transactions import Transactions


class Act(NamedTuple):
    """What one hook does. `do` is called with the hook's typed value, and gives the answer."""

    commands: tuple[str, ...]
    """The commands of `room-server` that do the same."""
    do: Callable[[Transactions, Actor, Any], Awaitable[Struct]]
    answer: type[Struct]
    seconds: float = DEADLINE
    """How long a request may take."""


LONG_SECONDS = 10.0
"""For acts on many records: less than a site waits for an answer. What was done until then stays done."""
ACTS: dict[str, Act] = {
    "core_webinar_plan": Act(("webinar create", "webinar set", "webinar schedule"), webinars.plan, webinars.Planned),
    "core_webinar_pause": Act(("webinar pause",), webinars.pause, webinars.Moved),
    "core_webinar_resume": Act(("webinar resume",), webinars.resume, webinars.Moved),
    "core_webinar_archive": Act(("webinar archive",), webinars.archive, webinars.Moved, LONG_SECONDS),
    "core_webinar_cancel": Act(("webinar cancel",), webinars.cancel, webinars.Cancelled),
    "core_roster_register": Act(("roster import",), leads.register, leads.Registered),
    "core_roster_withdraw": Act(("roster withdraw",), leads.withdraw, leads.Withdrawn),
    "core_lead_forget": Act(("lead forget",), leads.forget, leads.Forgotten, LONG_SECONDS),
    "core_site_check": Act((), site_check.check, site_check.Checked),
}
"""By the name of the hook (core.site_hooks)."""
