"""`room-server webinar`: plans webinars and shows them. The role is `system`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from room_server import attendance_report
from room_server.clock import utc_now
from room_server.commands.common import (
    LINK_VALIDITY,
    OPERATOR,
    Text,
    at_options,
    listed,
    load_room,
    state_options,
    webinar_argument,
    with_options,
    with_store,
    with_transactions,
)
from room_server.commands.summary import WebinarReport, describe_progress, describe_room, progress
from room_server.core.attendance_rule import AttendedBy, MinWatch
from room_server.core.planning import PlanWebinar
from room_server.core.players import frame_origin
from room_server.core.room import Description, Label, PublicRoom, Room, Status, Title, Url
from room_server.errors import webinar_unknown
from room_server.operations import webinars
from room_server.state.evaluation_schedule import EvaluationSchedule
from room_server.state.store import Store
from room_server.telegram import texts
from room_server.transactions import Transactions

TITLE = Text("TEXT", Title, "a title of 1 to 200 characters")
DESCRIPTION = Text("TEXT", Description, "a description of at most 4000 characters")
LABEL = Text("TEXT", Label, "a label of 1 to 80 characters")
MIN_WATCH = Text("SHARE", MinWatch, "a share like 60% (1% to 100%) or minutes like 30m")
NO_ORIGIN = "none"
URL = Text("URL", Url, "an address that begins with http:// or https://")


class FrameOrigin(click.ParamType[str]):
    """An http(s) origin, converted to the form of a Content-Security-Policy; or `none`."""

    name = "ORIGIN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == NO_ORIGIN:
            return NO_ORIGIN
        found = frame_origin(value)
        if found is None:
            self.fail(f"{value!r} is not an origin like https://player.example.org", param, ctx)
        return found


@click.group()
def webinar() -> None:
    """Plan webinars, and do what the site's hooks cannot.

    \b
    Examples:
      room-server webinar create launch --title "Launch" --at 2030-11-22T18:00:00+03:00
      room-server webinar set launch --recording-url https://example.org/recording
      room-server webinar show launch
    """


def _plan_options(command: Any) -> Any:
    return with_options(
        command,
        click.option("--description", type=DESCRIPTION, metavar="TEXT",
                     help="A few sentences for the schedule and the waiting room."),
        click.option("--cta-label", type=LABEL, metavar="TEXT", help="What the call to action says."),
        click.option("--cta-url", type=URL, metavar="URL", help="Where the call to action leads."),
        click.option("--player-url", type=URL, metavar="URL", help="The player's page, shown while live and paused."),
        click.option("--frame-origin", "frame_origins", type=FrameOrigin(), multiple=True, metavar="ORIGIN",
                     help="Another origin that the player leads to; may be repeated; none takes all back."),
        click.option("--recording-url", type=URL, metavar="URL",
                     help="Shown, and sent to those who were not there, at the end."),
        click.option("--unlisted/--listed", default=None,
                     help="Whether the public schedule leaves it out; whoever has a link gets in."),
        click.option("--grace", type=click.IntRange(0, 10**8), metavar="SECONDS",
                     help="From its end to its evaluation [default: the setting EVALUATION_GRACE]."),
        click.option("--attended-by", type=click.Choice([rule.value for rule in AttendedBy]),
                     help="What makes a lead attended: completing (the default), watch time, both, or either."),
        click.option("--min-watch", type=MIN_WATCH, metavar="SHARE",
                     help="The watch time that counts, such as 60% of the time on air, or 30m."),
        click.option("--texts", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
                     help="Telegram texts of this webinar's own, TOML or JSON: locale -> name -> text."),
    )  # fmt: skip


@webinar.command()
@webinar_argument
@click.option("--title", required=True, type=TITLE, metavar="TEXT")
@at_options(required=True, help="When it is to begin, with its offset or beside --tz.")
@click.option("--draft", is_flag=True, help="Keep it off the schedule until `webinar schedule`.")
@_plan_options
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
    flags, fields = _split(options)
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
@_plan_options
@state_options
def set_(webinar_id: str, **options: Any) -> None:
    """Change what is said of a webinar.

    A new time brings a cancelled webinar back. An archived webinar never changes; only its
    recording may still be named, or called off, for its messages that wait.

    \b
    Examples:
      room-server webinar set launch --title "The launch" --at 2030-11-23T18:00:00+03:00
      room-server webinar set launch --no-recording
    """
    no_recording = options.pop("no_recording")
    flags, fields = _split(options)
    if no_recording and "recording_url" in fields:
        raise click.UsageError("--recording-url and --no-recording contradict each other")
    if no_recording:
        fields["recording_url"] = None
    plan = PlanWebinar(webinar_id=webinar_id, **fields)
    if plan == PlanWebinar(webinar_id=webinar_id):
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


def _split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state options, and the fields of a plan that the others set. Raises click.BadParameter."""
    flags = {name: options.pop(name) for name in ("redis_url", "data_dir")}
    if options.pop("tz") and not options["scheduled_at"]:
        raise click.UsageError("--tz is the zone of --at, which is missing")
    if options.get("texts"):
        options["texts"] = _texts_in(options["texts"])
    origins = options.pop("frame_origins", ())
    if NO_ORIGIN in origins and len(origins) > 1:
        raise click.BadParameter("none goes with no other origin", param_hint="--frame-origin")
    if origins:
        options["frame_origins"] = tuple(one for one in origins if one != NO_ORIGIN)
    return flags, {name: value for name, value in options.items() if value is not None}


def _texts_in(file: Path) -> dict[str, dict[str, str]]:
    """The texts in a file. Raises click.BadParameter."""
    try:
        with file.open("rb") as opened:
            return texts.parse(opened.read(texts.MAX_FILE + 1))
    except OSError as error:
        raise click.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="--texts") from error
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--texts") from error


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
