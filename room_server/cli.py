"""The `room-server` command."""

from importlib.metadata import version

import click

from room_server.commands.roster import roster
from room_server.commands.running import demo, web
from room_server.commands.token import token
from room_server.commands.webinar import webinar


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("room-server"), prog_name="room-server")
def main() -> None:
    """Live webinar rooms: hooks come in, room states go out over read-only sockets.

    Settings are environment variables with the prefix ROOM_SERVER_; the README lists them. Without
    ROOM_SERVER_REDIS_URL everything runs on a private server in the folder .room-server.

    \b
    Examples:
      room-server demo
      room-server webinar create launch --title "Launch" --at 2026-11-22T18:00:00+03:00
      room-server token issue --role speaker --webinar launch
    """


for command in (demo, web, webinar, roster, token):
    main.add_command(command)
