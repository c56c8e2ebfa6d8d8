"""The `room-server` command: its subcommands, and how errors are printed."""

import io
import os
import re
import sys
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import click

from room_server.commands import status
from room_server.commands.attendance import attendance
from room_server.commands.clone import clone
from room_server.commands.explain import explain
from room_server.commands.lead import lead
from room_server.commands.outbox import outbox
from room_server.commands.partner import partner
from room_server.commands.roster import roster
from room_server.commands.serve import demo, web, worker
from room_server.commands.site import site
from room_server.commands.telegram import telegram
from room_server.commands.token import token
from room_server.commands.webinar import webinar
from room_server.errors import RoomServerError

LAST_STANDARD = 2
"""The number of stderr."""
LONGEST_WORD = 300
"""Characters of one word that an error shows: more than any path or address that a person typed."""
_PASSWORD = re.compile(r"(//)[^@\s]*(?=@)|([?&]password=)[^&\s']*")
_CONTROL = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_WORD = re.compile(rf"(\S{{{LONGEST_WORD}}})\S+")


class RoomServer(click.Group):
    """Prints an error of the product as one message, with exit status 1; click's own usage errors have status 2."""

    def main(self, *args: Any, **more: Any) -> Any:
        """As click's, with three standard streams, on which any character can be printed."""
        _open_standard_streams()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand. Raises click.ClickException."""
        try:
            outcome = super().invoke(ctx)
            sys.stdout.flush()
        except click.ClickException as error:
            error.message = legible(error.message)  # type: ignore[misc] # click means: never by another attribute
            raise
        except RoomServerError as error:
            code = getattr(error, "code", None)
            raise click.ClickException(legible(f"{error} ({code})" if code else str(error))) from error
        except BrokenPipeError:
            raise  # the reader has left, as `| head` does; click ends without a word
        except OSError as error:
            with suppress(OSError):
                sys.stdout.close()  # else Python would try to write the rest once more
            raise click.ClickException(f"the output cannot be written: {error.strerror}") from error
        return outcome


def legible(message: str) -> str:
    """An error without what may be a password, control characters, and words without end."""
    message = _PASSWORD.sub(lambda found: f"{found[1] or found[2]}…", message)
    message = _CONTROL.sub(lambda found: repr(found[0])[1:-1], message)
    return _WORD.sub(r"\1…", message)


def _open_standard_streams() -> None:
    """Open the standard streams that are closed, on nothing; Python has set them to None.

    The next file or socket would get the number of a closed one, and with it what is printed.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= LAST_STANDARD:
        pass
    os.close(opened)
    for number, (name, mode) in enumerate([("stdin", "r"), ("stdout", "w"), ("stderr", "w")]):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


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


for command in (demo, web, worker, webinar, roster, attendance, outbox, telegram, site, lead, partner, token):
    main.add_command(command)
for command in (*status.COMMANDS, clone):
    webinar.add_command(command)
attendance.add_command(explain)
