"""The worker process: evaluations when they are due, and the delivery of messages. Any number may run at once."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from room_server.channels.presence import Heartbeat, node_name
from room_server.config import Settings
from room_server.errors import Refusal
from room_server.state.evaluation import Due, Evaluations
from room_server.state.opening import State
from room_server.state.outbox import Outbox
from room_server.telegram import texts
from room_server.telegram.sender import open_sender
from room_server.telegram.worker import Worker

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks at the schedule of evaluations."""


async def work(settings: Settings, state: State, stopping: asyncio.Event) -> None:
    """Evaluate and deliver until `stopping` is set; what is in hand is finished first. Raises ConfigurationError."""
    texts.check_standard()
    owner = node_name()
    async with open_sender(settings) as sender, asyncio.TaskGroup() as tasks:
        worker = Worker(Outbox(state.store), sender, owner, stopping)
        heartbeat = Heartbeat(state.store, owner, lambda: {"kind": "worker", "total": 0})
        beating = tasks.create_task(heartbeat.beat())
        tasks.create_task(worker.run()).add_done_callback(lambda _: beating.cancel())
        tasks.create_task(evaluate(Evaluations(state.store, stopping), state.store.keys.tags, stopping))


async def evaluate(evaluations: Evaluations, tags: tuple[str, ...], stopping: asyncio.Event) -> None:
    """Run what is due, one webinar after the other."""
    while not stopping.is_set():
        for tag in tags:
            try:
                for due in await evaluations.due(tag):
                    await _evaluate(evaluations, due)
            except Refusal as refusal:
                logger.warning("the schedule of evaluations cannot be read: %s", refusal.detail)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await stopping.wait()


async def _evaluate(evaluations: Evaluations, due: Due) -> None:
    """One webinar; what cannot be evaluated now stays on the schedule and stops no other."""
    try:
        classified = await evaluations.run(due)
        logger.info("evaluation of %s: %d leads classified", due.webinar_id, classified)
    except Refusal as refusal:
        logger.warning("the evaluation of %s was broken off and goes on soon: %s", due.webinar_id, refusal.detail)
    except ValueError as error:  # as msgspec's errors of decoding are
        logger.error("the evaluation of %s cannot be done, its room cannot be read: %s", due.webinar_id, error)


@asynccontextmanager
async def working_beside(settings: Settings, state: State) -> AsyncIterator[None]:
    """A worker in the same process for as long as the block runs; what it has in hand is finished first."""
    stopping = asyncio.Event()
    task = asyncio.create_task(work(settings, state, stopping), name="worker")
    try:
        yield
    finally:
        stopping.set()
        await task


def stop_on_signals(stopping: asyncio.Event) -> None:
    """SIGTERM and SIGINT finish what is in hand."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
