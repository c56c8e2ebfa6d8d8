"""`room-server token`: signs tokens."""

import re
import sys
from typing import Annotated, Any

import click
from msgspec import Meta

from room_server import auth
from room_server.commands.common import ID, Text, settings, state_options
from room_server.core.messages import MAX_LEAD_ID, Role
from room_server.token_secret import with_token_secret

SUBJECT = Text("TEXT", Annotated[str, Meta(min_length=1, max_length=200)], "a subject of 1 to 200 characters")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Span(click.ParamType[int]):
    """A number of seconds, minutes, hours or days (90s, 15m, 12h, 7d), converted to seconds."""

    name = "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", value)
        if not found:
            self.fail(f"{value!r} is no span; write 90s, 15m, 12h or 7d", param, ctx)
        return int(found[1]) * UNITS[found[2]]


class Scope(click.ParamType[str]):
    """The webinar id of a token; `*` for all webinars."""

    name = "SCOPE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return "*" if value == "*" else ID.convert(value, param, ctx)


@click.group()
def token() -> None:
    """Sign tokens with the first of ROOM_SERVER_TOKEN_SECRET.

    \b
    Example:
      room-server token issue --role speaker --webinar launch
    """


@token.command()
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option("--webinar", "webinar_id", required=True, type=Scope(), metavar="ID|*",
              help="The webinar it is for; '*' for all.")  # fmt: skip
@click.option("--lead", type=click.IntRange(1, MAX_LEAD_ID), help="The attendee's lead id.")
@click.option("--subject", type=SUBJECT, help="Who it is, if no attendee [default: somebody new].")
@click.option("--ttl", type=Span(), default="12h", show_default=True, help="How long it holds: 90s, 15m, 12h, 7d.")
@click.option("--read-only", is_flag=True, help="It reads what the role may read, and starts or stops nothing.")
@state_options
def issue(role: str, webinar_id: str, ttl: int, **rest: Any) -> None:
    """Print a token, and nothing else; to a person who asks for an organizer's, on stderr also the report's link.

    Limits per person count a role and a subject: tokens with the same --lead or --subject are one person, and without
    either each token is a person of its own.

    \b
    Examples:
      room-server token issue --role speaker --webinar launch
      room-server token issue --role attendee --webinar launch --lead 42 --ttl 7d
      room-server token issue --role organizer --webinar launch --read-only --ttl 30d
    """
    lead, subject, read_only = rest.pop("lead"), rest.pop("subject"), rest.pop("read_only")
    if role == Role.ATTENDEE and (lead is None or subject is not None):
        raise click.UsageError("an attendee's token names its lead: --lead N, and no --subject")
    if role != Role.ATTENDEE and lead is not None:
        raise click.UsageError(f"--lead is for attendees; a {role} has a --subject")
    named = subject if lead is None else str(lead)
    claims = {"sub": auth.new_subject(role) if named is None else named, "role": role, "webinar_id": webinar_id}
    if read_only:
        claims["read_only"] = True
    made = with_token_secret(settings(**rest))
    signed = auth.issue(made, claims, ttl)
    click.echo(signed)
    if role == Role.ORGANIZER and webinar_id != "*" and sys.stdout.isatty():
        address = made.public_url or "https://rooms.example.org"
        click.echo(f"the report opens at {address}/report/{webinar_id}#token={signed}", err=True)
        if not read_only:
            click.echo("whoever has this link can start and stop the webinar; --read-only makes one to show", err=True)
