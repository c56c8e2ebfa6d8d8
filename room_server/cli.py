"""The `room-server` command: its subcommands, and how errors are printed."""

from importlib.metadata import version
from typing import Any

import click

from room_server.commands import status
from room_server.commands.attendance import attendance
from room_server.commands.clone import clone
from room_server.commands.lead import lead
from room_server.commands.outbox import outbox
from room_server.commands.partner import partner
from room_server.commands.roster import roster
from room_server.commands.serve import demo, web, worker
from room_server.commands.site import site
from room_server.commands.token import token
from room_server.commands.webinar import webinar
from room_server.errors import RoomServerError


class RoomServer(click.Group):
    """Prints an error of the product as one message, with exit status 1; click's own usage errors have status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RoomServerError as error:
            code = getattr(error, "code", None)
            raise click.ClickException(f"{error} ({code})" if code else str(error)) from error


@click.group(
    cls=RoomServer,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(version("room-server"), prog_name="room-server")
def main() -> None:
    """Live webinar rooms: hooks come in, room states go out over read-only sockets.

    Settings are environment variables with the prefix ROOM_SERVER_; the README lists them. Without
    ROOM_SERVER_REDIS_URL everything runs on a private server in the folder .room-server.

    \b
    Examples:
      room-server demo
      room-server webinar create launch --title "Launch" --at 2030-11-22T18:00:00+03:00
      room-server token issue --role speaker --webinar launch
    """


for command in (demo, web, worker, webinar, roster, attendance, outbox, site, lead, partner, token):
    main.add_command(command)
for command in (*status.COMMANDS, clone):
    webinar.add_command(command)
