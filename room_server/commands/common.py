"""What the subcommands share: the state options, running on an event loop, errors as one clear line."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from room_server import config
from room_server.config import Settings
from room_server.core.messages import Actor, Role
from room_server.errors import RoomServerError
from room_server.state.opening import open_state
from room_server.state.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])
OPERATOR = Actor(role=Role.SYSTEM, subject="operator")


def state_options(command: Command) -> Command:
    """`--redis-url` and `--data-dir`, which go before the environment."""
    for option in (
        click.option("--data-dir", metavar="DIR", help="The embedded server's folder [default: .room-server]."),
        click.option("--redis-url", metavar="URL", help="A Redis or Valkey instead of the embedded server."),
    ):
        command = option(command)
    return command


def settings(**flags: Any) -> Settings:
    """The settings, flags first; a word on stderr for each variable that means nothing. Raises ClickException."""
    for name in config.unknown_settings(os.environ):
        click.echo(f"warning: {name} is no setting of room-server", err=True)
    try:
        return config.load(os.environ, **flags)
    except RoomServerError as error:
        raise click.ClickException(str(error)) from error


def run(work: Awaitable[Any]) -> Any:
    """Run `work`; what the product refuses becomes an error message and exit status 1."""

    async def awaited() -> Any:
        return await work

    try:
        return asyncio.run(awaited())
    except RoomServerError as error:
        code = getattr(error, "code", None)
        raise click.ClickException(f"{error} ({code})" if code else str(error)) from error


def with_store(flags: dict[str, Any], work: Callable[[Store], Awaitable[Any]]) -> Any:
    """Open the state, do `work`, close it."""
    made = settings(**flags)

    async def opened() -> Any:
        async with open_state(made) as state:
            return await work(state.store)

    return run(opened())
