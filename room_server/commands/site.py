"""`room-server site`: how far the site's events are; retry, skip, test."""

import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any

import click
import msgspec

from room_server.commands.common import counted, run, settings, state_options, with_store
from room_server.commands.site_status import event_id_of, facts_of, line_of, were
from room_server.core.site_delivery import Answer, AnswerKind, Receiver
from room_server.errors import ConfigurationError, StateUnavailable
from room_server.site.batch import batch_of
from room_server.site.client import Client, open_client
from room_server.state import site_operations
from room_server.state.site_events import PartitionStanding, StreamEntry, parked_events, standing_in, standings
from room_server.state.store import Store

TRIES = 8
"""How often a receiver is switched on while a worker changes its progress."""
HINTS = {
    "HTTP 401": "is ROOM_SERVER_SITE_EVENTS_SECRET the same there?",
    "HTTP 403": "is ROOM_SERVER_SITE_EVENTS_SECRET the same there, and does a firewall let it through?",
    "HTTP 404": "is the address right, and is the receiver there switched on?",
    "HTTP 3": "redirects are not followed: set the address that it leads to",
    "HTTP 200, a page of HTML": "a receiver answers without a page: is the address right?",
    "ConnectError": "is the address right, and can this machine reach it?",
}
"""What to look at, by the beginning of an answer."""
IN_USE = "not forgotten: a worker that runs has it in ROOM_SERVER_SITE_EVENTS_URL"


@click.group()
def site() -> None:
    """Events to the site: how far each receiver is, what waits, what was refused.

    \b
    Examples:
      room-server site status
      room-server site test
      room-server site retry
    """


@site.command()
@click.option("--json", "as_json", is_flag=True, help="For a program: a list, an object for each line.")
@state_options
def status(as_json: bool, **flags: Any) -> None:
    """A line for each receiver and partition, and one for each event that is parked.

    \b
    Examples:
      room-server site status
      room-server site status --json
    """

    async def work(store: Store) -> None:
        found = await standings(store)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode([facts_of(one) for one in found])).decode())
            return
        for one in found:
            click.echo(line_of(one, len(store.keys.tags)))
            for entry, why in await parked_events(store, one.tag, one.receiver):
                click.echo(f"  parked: {event_id_of(entry)} ({why.answer})")
        if not found:
            click.echo("no receiver has a place: a worker with ROOM_SERVER_SITE_EVENTS_URL gives it one")

    with_store(flags, work)


@site.command()
@click.argument("url", required=False)
@state_options
def retry(url: str | None, **flags: Any) -> None:
    """Switch receivers on again, wait no longer, and send what is parked once more.

    \b
    Examples:
      room-server site retry
      room-server site retry https://site.example/room-events
    """

    async def one(store: Store, standing: PartitionStanding) -> str:
        return f"on, and tried at once; sent again: {await _retry(store, standing)} parked"

    _for_each(url, flags, one)


@site.command()
@click.argument("url", required=False)
@click.option("--event", "event_id", metavar="ID", help="Only this parked event.")
@click.option("--waiting", is_flag=True, help="Also all that waits: only what comes from now on is sent.")
@click.option("--forget", is_flag=True, help="Forget receivers that no worker has in its settings.")
@state_options
def skip(url: str | None, event_id: str | None, waiting: bool, forget: bool, **flags: Any) -> None:
    """Never send the events that are parked.

    \b
    Examples:
      room-server site skip
      room-server site skip --event post_webinar_route:launch:42
    """
    if event_id and (waiting or forget):
        raise click.UsageError("--event is for one event alone")

    async def one(store: Store, standing: PartitionStanding) -> str:
        if forget:
            if await site_operations.is_in_use(store, standing):
                if url:
                    raise click.ClickException(f"{standing.progress.url}: {IN_USE}")
                return IN_USE
            await site_operations.remove(store, standing)
            return f"forgotten; {counted(standing.lag, 'event')} waited, {were(standing.parked)} parked"
        parked = [entry for entry, _ in await parked_events(store, standing.tag, standing.receiver)]
        chosen = [entry.id for entry in parked if event_id in {None, event_id_of(entry)}]
        dropped = await site_operations.drop_parked(store, standing, chosen)
        left_out = f" and {await site_operations.skip_waiting(store, standing)} waiting" if waiting else ""
        return f"never sent: {dropped} parked{left_out}"

    _for_each(url, flags, one)


@site.command()
@click.argument("url", required=False)
@state_options
def test(url: str | None, **flags: Any) -> None:
    """Send one signed event, `core_site_checked`, to the receivers in the settings now, and say what they answer.

    \b
    Example:
      room-server site test
    """
    made = settings(**flags)
    known = {Receiver.of(one): one for one in made.site_urls()}
    chosen = {known[receiver] for receiver in _matching(url, list(known))}
    if not chosen:
        raise ConfigurationError("ROOM_SERVER_SITE_EVENTS_URL is not set: there is nobody to send to")

    async def work() -> bool:
        answers = []
        for one in sorted(chosen):
            async with open_client(one, made.site_secrets()) as client:
                answers.append(await _test(client))
        return all(answers)

    if not run(work()):
        raise SystemExit(1)


async def _test(client: Client) -> bool:
    """Send the event, and print the outcome; whether it was taken."""
    nonce = secrets.token_urlsafe(12)
    fields = {
        b"hook": b"core_site_checked",
        b"payload": msgspec.json.encode({"nonce": nonce}),
        b"actor": b'{"role":"system","subject":"operator"}',
        b"id": f"core_site_checked:{nonce}".encode(),
    }
    began = time.monotonic()
    answer = await client.post(batch_of(client.receiver, [StreamEntry(f"{time.time_ns() // 10**6}-0", fields)], 1))
    click.echo(_sentence(client.receiver, answer, time.monotonic() - began))
    return answer.kind is AnswerKind.TAKEN


def _sentence(receiver: Receiver, answer: Answer, seconds: float) -> str:
    if answer.kind is AnswerKind.TAKEN:
        return f"{receiver.url} takes events: {answer.words}, after {seconds:.1f} s"
    hint = next((f"; {text}" for begin, text in HINTS.items() if answer.words.startswith(begin)), "")
    return f"{receiver.url} does not take events: {answer.words}{hint}"


def _for_each(
    url: str | None,
    flags: dict[str, Any],
    act: Callable[[Store, PartitionStanding], Coroutine[Any, Any, str]],
) -> None:
    """Do it for the receivers that `url` means, in every partition; print what it gives, a line each."""

    async def work(store: Store) -> None:
        found = await standings(store)
        receivers = {Receiver(one.receiver, one.progress.url, one.progress.label) for one in found}
        chosen = {receiver.id for receiver in _matching(url, sorted(receivers))}
        for one in found:
            if one.receiver in chosen:
                place = f" [{one.tag}]" if len(store.keys.tags) > 1 else ""
                click.echo(f"{one.progress.url}{place}: {await act(store, one)}")
        if not found:
            click.echo("no receiver has a place: there is nothing to do")

    with_store(flags, work)


def _matching(url: str | None, known: list[Receiver]) -> list[Receiver]:
    """The receivers that a URL, or a label, means; all of them without one."""
    if url is None:
        return known
    found = [
        receiver for receiver in known if url in {receiver.url, receiver.label} or receiver.id == Receiver.of(url).id
    ]
    if not found:
        names = ", ".join(receiver.url for receiver in known) or "none"
        raise click.ClickException(f"no receiver has this URL; known: {names}")
    return found


async def _retry(store: Store, standing: PartitionStanding) -> int:
    current: PartitionStanding | None = standing
    for _ in range(TRIES):
        if current is None:
            return 0  # forgotten meanwhile
        again = await site_operations.retry(store, current)
        if again is not None:
            return again
        found = await standing_in(store, current.tag)
        current = next((one for one in found if one.receiver == standing.receiver), None)
    raise StateUnavailable(f"a worker changes the progress of {standing.progress.label} all the time; try again")
