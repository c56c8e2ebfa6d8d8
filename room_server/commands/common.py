"""What the subcommands share: the state options, what an argument may be, running on an event loop."""

import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import click
import msgspec
import uvloop

from room_server import config
from room_server.config import Settings
from room_server.core.messages import Actor, Role, WebinarId
from room_server.core.room import PublicRoom
from room_server.state import webinars
from room_server.state.startup import open_state
from room_server.state.store import Store
from room_server.transactions import Transactions

Command = TypeVar("Command", bound=Callable[..., Any])
OPERATOR = Actor(role=Role.SYSTEM, subject="operator")


class Text(click.ParamType[str]):
    """A text that the field it is for may hold; `right` tells whoever said something else."""

    def __init__(self, name: str, kind: Any, right: str) -> None:
        self.name = name
        self._kind = kind
        self._right = right

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is."""
        try:
            text: str = msgspec.convert(value, self._kind)
        except msgspec.ValidationError:
            self.fail(f"{value!r} is not {self._right}", param, ctx)
        return text


ID = Text("ID", WebinarId, "a webinar id: 1-64 of A-Z a-z 0-9 _ -")


def webinar_argument(command: Command) -> Command:
    """The argument ID, as `webinar_id`."""
    return click.argument("webinar_id", metavar="ID", type=ID)(command)


def state_options(command: Command) -> Command:
    """`--redis-url` and `--data-dir`, which go before the environment."""
    for option in (
        click.option("--data-dir", metavar="DIR", help="The embedded server's folder [default: .room-server]."),
        click.option("--redis-url", metavar="URL", help="A Redis or Valkey instead of the embedded server."),
    ):
        command = option(command)
    return command


def settings(**flags: Any) -> Settings:
    """The settings, flags first; a word on stderr for what is most likely a mistake. Raises ConfigurationError."""
    made = config.load(os.environ, **flags)
    for warning in config.warnings(os.environ):
        click.echo(f"warning: {warning}", err=True)
    return made


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run `work` to its end."""
    return uvloop.run(work)


async def listed(store: Store) -> list[PublicRoom]:
    """The webinars, the latest first; a word on stderr when some are missing. Raises StateUnavailable."""
    rooms = await webinars.latest(store)
    if store.unavailable:
        many = f"{len(store.unavailable)} of {len(store.keys.tags)} partitions do not answer"
        click.echo(f"warning: {many}; their webinars are missing here", err=True)
    return rooms


def with_transactions(flags: dict[str, Any], work: Callable[[Transactions], Awaitable[Any]]) -> Any:
    """Open the state, do `work` that writes, close it."""
    made = settings(**flags)

    async def opened() -> Any:
        async with open_state(made) as state:
            return await work(Transactions(state.store, made.evaluation_grace))

    return run(opened())


def with_store(flags: dict[str, Any], work: Callable[[Store], Awaitable[Any]]) -> Any:
    """Open the state, do `work`, close it."""
    made = settings(**flags)

    async def opened() -> Any:
        async with open_state(made) as state:
            return await work(state.store)

    return run(opened())
