"""`room-server outbox`: lists messages that were not sent; retries or discards them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import click

from room_server.clock import utc_now
from room_server.commands.common import (
    ID,
    counted,
    listed,
    load_room,
    state_options,
    webinar_argument,
    with_options,
    with_store,
)
from room_server.core.decision_types import Facts
from room_server.core.delivery import ENDED, RETRIABLE, Delivery, finish, restart
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.core.room import Room
from room_server.errors import UnreadableRecord
from room_server.state.bindings import with_chats
from room_server.state.outbox import FollowOn, Outbox, StoredDelivery
from room_server.state.redis.retry import deadline
from room_server.state.store import Store
from room_server.telegram import texts

BATCH = 128
"""Messages that are changed at once."""
DISCARDABLE = frozenset(DeliveryStatus) - {DeliveryStatus.SENT, DeliveryStatus.SENDING, DeliveryStatus.DRY_RUN}
Edit = Callable[[Delivery, Facts], Delivery | None]
"""Gives the new record of a message, or None to leave it as it is."""


@click.group()
def outbox() -> None:
    """List, retry or discard messages that were not sent.

    \b
    Examples:
      room-server outbox list
      room-server outbox retry launch --status parked
      room-server outbox discard launch --lead 42
    """


def _filter_options(command: Any) -> Any:
    return with_options(
        command,
        click.option("--lead", type=click.IntRange(min=1), help="Only of this lead."),
        click.option("--kind", type=click.Choice([kind.value for kind in MessageKind]), help="Only of this kind."),
        click.option(
            "--status", type=click.Choice([status.value for status in DeliveryStatus]), help="Only with this status."
        ),
    )


def _filter(options: dict[str, Any]) -> Callable[[Delivery], bool]:
    """Whether a delivery passes the filter options, which are taken out of `options`."""
    lead, kind, status = options.pop("lead"), options.pop("kind"), options.pop("status")

    def passes(delivery: Delivery) -> bool:
        return lead in {None, delivery.lead_id} and kind in {None, delivery.kind} and status in {None, delivery.status}

    return passes


@outbox.command(name="list")
@click.argument("webinar_id", metavar="[ID]", required=False, type=ID)
@click.option("--text", is_flag=True, help="Also what each message says.")
@click.option("--all", "everything", is_flag=True, help="Also what was sent.")
@_filter_options
@state_options
def list_(webinar_id: str | None, text: bool, everything: bool, **options: Any) -> None:
    """Messages that were not sent, of one webinar or of all, a line each.

    \b
    Examples:
      room-server outbox list
      room-server outbox list launch --status parked --text
    """
    everything = everything or options["status"] == DeliveryStatus.SENT
    passes = _filter(options)

    async def work(store: Store) -> None:
        if webinar_id:
            await load_room(store, webinar_id)
        ids = [webinar_id] if webinar_id else [room.webinar_id for room in await listed(store)]
        for one in ids:
            async for stored in Outbox(store).deliveries(one):
                if passes(stored.delivery) and (everything or stored.delivery.status is not DeliveryStatus.SENT):
                    click.echo(_line(one, stored.delivery))
                    if text:
                        click.echo(await _text(store, one, stored.delivery))

    with_store(options, work)


@outbox.command()
@webinar_argument
@click.option("--locale", type=click.Choice(texts.LOCALES), help="Only in this language.")
@state_options
def preview(webinar_id: str, locale: str | None, **flags: Any) -> None:
    """Show every message of a webinar as a lead would get it, with its HTML.

    \b
    Examples:
      room-server outbox preview launch
      room-server outbox preview launch --locale en
    """
    room: Room = with_store(flags, lambda store: load_room(store, webinar_id))
    for one in (locale,) if locale else texts.LOCALES:
        for name, text in texts.samples(room, one):
            click.echo(f"{one} {name}")
            click.echo("\n".join(f"    {line}" for line in text.splitlines()))


@outbox.command()
@webinar_argument
@_filter_options
@state_options
def retry(webinar_id: str, **options: Any) -> None:
    """Send parked, undeliverable, dry-run, opted-out and chatless messages on their way again, to the present chat.

    A parked message may have arrived before: Telegram cannot tell.

    \b
    Example:
      room-server outbox retry launch --status parked
    """
    _edit_all(webinar_id, options, _retried)


@outbox.command()
@webinar_argument
@_filter_options
@state_options
def discard(webinar_id: str, **options: Any) -> None:
    """Never send these messages; they end as undeliverable, discarded.

    \b
    Example:
      room-server outbox discard launch --lead 42
    """
    _edit_all(webinar_id, options, _discarded)


def _retried(delivery: Delivery, facts: Facts) -> Delivery | None:
    """The message as if it were new; None where it would end at once, as for a lead that still has no chat."""
    if delivery.status not in RETRIABLE or facts.room is None:
        return None
    again = restart(delivery, facts, utc_now())
    return None if again.status in ENDED else again


def _discarded(delivery: Delivery, _: Facts) -> Delivery | None:
    if delivery.status not in DISCARDABLE:
        return None
    return finish(delivery, DeliveryStatus.UNDELIVERABLE, "discarded", utc_now())


def _edit_all(webinar_id: str, options: dict[str, Any], edit: Edit) -> None:
    passes = _filter(options)

    async def work(store: Store) -> None:
        await load_room(store, webinar_id)
        results, batch = Counter[bool](), list[StoredDelivery]()
        async for stored in Outbox(store).deliveries(webinar_id):
            if passes(stored.delivery):
                batch.append(stored)
            if len(batch) == BATCH:
                results.update(await asyncio.gather(*(_edit_one(store, webinar_id, one, edit) for one in batch)))
                batch = []
        results.update(await asyncio.gather(*(_edit_one(store, webinar_id, one, edit) for one in batch)))
        async with deadline():  # waits until replicas have all changes, those of an earlier try included
            await store.call_replicated("EXISTS", store.keys.deliveries(webinar_id))
        click.echo(f"{counted(results[True], 'message')} changed, {results[False]} left as they are")

    with_store(options, work)


async def _edit_one(store: Store, webinar_id: str, stored: StoredDelivery, edit: Edit) -> bool:
    """Whether the message was changed: it was not if `edit` leaves it, or if a worker changed it first."""
    lead_id = stored.delivery.lead_id
    new = edit(stored.delivery, await with_chats(store, lead_id, await store.load(webinar_id, lead_id)))
    if new is None:
        return False
    then = FollowOn(wakes=new.status is DeliveryStatus.QUEUED)
    return await Outbox(store).update(webinar_id, stored, new, then) is not None


def _line(webinar_id: str, delivery: Delivery) -> str:
    at = f"{delivery.at:%Y-%m-%d %H:%M:%S}Z" if delivery.at else "-"
    doubts = f" (may have arrived {delivery.doubts} times)" if delivery.doubts else ""
    return (
        f"{webinar_id:<20} lead {delivery.lead_id:<10} {delivery.name:<14} {delivery.status:<14} {at:<21} "
        f"{delivery.error or ''}{doubts}"
    )


async def _text(store: Store, webinar_id: str, delivery: Delivery) -> str:
    """What a message says, indented; in brackets why that is unknown."""
    try:
        facts = await store.load(webinar_id, delivery.lead_id)
    except UnreadableRecord as refusal:
        return f"    ({refusal.detail})"
    if facts.room is None:
        return "    (the webinar is gone)"
    text = texts.compose(delivery, facts, utc_now(), "(the lead's personal link)")
    return "\n".join(f"    {line}" for line in text.splitlines())
