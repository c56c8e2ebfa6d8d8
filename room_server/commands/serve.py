"""`room-server web`, `worker`, `demo`: the processes that stay."""

import contextlib
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import click
import uvicorn

from room_server import demo as demos
from room_server import process
from room_server.app import create_app
from room_server.auth import Authenticator
from room_server.channels.drain import ended_at_once
from room_server.commands.common import Command, run, settings, state_options
from room_server.commands.web_workers import CANNOT_START, run_workers
from room_server.config import PREFIX, Settings
from room_server.errors import RoomServerError
from room_server.protocols.bounded_http import bind, uvicorn_config
from room_server.state.startup import State, wait_for_state
from room_server.state.store import Store
from room_server.telemetry import logs, tracing
from room_server.token_secret import with_token_secret
from room_server.transactions import Transactions
from room_server.worker import working_beside

Preparation = Callable[[Store], Awaitable[None]]
Beside = Callable[[Settings, State], contextlib.AbstractAsyncContextManager[None]]
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a browser here opens instead


class Port(click.ParamType[int]):
    """A TCP port; 0 takes any that is free."""

    name = "PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        if not re.fullmatch(r"[0-9]{1,5}", str(value)) or int(value) >= 2**16:
            self.fail(f"{value!r} is no port from 0 to 65535 (--port goes before the environment's PORT)", param, ctx)
        return int(value)


def listen_options(command: Command) -> Command:
    """`--host` and `--port`."""
    for option in (
        click.option("--port", type=Port(), default=8000, show_default=True, envvar="PORT", show_envvar=True,
                     help="0 takes any that is free."),
        click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 for all."),
    ):  # fmt: skip
        command = option(command)
    return command


class Server(uvicorn.Server):
    """A server at `bound`, which lets callers in once it can serve them, and then says so."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket) -> None:
        super().__init__(config)
        self._bound = bound

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's. Raises click.ClickException when somebody else has begun to listen there meanwhile."""
        with _named(*self._bound.getsockname()[:2]):
            await super().startup(sockets)
        if self.started:
            process.freeze_garbage_collector()
            click.echo(f"ready {address_of(self._bound)}")


def address_of(bound: socket.socket) -> str:
    """What to open in a browser on this machine."""
    host, port = bound.getsockname()[:2]
    host = ANYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(host: str, port: int) -> socket.socket:
    """The address, taken before anything else is started; who calls before it is listened at is turned away at once."""
    with _named(host, port):
        return bind(host, port)


@contextlib.contextmanager
def _named(host: str, port: int) -> Iterator[None]:
    """An OSError of the block as one sentence that names the address."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"port {port} of {host} cannot be had: {error.strerror}; try --port") from error


def _settings(flags: dict[str, Any]) -> Settings:
    """Settings that a server can run with. Raises ConfigurationError."""
    made = with_token_secret(settings(**flags))
    Authenticator(made)  # a key that cannot be read is found out here, not by the first caller
    logs.configure(made.log_format)
    tracing.configure(os.environ)
    return made


@contextlib.asynccontextmanager
async def _alone(_: Settings, __: State) -> AsyncIterator[None]:
    yield


def _serve(made: Settings, bound: socket.socket, prepare: Preparation, beside: Beside = _alone) -> None:
    """Prepare, serve, say so, with something beside it, until SIGINT or SIGTERM: both end everything in order."""

    async def serve() -> None:
        async with wait_for_state(made) as state:  # an unusable Redis is an error message, not a traceback
            await prepare(state.store)
            server = Server(uvicorn_config(create_app(made)), bound)
            async with beside(made, state):
                await server.serve([bound])
            if not server.started:
                raise RoomServerError(CANNOT_START)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal anew once everything is closed
        run(serve())


async def _nothing(_: Store) -> None:
    pass


@click.command()
@listen_options
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that share it.")
@state_options
def web(host: str, port: int, workers: int, **flags: Any) -> None:
    """Serve hooks, rooms, sockets and pages. Waits while Redis is away.

    \b
    Examples:
      room-server web
      ROOM_SERVER_REDIS_URL=redis://localhost room-server web --host 0.0.0.0 --port 80 --workers 4
    """
    made = _settings(flags)
    with _bound(host, port) as bound:
        if workers == 1:
            _serve(made, bound, _nothing)
        else:
            run(_preflight(made))
            with _named(*bound.getsockname()[:2]):
                bound.listen()
            _hand_over(flags)
            click.echo(f"ready {address_of(bound)}")
            run_workers(workers, bound)


async def _preflight(made: Settings) -> None:
    """What is wrong with Redis is found out here, once, and not by each worker."""
    with ended_at_once():
        async with wait_for_state(made):
            pass


def _hand_over(flags: dict[str, Any]) -> None:
    """Workers read their settings from the environment, so flags go there."""
    os.environ.update({PREFIX + name.upper(): value for name, value in flags.items() if value is not None})


@click.command()
@listen_options
@click.option("--fresh", is_flag=True, help="Throw the old `demo` away and make a new one; else it stays as it is.")
@state_options
def demo(host: str, port: int, fresh: bool, **flags: Any) -> None:
    """Try everything: one process, a sample webinar, links to open. Ctrl-C ends it.

    \b
    Examples:
      room-server demo
      room-server demo --port 9000 --fresh
    """
    made = _settings(flags)
    with _bound(host, port) as bound:
        address = (made.public_url or address_of(bound)).rstrip("/")

        async def prepare(store: Store) -> None:
            room = await demos.prepare(Transactions(store, made.evaluation_grace), address, fresh)
            for line in demos.links(made, address):
                click.echo(line)
            if room.status in demos.OVER:
                click.echo("the webinar is over; --fresh (make demo FRESH=1) begins anew", err=True)

        _serve(made, bound, prepare, working_beside)
