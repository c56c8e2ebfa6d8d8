"""`room-server telegram`: tries whether the bot can write to a chat."""

import re
from typing import Any

import click
import msgspec

from room_server.commands.common import run, settings, state_options
from room_server.config import PREFIX, Settings
from room_server.core.delivery import Outcome
from room_server.core.room import ChatId
from room_server.telegram import texts
from room_server.telegram.sender import open_sender

SECONDS = 10.0
"""How long the answer may take."""


class Chat(click.ParamType[int]):
    """A chat id. The id of a group begins with a minus, as options do."""

    name = "CHAT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if re.match(r"-[^0-9]", text):
            raise click.NoSuchOption(text.partition("=")[0], ctx=ctx)
        try:
            if not re.fullmatch(r"-?[0-9]+", text):
                raise ValueError
            number: int = msgspec.convert(text, ChatId, strict=False)
        except ValueError:  # msgspec's errors of validation are ValueErrors
            self.fail(f"{value!r} is no Telegram chat id, a whole number", param, ctx)
        return number


@click.group()
def telegram() -> None:
    """Try the bot.

    \b
    Example:
      room-server telegram test 4242
    """


@telegram.command(context_settings={"ignore_unknown_options": True})
@click.argument("chat_id", metavar="CHAT", type=Chat())
@click.option("--locale", type=click.Choice(texts.LOCALES), default="ru", show_default=True)
@state_options
def test(chat_id: int, locale: str, **flags: Any) -> None:
    """Send one message to a chat, and say what came of it. The id of a group is negative.

    It goes out at once: nothing is stored, and the pace of other messages does not count it. Without a
    token it is shown.

    \b
    Examples:
      room-server telegram test 4242
      room-server telegram test -100123456789 --locale en
    """
    made = settings(**flags)
    text = texts.words(locale)["test"].strip()
    if not made.telegram_token:
        click.echo(f"nothing was sent, since {PREFIX}TELEGRAM_TOKEN is not set; it would say\n    {text}")
        return
    outcome: Outcome = run(_send(made, chat_id, text))
    if outcome.kind != "sent":
        raise click.ClickException(f"the message to {chat_id} was not confirmed: {outcome.kind} {outcome.error or ''}")
    click.echo(f"Telegram has taken the message to {chat_id}")


async def _send(made: Settings, chat_id: int, text: str) -> Outcome:
    async with open_sender(made) as sender:
        return await sender.send(chat_id, text, SECONDS)
