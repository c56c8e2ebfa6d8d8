"""The options by which `room-server webinar create` and `set` plan a webinar, and the fields that they set."""

from pathlib import Path
from typing import Any

import click

from room_server.commands.common import Text, with_options
from room_server.core.attendance_rule import AttendedBy, MinWatch
from room_server.core.messages import MOMENTS, Moment
from room_server.core.players import frame_origin
from room_server.core.room import Description, Label, Title, Url
from room_server.telegram import texts

TITLE = Text("TEXT", Title, "a title of 1 to 200 characters")
DESCRIPTION = Text("TEXT", Description, "a description of at most 4000 characters")
LABEL = Text("TEXT", Label, "a label of 1 to 80 characters")
MIN_WATCH = Text("SHARE", MinWatch, "a share like 60% (1% to 100%) or minutes like 30m")
NONE = "none"
"""What takes a list of values back."""
URL = Text("URL", Url, "an address that begins with http:// or https://")


class FrameOrigin(click.ParamType[str]):
    """An http(s) origin, converted to the form of a Content-Security-Policy; or `none`."""

    name = "ORIGIN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == NONE:
            return NONE
        found = frame_origin(value)
        if found is None:
            self.fail(f"{value!r} is not an origin like https://player.example.org", param, ctx)
        return found


class Reminders(click.ParamType[tuple[Moment, ...]]):
    """Moments of reminders, separated by commas; `none` is no moment."""

    name = "WHEN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Moment, ...]:
        if isinstance(value, tuple):
            return value
        words = [] if value == NONE else [word.strip() for word in str(value).split(",")]
        if strange := [word for word in words if word not in MOMENTS]:
            expected = f"{', '.join(MOMENTS)} separated by commas, or {NONE}"
            self.fail(f"{strange[0]!r} is no moment of a reminder; expected {expected}", param, ctx)
        return tuple(moment for moment in MOMENTS if moment in words)


def plan_options(command: Any) -> Any:
    """The options that set what is planned, but the title and the time."""
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
        click.option("--remind", type=Reminders(), metavar="WHEN",
                     help="Tell registered leads by Telegram: 24h, 1h, 15m before, start; by commas, or none."),
        click.option("--tell-arrivals/--no-tell-arrivals", default=None,
                     help="Whether partners are told when their leads enter."),
        click.option("--texts", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
                     help="Telegram texts of this webinar's own, TOML or JSON: locale -> name -> text."),
    )  # fmt: skip


def split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state options, and the fields of a plan that the others set. Raises click.BadParameter."""
    flags = {name: options.pop(name) for name in ("redis_url", "data_dir")}
    if options.pop("tz") and not options["scheduled_at"]:
        raise click.UsageError("--tz is the zone of --at, which is missing")
    if options.get("texts"):
        options["texts"] = _texts_in(options["texts"])
    origins = options.pop("frame_origins", ())
    if NONE in origins and len(origins) > 1:
        raise click.BadParameter("none goes with no other origin", param_hint="--frame-origin")
    if origins:
        options["frame_origins"] = tuple(one for one in origins if one != NONE)
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
