"""Registers leads, withdraws them, and deletes what is stored of a person.

Every act raises Refusal and StateUnavailable.
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from room_server.core.messages import Actor
from room_server.core.registration import Lead
from room_server.core.site_hooks import ForgetLead, RegisterLeads, WithdrawLeads
from room_server.errors import StateUnavailable
from room_server.jobs import erasure
from room_server.state import roster
from room_server.state.roster import ImportResult, RosterChanged
from room_server.state.store import Store
from room_server.transactions import ATTEMPTS, Transactions


class Registered(Struct, frozen=True):
    """How many leads came to the roster and how many entries changed; `duplicate`: neither.

    `left_out`: ids of leads that were forgotten less than a day ago, and are not registered.
    """

    webinar_id: str
    duplicate: bool
    added: int
    updated: int
    left_out: list[int]


class Withdrawn(Struct, frozen=True):
    """The leads that were taken off the roster, and those that stay because they have entered."""

    webinar_id: str
    duplicate: bool
    removed: list[int]
    kept: list[int]


class Forgotten(Struct, frozen=True):
    """The webinars that knew the lead."""

    webinar_id: None
    duplicate: bool
    lead_id: int
    webinars: list[str]


async def import_leads(
    store: Store, webinar_id: str, leads: Callable[[], Iterable[Lead]], replace: bool = False
) -> ImportResult:
    """Put checked leads, each once, on the roster; with `replace` all others are removed. All or nothing.

    `leads` is called again when the roster changes while it is read.
    """
    for _ in range(ATTEMPTS):
        try:
            return await roster.import_roster(store, webinar_id, leads(), replace)
        except RosterChanged:
            continue
    raise StateUnavailable(f"the roster changed {ATTEMPTS} times while leads came in; repeat the request")


async def register(transactions: Transactions, _: Actor, hook: RegisterLeads) -> Registered:
    """Put leads on the roster, or change what is known of them."""
    done = await import_leads(transactions.store, hook.webinar_id, lambda: hook.leads)
    left_out = [lead.lead_id for lead in done.left_out]
    return Registered(hook.webinar_id, not (done.added or done.updated), done.added, done.updated, left_out)


async def withdraw(transactions: Transactions, _: Actor, hook: WithdrawLeads) -> Withdrawn:
    """Take leads off the roster, with their short links; who has entered stays."""
    done = await roster.withdraw(transactions.store, hook.webinar_id, hook.lead_ids)
    return Withdrawn(hook.webinar_id, not done.removed, list(done.removed), list(done.kept))


async def forget(transactions: Transactions, _: Actor, hook: ForgetLead) -> Forgotten:
    """Delete all that is stored of a person; a worker then erases the entries of the streams (`jobs.erased_entries`).

    Raises Conflict `lead_in_running_webinar`.
    """
    webinars, _forgotten = await erasure.forget_records(transactions.store, hook.lead_id)
    return Forgotten(None, not webinars, hook.lead_id, webinars)
