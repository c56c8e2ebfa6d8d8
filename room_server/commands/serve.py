"""`room-server web`, `worker`, `demo`: the commands that run until SIGINT or SIGTERM."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import click
import uvicorn
from starlette.routing import Route

from room_server import demo as demos
from room_server import process
from room_server.app import create_app
from room_server.auth import Authenticator
from room_server.channels.drain import ended_at_once
from room_server.commands.common import Command, Host, Port, run, settings, state_options, with_options
from room_server.commands.web_workers import CANNOT_START, run_workers
from room_server.config import PREFIX, Settings
from room_server.demo_site import with_own_site
from room_server.errors import RoomServerError
from room_server.protocols.bounded_http import bind, uvicorn_config
from room_server.state.startup import log_server_problems, wait_for_state
from room_server.state.store import Store
from room_server.telemetry import logs, tracing
from room_server.token_secret import with_token_secret
from room_server.transactions import Transactions
from room_server.worker import stop_on_signals, work, working_beside

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address of a browser on this machine


def listen_options(command: Command) -> Command:
    """`--host` and `--port`."""
    return with_options(
        command,
        click.option("--host", type=Host(), default="127.0.0.1", show_default=True, help="Address; 0.0.0.0 for all."),
        click.option("--port", type=Port(), default=8000, show_default=True, envvar="PORT", show_envvar=True,
                     help="0 takes any that is free."),
    )  # fmt: skip


@click.command()
@listen_options
@click.option("--workers", type=click.IntRange(1, 1000), default=1, show_default=True, help="Processes that share it.")
@state_options
def web(host: str, port: int, workers: int, **flags: Any) -> None:
    """Serve hooks, rooms, sockets and pages. Waits while Redis is away.

    \b
    Examples:
      room-server web
      ROOM_SERVER_REDIS_URL=redis://localhost room-server web --host 0.0.0.0 --port 80 --workers 4
    """
    made = _web_settings(flags)
    with _bound(host, port) as bound:
        process.raise_open_files(made.max_sockets)
        if workers == 1:
            _serve(made, bound)
            return
        run(_check_state(made))
        with _address_errors(*bound.getsockname()[:2]):
            bound.listen()
        # Workers read their settings from the environment, so flags go there.
        os.environ.update({PREFIX + name.upper(): value for name, value in flags.items() if value is not None})
        click.echo(f"ready {address_of(bound)}")
        run_workers(workers, bound)


@click.command()
@listen_options
@click.option("--fresh", is_flag=True, help="Throw the old `demo` away and make a new one; else it stays as it is.")
@state_options
def demo(host: str, port: int, fresh: bool, **flags: Any) -> None:
    """Try everything: one process, a sample webinar, links to open, a site that hears of it. Ctrl-C ends it.

    \b
    Examples:
      room-server demo
      room-server demo --port 9000 --fresh
    """
    made = _web_settings(flags)
    with _bound(host, port) as bound:
        address = (made.public_url or address_of(bound)).rstrip("/")
        made, routes = with_own_site(made, address_of(bound))

        async def prepare(store: Store) -> None:
            room = await demos.prepare(Transactions(store, made.evaluation_grace), address, fresh)
            for line in demos.links(made, address):
                click.echo(line)
            if room.status in demos.OVER:
                click.echo("the webinar is over; --fresh (make demo FRESH=1) begins anew", err=True)

        _serve(made, bound, prepare, routes)


@click.command()
@state_options
def worker(**flags: Any) -> None:
    """Evaluate ended webinars, send their messages, tell the site; any number of workers may run. Waits for Redis.

    Without ROOM_SERVER_TELEGRAM_TOKEN messages end as dry_run: `room-server outbox list --text` shows them.

    \b
    Example:
      ROOM_SERVER_TELEGRAM_TOKEN=123:abc room-server worker
    """
    made = given if (given := settings(**flags)).redis_url else with_token_secret(given)
    logs.configure(made.log_format)
    tracing.configure(os.environ)

    async def serve() -> None:
        async with contextlib.AsyncExitStack() as stack:
            with ended_at_once():
                state = await stack.enter_async_context(wait_for_state(made))
            stopping = asyncio.Event()
            stop_on_signals(stopping)
            await log_server_problems(state, made.replicas)
            process.freeze_garbage_collector()
            click.echo("ready worker")
            await work(made, state, stopping)

    run(serve())


def _web_settings(flags: dict[str, Any]) -> Settings:
    """The settings of a web process; logs and traces follow them. Raises ConfigurationError."""
    made = with_token_secret(settings(**flags))
    Authenticator(made)  # raises for a key that cannot be read
    logs.configure(made.log_format)
    tracing.configure(os.environ)
    return made


async def _check_state(made: Settings) -> None:
    """Wait for Redis, and raise once for all workers when it cannot be used."""
    with ended_at_once():
        async with wait_for_state(made):
            pass


def _serve(
    made: Settings,
    bound: socket.socket,
    prepare: Callable[[Store], Awaitable[None]] | None = None,
    routes: Sequence[Route] = (),
) -> None:
    """Serve in this process until SIGINT or SIGTERM; with `prepare`, run that first and a worker beside it.

    `routes` are served besides those of every web process.
    """

    async def serve() -> None:
        async with contextlib.AsyncExitStack() as stack:
            state = await stack.enter_async_context(wait_for_state(made))  # raises for a Redis that cannot be used
            if prepare is not None:
                await prepare(state.store)
            app = create_app(made)
            app.router.routes[:0] = routes
            server = Server(uvicorn_config(app), bound)
            if prepare is not None:
                with _address_errors(*bound.getsockname()[:2]):
                    bound.listen()  # the worker sends events to this process
                await stack.enter_async_context(working_beside(made, state))
            await server.serve([bound])
        if not server.started:
            raise RoomServerError(CANNOT_START)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again once everything is closed
        run(serve())


class Server(uvicorn.Server):
    """A server on the socket `bound`, which prints its address once it serves."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket) -> None:
        super().__init__(config)
        self._bound = bound

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's. Raises click.ClickException when another process listens there by now."""
        with _address_errors(*self._bound.getsockname()[:2]):
            await super().startup(sockets)
        if self.started:
            process.freeze_garbage_collector()
            click.echo(f"ready {address_of(self._bound)}")


def address_of(bound: socket.socket) -> str:
    """The URL of a server for a browser on this machine."""
    host, port = bound.getsockname()[:2]
    host = LOOPBACK.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(host: str, port: int) -> socket.socket:
    """A socket bound before anything else is started; until it listens, connections are refused."""
    with _address_errors(host, port):
        return bind(host, port)


@contextlib.contextmanager
def _address_errors(host: str, port: int) -> Iterator[None]:
    """An OSError of the block as a click.ClickException that names the address."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"--port {port} of --host {host} cannot be had: {error.strerror}") from error
