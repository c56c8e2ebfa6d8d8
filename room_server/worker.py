"""The worker process: due evaluations, messages, events to the site, webinars that nobody stopped, erasure, retention.

Any number of workers may run at once.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial

from room_server.clock import utc_now
from room_server.config import PREFIX, Settings
from room_server.errors import Refusal, UnreadableRecord
from room_server.jobs import binding_retention, erased_entries, retention
from room_server.jobs.announcements import Announcements
from room_server.jobs.evaluation import Evaluations
from room_server.jobs.late_bindings import LateBindings
from room_server.jobs.live_limit import LiveLimit
from room_server.process import vital
from room_server.site.worker import deliver, forget_unseen
from room_server.state import bot
from room_server.state.evaluation_schedule import ScheduledEvaluation
from room_server.state.heartbeat import Heartbeat, TelegramStatus, node_name
from room_server.state.outbox import Outbox
from room_server.state.startup import State
from room_server.state.store import Store
from room_server.telegram import texts
from room_server.telegram.calls import open_calls
from room_server.telegram.dispatch import Telegram
from room_server.telegram.receiver import Receiver
from room_server.telegram.replies import ReplySender
from room_server.telegram.room_links import RoomLinks
from room_server.telegram.sender import Sender, open_sender
from room_server.telegram.worker import Worker, pause
from room_server.telemetry import tracing
from room_server.transactions import Transactions

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Between two looks at the schedule of evaluations."""
LIMIT_EVERY = 30.0
"""Seconds between two looks for webinars that nobody has stopped."""
ERASE_EVERY = 5.0
"""Seconds between two looks for forgotten leads."""
BINDINGS_EVERY = 1.0
"""Seconds between two looks for people who were bound to a chat."""
TIDY_EVERY = 600.0
"""Seconds between two runs of retention."""


async def work(settings: Settings, state: State, stopping: asyncio.Event) -> None:
    """Evaluate and deliver until `stopping` is set; what is in hand is finished first. Raises ConfigurationError."""
    texts.check_standard()
    owner, transactions = node_name(), Transactions(state.store, settings.evaluation_grace)
    async with (
        open_sender(settings) as sender,
        receiving(settings, state, sender) as status,
        asyncio.TaskGroup() as tasks,
    ):
        telegram = Telegram(sender, RoomLinks(settings, state.store))
        worker = Worker(Outbox(state.store), telegram, owner, stopping)
        heartbeat = Heartbeat(state.store, owner, lambda: {"kind": "worker", "total": 0, "telegram": status()})
        beating = tasks.create_task(heartbeat.beat())
        tasks.create_task(worker.run()).add_done_callback(lambda _: beating.cancel())
        tasks.create_task(evaluate(Evaluations(transactions, stopping), state.store.keys.tags, stopping))
        tasks.create_task(deliver(settings, state.store, owner, stopping))
        if settings.live_hours:
            tasks.create_task(limit_live(LiveLimit(transactions, settings.live_hours), stopping))
        tasks.create_task(erase(state.store, stopping))
        tasks.create_task(announce(Announcements(state.store, stopping), state.store.keys.tags, stopping))
        tasks.create_task(look_for_bindings(LateBindings(transactions), stopping))
        tasks.create_task(tidy(state.store, settings, stopping))


async def may_receive(settings: Settings, state: State, sender: Sender) -> bool:
    """Whether this worker can receive updates. A person whose link cannot be verified would be refused by mistake."""
    if settings.telegram_updates == "off":
        with suppress(Refusal):
            await bot.drop_name(state.store)
        return False
    if not settings.telegram_token or sender.status == "proxy_unusable":
        return False
    if _lacks_secret(settings):
        logger.warning(
            "%sTOKEN_SECRET is not set for this worker, so it cannot tell whose links are pressed and receives no "
            "updates of the bot; give it the secret of the web processes",
            PREFIX,
        )
        return False
    return True


def _lacks_secret(settings: Settings) -> bool:
    return not settings.token_secrets() and not settings.token_public_key


def _known(sender: Sender, is_deaf: bool) -> TelegramStatus:
    """What is known of Telegram; `is_deaf`: updates should come to this worker, and do not."""
    return "no_updates" if is_deaf and sender.status == "ok" else sender.status


@asynccontextmanager
async def receiving(settings: Settings, state: State, sender: Sender) -> AsyncIterator[Callable[[], TelegramStatus]]:
    """Receive the updates of the bot and send its replies, as long as the block runs; gives what is known of Telegram.

    Whatever is wrong with that stops no evaluation and no delivery.
    """
    if not await may_receive(settings, state, sender):
        is_wanted = settings.telegram_updates != "off"
        yield lambda: _known(sender, is_deaf=is_wanted and _lacks_secret(settings))
        return
    stopping = asyncio.Event()
    async with open_calls(settings) as calls, asyncio.TaskGroup() as tasks:
        replying = tasks.create_task(ReplySender(state.store, sender, calls).run(stopping))
        receiver = Receiver(settings, state.store, sender, node_name())
        receives = tasks.create_task(receiver.run(calls))
        try:
            yield lambda: _known(sender, receiver.is_failing)
        finally:
            receives.cancel()
            stopping.set()
            await asyncio.wait([replying, receives])


async def evaluate(evaluations: Evaluations, tags: tuple[str, ...], stopping: asyncio.Event) -> None:
    """Run due evaluations, one webinar at a time; a partition that does not answer delays no other."""
    one_at_a_time = asyncio.Lock()

    async def look(tag: str) -> None:
        for due in (await evaluations.schedule.read(tag)).due:
            async with one_at_a_time:
                await _evaluate(evaluations, due)

    async with asyncio.TaskGroup() as partitions:
        for tag in tags:
            failure = "the schedule of evaluations cannot be read"
            partitions.create_task(_repeat(partial(look, tag), POLL_SECONDS, failure, stopping))


async def _evaluate(evaluations: Evaluations, due: ScheduledEvaluation) -> None:
    """Evaluate one webinar; if that fails now, it stays on the schedule and delays no other."""
    try:
        with tracing.working_for(""), tracing.span("evaluate", webinar=due.webinar_id):
            classified = await evaluations.run(due)
            logger.info("evaluation of %s: %d leads classified", due.webinar_id, classified)
    except UnreadableRecord:
        pass  # state.records logs it, once a minute
    except Refusal as refusal:
        logger.warning("the evaluation of %s was broken off and goes on soon: %s", due.webinar_id, refusal.detail)


async def limit_live(limit: LiveLimit, stopping: asyncio.Event) -> None:
    """Stop webinars that have been live for too long."""

    async def look() -> None:
        with tracing.working_for(""):
            await limit.check(utc_now())

    await _repeat(look, LIMIT_EVERY, "it cannot be seen how long webinars have been live", stopping)


async def erase(store: Store, stopping: asyncio.Event) -> None:
    """Erase the stream entries of forgotten leads."""
    while not stopping.is_set():
        for tag in store.keys.tags:
            try:
                if erased := (await erased_entries.erase_queued(store, tag)).total():
                    logger.info("%d events of forgotten leads are erased", erased)
            except Refusal as refusal:
                logger.warning("events of forgotten leads cannot be erased now, and will be soon: %s", refusal.detail)
        await pause(stopping, ERASE_EVERY)


async def announce(announcements: Announcements, tags: tuple[str, ...], stopping: asyncio.Event) -> None:
    """Make the announcements that are due; a partition that does not answer delays no other."""

    async def look(tag: str) -> None:
        with tracing.working_for(""):
            await announcements.run_due(tag)

    async with asyncio.TaskGroup() as partitions:
        for tag in tags:
            failure = "what is due to be announced waits"
            partitions.create_task(_repeat(partial(look, tag), POLL_SECONDS, failure, stopping))


async def look_for_bindings(late: LateBindings, stopping: asyncio.Event) -> None:
    """Send what found no chat to whom was bound since."""
    await _repeat(late.check, BINDINGS_EVERY, "it cannot be seen whom messages wait for", stopping)


async def tidy(store: Store, settings: Settings, stopping: asyncio.Event) -> None:
    """Delete webinars whose retention is over, consumers of workers that died, receivers that no setting names."""
    outbox, days = Outbox(store), settings.retention_days

    async def delete() -> None:
        if days:
            await retention.expire(store, utc_now() - timedelta(days=days), stopping)
            await binding_retention.expire(store, utc_now() - timedelta(days=days))
        await outbox.tidy()
        await forget_unseen(store, settings.site_urls())

    await _repeat(delete, TIDY_EVERY, "what is over cannot be deleted now, and will be soon", stopping)


async def _repeat(act: Callable[[], Awaitable[object]], seconds: float, failure: str, stopping: asyncio.Event) -> None:
    """Act, and again so many seconds after it is done, until `stopping` is set. A refusal is logged as `failure`."""
    while not stopping.is_set():
        try:
            await act()
        except Refusal as refusal:
            logger.warning("%s: %s", failure, refusal.detail)
        await pause(stopping, seconds)


@asynccontextmanager
async def working_beside(settings: Settings, state: State) -> AsyncIterator[None]:
    """A worker in this process for as long as the block runs; at its end what is in hand is finished first."""
    stopping = asyncio.Event()
    task = asyncio.create_task(vital(work(settings, state, stopping), stopping), name="worker")
    try:
        yield
    finally:
        stopping.set()
        await task


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Set `stopping` on SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
