"""`room-server webinar clone`: the plan and the roster of a webinar, for another one."""

from datetime import datetime
from typing import Any

import click

from room_server.commands.common import (
    ID,
    OPERATOR,
    at_options,
    load_room,
    state_options,
    webinar_argument,
    with_transactions,
)
from room_server.core import planning
from room_server.core.decision_types import OperatorAction
from room_server.core.lifecycle import Trigger
from room_server.ids import new_epoch
from room_server.operations import webinars
from room_server.state import roster
from room_server.transactions import Transactions


@click.command()
@webinar_argument
@click.argument("new_id", metavar="NEW", type=ID)
@at_options(required=True, help="When the new one is to begin, with its offset or beside --tz.")
@state_options
def clone(webinar_id: str, new_id: str, scheduled_at: datetime, **flags: Any) -> None:
    """Make a webinar NEW with the plan and the roster of ID, and schedule it.

    The recording, the attendance and the links are of the old one: name the recording afterwards, and make new links.
    If it is broken off, NEW stays a draft: finish it by `roster import` and `webinar schedule`.

    \b
    Examples:
      room-server webinar clone launch launch-2 --at 2030-11-29T18:00:00+03:00
      room-server webinar clone launch launch-3 --at 2030-12-06T18:00 --tz Europe/Moscow
    """
    flags.pop("tz")

    async def work(transactions: Transactions) -> None:
        """NEW is a draft, which nobody sees, until it has the whole roster."""
        store = transactions.store
        room = await load_room(store, webinar_id)
        await transactions.create(planning.clone(room, new_id, new_epoch(), scheduled_at))
        people = {entry.lead_id: entry async for entry in roster.entries(store, webinar_id)}
        done = await roster.import_roster(store, new_id, people.values(), replace=False)
        moved = await webinars.move(transactions, OPERATOR, OperatorAction(new_id, Trigger.SCHEDULE))
        click.echo(f"{new_id} is {moved.status}; its roster holds {done.now}")

    with_transactions(flags, work)
