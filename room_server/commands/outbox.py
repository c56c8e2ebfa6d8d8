"""`room-server outbox …`: messages that were not sent, for a person to decide on."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from room_server.clock import utc_now
from room_server.commands.common import ID, listed, state_options, webinar_argument, with_store
from room_server.core.decision_types import Facts
from room_server.core.delivery import ENDED, RETRIABLE, Delivery, finish, restart
from room_server.core.messages import DeliveryStatus, MessageKind
from room_server.errors import UnreadableRecord, webinar_unknown
from room_server.state.outbox import FollowOn, Outbox, StoredDelivery
from room_server.state.redis.retry import deadline
from room_server.state.store import Store
from room_server.telegram import texts

TOGETHER = 128
"""Messages that are changed at once."""
DISCARDABLE = frozenset(DeliveryStatus) - {DeliveryStatus.SENT, DeliveryStatus.SENDING, DeliveryStatus.DRY_RUN}
Edit = Callable[[Delivery, Facts], Delivery | None]
"""The message as it is to be; None leaves it."""


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
        click.option(
            "--status", type=click.Choice([fate.value for fate in DeliveryStatus]), help="Only with this status."
        ),
        click.option("--kind", type=click.Choice([kind.value for kind in MessageKind]), help="Only of this kind."),
        click.option("--lead", type=click.IntRange(min=1), help="Only of this lead."),
    ):
        command = option(command)
    return command


@outbox.command(name="list")
@click.argument("webinar_id", metavar="[ID]", required=False, type=ID)
@click.option("--text", is_flag=True, help="Also what each message says.")
@click.option("--all", "everything", is_flag=True, help="Also what was sent.")
@_chosen
@state_options
def list_(webinar_id: str | None, text: bool, everything: bool, **rest: Any) -> None:
    """Messages that were not sent, of one webinar or of all, a line each.

    \b
    Examples:
      room-server outbox list
      room-server outbox list launch --status parked --text
    """
    everything = everything or rest["status"] == DeliveryStatus.SENT
    narrowed = any(rest[name] for name in ("lead", "kind", "status"))
    wanted = _filter(rest)

    async def work(store: Store) -> None:
        if webinar_id:
            await _check_exists(store, webinar_id)
        ids = [webinar_id] if webinar_id else [room.webinar_id for room in await listed(store)]
        for one in ids:
            async for held in Outbox(store).deliveries(one):
                if wanted(held.delivery) and (everything or held.delivery.status is not DeliveryStatus.SENT):
                    click.echo(_line(one, held.delivery))
                    if text:
                        click.echo(await _said(store, one, held.delivery))
        if not narrowed:
            await _show_poison(store, webinar_id)

    with_store(rest, work)


async def _show_poison(store: Store, webinar_id: str | None) -> None:
    async for poison in Outbox(store).poison():
        if webinar_id in {None, poison.webinar_id}:
            what = f"{poison.webinar_id!r} {poison.field!r}: {poison.error}"
            click.echo(f"unreadable since {_moment(poison.at)}: {what}")


@outbox.command()
@webinar_argument
@_chosen
@state_options
def retry(webinar_id: str, **rest: Any) -> None:
    """Send parked, undeliverable, dry-run and chatless messages on their way again, to where the roster says now.

    A parked message may have arrived before: Telegram cannot tell.

    \b
    Example:
      room-server outbox retry launch --status parked
    """
    _change(webinar_id, rest, _retried)


@outbox.command()
@webinar_argument
@_chosen
@state_options
def discard(webinar_id: str, **rest: Any) -> None:
    """Never send these messages; they end as undeliverable, discarded.

    \b
    Example:
      room-server outbox discard launch --lead 42
    """
    _change(webinar_id, rest, _discarded)


def _retried(delivery: Delivery, facts: Facts) -> Delivery | None:
    """As it begins anew; None where it would end at once, as for a lead that has no chat still."""
    if delivery.status not in RETRIABLE or facts.room is None:
        return None
    again = restart(delivery, facts.recording, facts.entry, utc_now())
    return None if again.status in ENDED else again


def _discarded(delivery: Delivery, _: Facts) -> Delivery | None:
    if delivery.status not in DISCARDABLE:
        return None
    return finish(delivery, DeliveryStatus.UNDELIVERABLE, "discarded", utc_now())


def _change(webinar_id: str, rest: dict[str, Any], change: Edit) -> None:
    wanted = _filter(rest)

    async def work(store: Store) -> None:
        await _check_exists(store, webinar_id)
        changed, batch = Counter[bool](), list[StoredDelivery]()
        async for held in Outbox(store).deliveries(webinar_id):
            if wanted(held.delivery):
                batch.append(held)
            if len(batch) == TOGETHER:
                changed.update(await asyncio.gather(*(_record(store, webinar_id, held, change) for held in batch)))
                batch = []
        changed.update(await asyncio.gather(*(_record(store, webinar_id, held, change) for held in batch)))
        async with deadline():  # what is left as it is may have been changed by an earlier try: replicas must have it
            await store.call_replicated("EXISTS", store.keys.deliveries(webinar_id))
        click.echo(f"{changed[True]} messages changed, {changed[False]} left as they are")

    with_store(rest, work)


async def _record(store: Store, webinar_id: str, held: StoredDelivery, change: Edit) -> bool:
    """Whether the message was changed: nothing had to be, or a sender was faster, if not."""
    new = change(held.delivery, await store.load(webinar_id, held.delivery.lead_id))
    if new is None:
        return False
    return (
        await Outbox(store).update(webinar_id, held, new, FollowOn(wakes=new.status is DeliveryStatus.QUEUED))
        is not None
    )


async def _check_exists(store: Store, webinar_id: str) -> None:
    if (await store.load(webinar_id)).room is None:
        raise webinar_unknown(webinar_id)


def _filter(rest: dict[str, Any]) -> Callable[[Delivery], bool]:
    lead, kind, status = rest.pop("lead"), rest.pop("kind"), rest.pop("status")

    def wanted(delivery: Delivery) -> bool:
        return lead in {None, delivery.lead_id} and kind in {None, delivery.kind} and status in {None, delivery.status}

    return wanted


def _line(webinar_id: str, delivery: Delivery) -> str:
    at = _moment(delivery.at) if delivery.at else "-"
    doubts = f" (may have arrived {delivery.doubts} times)" if delivery.doubts else ""
    return (
        f"{webinar_id:<20} lead {delivery.lead_id:<10} {delivery.kind:<11} {delivery.status:<14} {at:<21} "
        f"{delivery.error or ''}{doubts}"
    )


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


async def _said(store: Store, webinar_id: str, delivery: Delivery) -> str:
    try:
        facts = await store.load(webinar_id, delivery.lead_id)
    except UnreadableRecord as refusal:
        return f"    ({refusal.detail})"
    if facts.room is None:
        return "    (the webinar is gone)"
    text = texts.compose(delivery, facts.room, facts)
    return "\n".join(f"    {line}" for line in text.splitlines())
