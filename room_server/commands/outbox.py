"""`room-server outbox …`: messages that were not sent, for a person to decide on."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import click

from room_server.clock import utc_now
from room_server.commands.common import state_options, with_store
from room_server.core.delivery import ENDED, RETRIABLE, Delivery, give_up, release
from room_server.core.facts import Facts
from room_server.core.messages import Fate, Kind
from room_server.core.room import RosterEntry
from room_server.state import catalogue
from room_server.state.outbox import Held, Next, Outbox
from room_server.state.store import Store
from room_server.telegram import texts

DISCARDABLE = frozenset(Fate) - {Fate.SENT, Fate.SENDING, Fate.DRY_RUN}


@click.group()
def outbox() -> None:
    """List, retry or discard messages that were not sent.

    \b
    Examples:
      room-server outbox list
      room-server outbox retry launch --status parked
      room-server outbox discard launch --lead 42
    """


def _chosen(command: Any) -> Any:
    for option in (
        click.option("--status", type=click.Choice([fate.value for fate in Fate]), help="Only with this status."),
        click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only of this kind."),
        click.option("--lead", type=click.IntRange(min=1), help="Only of this lead."),
    ):
        command = option(command)
    return command


@outbox.command(name="list")
@click.argument("webinar_id", metavar="[ID]", required=False)
@click.option("--text", is_flag=True, help="Also what each message says.")
@click.option("--all", "everything", is_flag=True, help="Also what was sent.")
@_chosen
@state_options
def list_(webinar_id: str | None, text: bool, everything: bool, **rest: Any) -> None:
    """Messages that were not sent, of one webinar or of all, a line each."""
    wanted = _filter(rest)

    async def work(store: Store) -> None:
        ids = [webinar_id] if webinar_id else [room.webinar_id for room in await catalogue.latest(store)]
        for one in ids:
            async for held in _found(store, one, wanted):
                if everything or held.delivery.status is not Fate.SENT:
                    click.echo(_line(one, held.delivery))
                    if text:
                        click.echo(await _said(store, one, held.delivery))

    with_store(rest, work)


@outbox.command()
@click.argument("webinar_id", metavar="ID")
@_chosen
@state_options
def retry(webinar_id: str, **rest: Any) -> None:
    """Send parked, undeliverable, dry-run and chatless messages on their way again, to where the roster says now.

    A parked message may have arrived before: Telegram cannot tell.
    """
    _change(webinar_id, rest, lambda delivery, facts: _retried(delivery, facts.entry))


@outbox.command()
@click.argument("webinar_id", metavar="ID")
@_chosen
@state_options
def discard(webinar_id: str, **rest: Any) -> None:
    """Never send these messages; they end as undeliverable, discarded."""

    def discarded(delivery: Delivery, _: Facts) -> Delivery | None:
        return give_up(delivery, "discarded", utc_now()) if delivery.status in DISCARDABLE else None

    _change(webinar_id, rest, discarded)


def _retried(delivery: Delivery, entry: RosterEntry | None) -> Delivery | None:
    if delivery.status not in RETRIABLE:
        return None
    if entry is None:
        return release(delivery, delivery.chat_id, utc_now())
    chat_id = entry.partner_chat_id if delivery.kind is Kind.ATTENDANCE else entry.candidate_chat_id
    return release(delivery, chat_id, utc_now())


def _change(webinar_id: str, rest: dict[str, Any], change: Callable[[Delivery, Facts], Delivery | None]) -> None:
    wanted = _filter(rest)

    async def work(store: Store) -> None:
        changed = 0
        async for held in _found(store, webinar_id, wanted):
            new = change(held.delivery, await store.load(webinar_id, held.delivery.lead_id))
            if new is not None:
                then = Next(wakes=new.status not in ENDED)
                changed += await Outbox(store).record(webinar_id, held, new, then) is not None
        click.echo(f"{changed} messages changed")

    with_store(rest, work)


def _filter(rest: dict[str, Any]) -> Callable[[Delivery], bool]:
    lead, kind, status = rest.pop("lead"), rest.pop("kind"), rest.pop("status")

    def wanted(delivery: Delivery) -> bool:
        return lead in {None, delivery.lead_id} and kind in {None, delivery.kind} and status in {None, delivery.status}

    return wanted


async def _found(store: Store, webinar_id: str, wanted: Callable[[Delivery], bool]) -> AsyncIterator[Held]:
    async for held in Outbox(store).deliveries(webinar_id):
        if wanted(held.delivery):
            yield held


def _line(webinar_id: str, delivery: Delivery) -> str:
    at = f"{delivery.at:%Y-%m-%d %H:%M:%S}Z" if delivery.at else "-"
    doubts = f" (may have arrived {delivery.doubts} times)" if delivery.doubts else ""
    return (
        f"{webinar_id:<20} lead {delivery.lead_id:<10} {delivery.kind:<11} {delivery.status:<14} {at:<21} "
        f"{delivery.error or ''}{doubts}"
    )


async def _said(store: Store, webinar_id: str, delivery: Delivery) -> str:
    facts = await store.load(webinar_id, delivery.lead_id)
    if facts.room is None:
        return "    (the webinar is gone)"
    text = texts.compose(delivery, facts.room, texts.name_of(facts))
    return "\n".join(f"    {line}" for line in text.splitlines())
