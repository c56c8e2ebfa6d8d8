"""`room-server attendance explain`: why one lead counts as attended or not, for the person who asks."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from room_server.clock import utc_now
from room_server.commands.common import state_options, webinar_argument, with_store
from room_server.commands.summary import describe_rule
from room_server.core import attendance_rule, watch_time
from room_server.core.decision_types import Facts
from room_server.core.messages import MAX_LEAD_ID
from room_server.core.room import Participation, Room
from room_server.errors import webinar_unknown
from room_server.state.store import Store


@click.command()
@webinar_argument
@click.argument("lead_id", metavar="LEAD", type=click.IntRange(1, MAX_LEAD_ID))
@state_options
def explain(webinar_id: str, lead_id: int, **flags: Any) -> None:
    """Say what one lead watched, and by which rule it is counted.

    \b
    Example:
      room-server attendance explain launch 42
    """

    async def work(store: Store) -> Facts:
        return await store.load(webinar_id, lead_id)

    facts: Facts = with_store(flags, work)
    if facts.room is None:
        raise webinar_unknown(webinar_id)
    if facts.entry is None and facts.participation is None and not facts.slots:
        raise click.ClickException(f"LEAD {lead_id} is not on the roster of {webinar_id}, and was never there")
    for name, value in explanation(facts.room, facts, utc_now()):
        click.echo(f"{name:<10} {value}")


def explanation(room: Room, facts: Facts, now: datetime) -> Iterator[tuple[str, str]]:
    """Name and value of each line."""
    known = facts.participation or Participation(lead_id=0)
    on_air_ms = room.on_air_ms_at(now)
    watched_ms = watch_time.watched_ms(facts.slots, on_air_ms)
    yield "watched", f"{_minutes(watched_ms)} of {_minutes(on_air_ms)} minutes"
    yield "needed", _needed(room, on_air_ms)
    yield "entered", _moment(known.entered_at)
    yield "completed", _moment(known.completed_at)
    yield "attended", {None: "not decided yet", True: "yes", False: "no"}[known.attended]


def _needed(room: Room, on_air_ms: int) -> str:
    if room.min_watch is None or not attendance_rule.is_evaluated_only(room.attended_by):
        return describe_rule(room)
    needed_ms = attendance_rule.needed_ms(room.min_watch, on_air_ms)
    return f"{describe_rule(room)}: {_minutes(needed_ms)} minutes"


def _minutes(ms: int) -> str:
    return f"{ms // 60_000}:{ms // 1000 % 60:02}"


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "no"
