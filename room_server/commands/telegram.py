"""`room-server telegram`: tries whether the bot can write to a chat."""

from typing import Any

import click

from room_server.commands.common import run, settings, state_options
from room_server.config import PREFIX, Settings
from room_server.core.delivery import Outcome
from room_server.core.room import ChatId
from room_server.telegram import texts
from room_server.telegram.sender import open_sender

SECONDS = 10.0
"""How long the answer may take."""
MOST = 2**52
"""The largest chat id (core.room, ChatId)."""


@click.group()
def telegram() -> None:
    """Try the bot.

    \b
    Example:
      room-server telegram test 4242
    """


@telegram.command(context_settings={"ignore_unknown_options": True})
@click.argument("chat_id", metavar="CHAT", type=click.IntRange(-MOST, MOST))
@click.option("--locale", type=click.Choice(texts.LOCALES), default="ru", show_default=True)
@state_options
def test(chat_id: ChatId, locale: str, **flags: Any) -> None:
    """Send one message to a chat, and say what came of it. The id of a group is negative.

    It goes out at once: nothing is stored, and the pace of other messages does not count it.

    \b
    Examples:
      room-server telegram test 4242
      room-server telegram test -100123456789 --locale en
    """
    made = settings(**flags)
    if not made.telegram_token:
        raise click.ClickException(f"{PREFIX}TELEGRAM_TOKEN is not set: there is no bot to send by")
    outcome: Outcome = run(_send(made, chat_id, texts.words(locale)["test"].strip()))
    if outcome.kind != "sent":
        raise click.ClickException(f"the message to {chat_id} was not confirmed: {outcome.kind} {outcome.error or ''}")
    click.echo(f"Telegram has taken the message to {chat_id}")


async def _send(made: Settings, chat_id: int, text: str) -> Outcome:
    async with open_sender(made) as sender:
        return await sender.send(chat_id, text, SECONDS)
