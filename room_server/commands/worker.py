"""`room-server worker`: evaluation and Telegram."""

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any

import click

from room_server import process
from room_server.channels.drain import ended_at_once
from room_server.commands.common import run, settings, state_options
from room_server.state.startup import log_server_problems, wait_for_state
from room_server.telemetry import logs, tracing
from room_server.worker import stop_on_signals, work


@click.command()
@state_options
def worker(**flags: Any) -> None:
    """Evaluate ended webinars and send their messages; any number of workers may run. Waits while Redis is away.

    Without ROOM_SERVER_TELEGRAM_TOKEN messages end as dry_run: `room-server outbox list --text` shows them.

    \b
    Example:
      ROOM_SERVER_TELEGRAM_TOKEN=123:abc room-server worker
    """
    made = settings(**flags)
    logs.configure(made.log_format)
    tracing.configure(os.environ)

    async def working() -> None:
        async with AsyncExitStack() as stack:
            with ended_at_once():
                state = await stack.enter_async_context(wait_for_state(made))
            stopping = asyncio.Event()
            stop_on_signals(stopping)
            await log_server_problems(state, made.replicas)
            process.freeze_garbage_collector()
            click.echo("ready worker")
            await work(made, state, stopping)

    run(working())
