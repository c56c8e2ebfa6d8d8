"""`room-server webinar`: plans webinars and shows them. The role is `system`."""

from typing import Any

import click
import msgspec

from room_server import attendance_report
from room_server.clock import utc_now
from room_server.commands.common import (
    OPERATOR,
    at_options,
    listed,
    load_room,
    state_options,
    webinar_argument,
    with_store,
    with_transactions,
)
from room_server.commands.plan_options import TITLE, plan_options, split
from room_server.commands.summary import WebinarReport, describe_progress, describe_room, progress
from room_server.core.planning import PlanWebinar
from room_server.core.room import PublicRoom, Room, Status
from room_server.errors import webinar_unknown
from room_server.operations import webinars
from room_server.state.evaluation_schedule import EvaluationSchedule
from room_server.state.short_links import LINK_VALIDITY
from room_server.state.store import Store
from room_server.transactions import Transactions


@click.group()
def webinar() -> None:
    """Plan webinars, and change their state.

    Who starts one is its speaker or organizer, at the console (/speaker/ID) or by a hook: `token issue --role speaker`.

    \b
    Examples:
      room-server webinar create launch --title "Launch" --at 2030-11-22T18:00:00+03:00
      room-server webinar set launch --recording-url https://example.org/recording
      room-server webinar show launch
    """


@webinar.command()
@webinar_argument
@click.option("--title", required=True, type=TITLE, metavar="TEXT")
@at_options(required=True, help="When it is to begin, with its offset or beside --tz.")
@click.option("--draft", is_flag=True, help="Keep it off the schedule until `webinar schedule`.")
@plan_options
@state_options
def create(webinar_id: str, draft: bool, **options: Any) -> None:
    """Make a webinar; it is scheduled at once unless it is a draft.

    ID is 1-64 of A-Z a-z 0-9 _ -.

    \b
    Examples:
      room-server webinar create launch --title "Launch" --at 2030-11-22T18:00:00+03:00
      room-server webinar create launch --title "Launch" --at 2030-11-22T15:00:00Z --draft \\
        --player-url https://example.org/player --cta-label "Join" --cta-url https://example.org/join
    """
    flags, fields = split(options)
    planned = PlanWebinar(webinar_id=webinar_id, draft=draft, **fields)

    async def work(transactions: Transactions) -> None:
        done = await webinars.create(transactions, OPERATOR, planned)
        click.echo(f"{webinar_id} is {done.status}")

    with_transactions(flags, work)


@webinar.command(name="set")
@webinar_argument
@click.option("--title", type=TITLE, metavar="TEXT")
@at_options(help="Only before it has begun.")
@click.option("--no-recording", is_flag=True, default=None, help="There will be none: nobody waits for it any more.")
@click.option("--silent", is_flag=True, help="Do not tell registered leads of a new time.")
@plan_options
@state_options
def set_(webinar_id: str, **options: Any) -> None:
    """Change what is said of a webinar.

    A new time brings a cancelled webinar back, and registered leads are told of it by Telegram,
    unless --silent is given. An archived webinar never changes; only its
    recording may still be named, or called off, for its messages that wait.

    \b
    Examples:
      room-server webinar set launch --title "The launch" --at 2030-11-23T18:00:00+03:00
      room-server webinar set launch --no-recording
      room-server webinar set launch --remind 24h,1h,start --tell-arrivals
    """
    no_recording, silent = options.pop("no_recording"), options.pop("silent")
    flags, fields = split(options)
    if no_recording and "recording_url" in fields:
        raise click.UsageError("--recording-url and --no-recording contradict each other")
    if no_recording:
        fields["recording_url"] = None
    plan = PlanWebinar(webinar_id=webinar_id, silent=silent, **fields)
    if not fields:
        raise click.UsageError("say what to change, for example --title")

    async def work(transactions: Transactions) -> None:
        before = await load_room(transactions.store, webinar_id)
        await webinars.amend(transactions, OPERATOR, plan)
        room = await load_room(transactions.store, webinar_id)
        _warn_of_links(before, room)
        cancelled = ", cancelled" if room.cancelled_at else ""
        click.echo(f"{room.webinar_id} is {room.status}{cancelled}, version {room.version}")
        if room.status is Status.ARCHIVED:
            click.echo("the archived room stays as it is; what was said of the recording counts for its messages")

    with_transactions(flags, work)


def _warn_of_links(before: Room, after: Room) -> None:
    """Say so on stderr when links that were made for the old time end before the new one."""
    end = before.scheduled_at + LINK_VALIDITY
    if after.scheduled_at > end:
        click.echo(
            f"warning: links that `roster links` made for the old time end at {end:%Y-%m-%d %H:%M} UTC, before the new "
            f"one; make new ones: room-server roster links {after.webinar_id}",
            err=True,
        )


@webinar.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@state_options
def list_(as_json: bool, **flags: Any) -> None:
    """All webinars, the latest first.

    \b
    Examples:
      room-server webinar list
      room-server webinar list --json
    """
    rooms: list[PublicRoom] = with_store(flags, listed)
    if as_json:
        click.echo(msgspec.json.encode(rooms))
        return
    for room in rooms:
        status = "cancelled" if room.cancelled_at else room.status
        click.echo(f"{room.webinar_id:<24} {status:<10} {room.scheduled_at:%Y-%m-%d %H:%M}Z  {room.title}")
    if not rooms:
        click.echo("no webinars yet; make one with: room-server webinar create --help", err=True)


@webinar.command()
@webinar_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@state_options
def show(webinar_id: str, as_json: bool, **flags: Any) -> None:
    """One webinar with all that is known of it.

    \b
    Examples:
      room-server webinar show launch
      room-server webinar show launch --json
    """

    async def work(store: Store) -> WebinarReport:
        facts = await store.load(webinar_id)
        if facts.room is None:
            raise webinar_unknown(webinar_id)
        rows = await attendance_report.attendance(store, webinar_id)
        due = await EvaluationSchedule(store).pending(webinar_id)
        return WebinarReport(facts.room, attendance_report.summary(rows), due, facts.recording)

    report: WebinarReport = with_store(flags, work)
    if as_json:
        click.echo(msgspec.json.encode({**msgspec.structs.asdict(report.room), **progress(report)}))
        return
    for name, value in [*describe_room(report.room, utc_now()), *describe_progress(report)]:
        click.echo(f"{name:<10} {value}")
