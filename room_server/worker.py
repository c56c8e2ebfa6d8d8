"""The worker process: evaluations when they are due, and the delivery of messages. Any number may run at once."""

import asyncio
import logging
import secrets
import signal
import socket
from contextlib import suppress

from room_server.config import Settings
from room_server.errors import Refusal
from room_server.state.evaluation import Evaluations
from room_server.state.opening import State
from room_server.state.outbox import Outbox
from room_server.telegram.sender import open_sender
from room_server.telegram.worker import Worker

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks at the schedule of evaluations."""


async def work(settings: Settings, state: State, stopping: asyncio.Event) -> None:
    """Evaluate and deliver until `stopping` is set; what is in hand is finished first."""
    owner = f"{socket.gethostname()}-{secrets.token_hex(4)}"
    async with open_sender(settings) as sender, asyncio.TaskGroup() as tasks:
        worker = Worker(Outbox(state.store), sender, owner, stopping)
        tasks.create_task(worker.run())
        tasks.create_task(evaluate(Evaluations(state.store), state.store.keys.tags, stopping))


async def evaluate(evaluations: Evaluations, tags: tuple[str, ...], stopping: asyncio.Event) -> None:
    """Run what is due, one webinar after the other."""
    while not stopping.is_set():
        for tag in tags:
            try:
                for due in await evaluations.due(tag):
                    classified = await evaluations.run(due)
                    logger.info("evaluation of %s done: %d leads classified", due.webinar_id, classified)
            except Refusal as refusal:
                logger.warning("an evaluation was broken off and goes on soon: %s", refusal.detail)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await stopping.wait()


def stop_on_signals(stopping: asyncio.Event) -> None:
    """SIGTERM and SIGINT finish what is in hand."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
