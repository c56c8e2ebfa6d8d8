"""`room-server lead`: deletes what is stored of a lead."""

import click

from room_server.commands.common import ID, run, settings, state_options
from room_server.core.messages import MAX_LEAD_ID
from room_server.jobs import erasure
from room_server.jobs.erasure import Forgotten, KnownIn
from room_server.state.startup import open_state


@click.group()
def lead() -> None:
    """Delete a person's data.

    \b
    Examples:
      room-server lead forget 42
      room-server lead forget 42 --webinar launch --yes
    """


@lead.command()
@click.argument("lead_id", metavar="N", type=click.IntRange(1, MAX_LEAD_ID))
@click.option("--webinar", "webinar_id", type=ID, help="Only in this webinar.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@state_options
def forget(lead_id: int, webinar_id: str | None, yes: bool, **flags: str | None) -> None:
    """Delete all that is stored of lead N: roster entries, attendance, messages, events.

    Messages on their way are not sent any more. For a day imports leave the lead out, and say so. It is refused while a
    webinar that knows the lead is live or paused. A link that the lead holds stays valid until it expires; whoever
    enters with it is stored anew.

    \b
    Examples:
      room-server lead forget 42
      room-server lead forget 42 --webinar launch --yes
    """
    made = settings(**flags)

    async def work() -> None:
        async with open_state(made) as state:
            if not yes:
                found = await erasure.webinars_of(state.store, lead_id, webinar_id)
                click.confirm(_question(lead_id, found), abort=True, err=True)
            click.echo(_report(lead_id, await erasure.forget(state.store, lead_id, webinar_id)))
            click.echo(f"for a day imports {f'into {webinar_id} ' if webinar_id else ''}leave lead {lead_id} out")

    run(work())


def _question(lead_id: int, found: list[KnownIn]) -> str:
    known = ", ".join(webinar.webinar_id for webinar in found) or "no webinar, but may be named by events"
    return f"lead {lead_id} is known to {known}; delete all of it for good?"


def _report(lead_id: int, forgotten: Forgotten) -> str:
    if not any(forgotten):
        return f"nothing is stored of lead {lead_id}"
    entries, participations, messages, events = forgotten
    return (
        f"lead {lead_id} is forgotten; deleted: roster entries {entries}, participations {participations}, "
        f"messages {messages}, events {events}"
    )
