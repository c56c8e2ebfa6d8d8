"""The events of one partition to one receiver: claim, send, store what followed; one request at a time.

Any number of workers may run this for the same receiver and partition: one of them has the lease. A worker that dies
leaves its batch pending in the consumer group, and the next one sends the same batch again.
"""

import asyncio
import logging
import random
import time
from contextlib import suppress

from msgspec.structs import replace

from room_server.core.site_delivery import SPREAD, Answer, Moment, Outcome, Progress, Receiver, after, idle
from room_server.errors import StateUnavailable
from room_server.site.batch import Batch, batch_of
from room_server.site.client import Client
from room_server.state.site_events import Claim, Parked, Settlement, SiteEvents

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""Between two looks at a stream without new events."""
WAIT_SECONDS = 1.0
"""Between two looks at a receiver that waits, or that another worker sends to, or when Redis does not answer."""
RENEW_SECONDS = 3.0
"""Between two renewals of a lease."""
SEEN_MS = 600_000
"""How often it is stored that the receiver is in the settings."""
ENDING_SECONDS = 3.0
"""How long a worker that is to stop waits for the answer to its request; then the next worker sends the batch again."""
TRIES = 8
"""How often an outcome is stored while the operator changes the same progress."""


class Delivery:
    """Delivers one partition's events by `client`; `events` are the receiver's."""

    def __init__(self, events: SiteEvents, tag: str, client: Client, stopping: asyncio.Event) -> None:
        self._events = events
        self._tag = tag
        self._client = client
        self._stopping = stopping
        self._renew_at = 0.0
        """Monotonic. Until then the lease is this worker's, unless the worker was frozen."""
        self._is_away = False
        """Whether Redis did not answer the last time, which is logged once."""

    async def run(self) -> None:
        """Deliver until `stopping` is set."""
        while not self._stopping.is_set():
            try:
                pause = await self.step()
                self._is_away = False
            except StateUnavailable as refusal:
                if not self._is_away:
                    logger.warning("events for the site wait: %s", refusal.detail)
                self._renew_at, self._is_away, pause = 0.0, True, WAIT_SECONDS
            if pause:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stopping.wait()
        with suppress(StateUnavailable):  # then the lease runs out
            await self._events.release(self._tag)

    async def step(self) -> float:
        """Send what may be sent now, once; the seconds until there may be more. Raises StateUnavailable."""
        peek = time.monotonic() < self._renew_at
        claim = await self._events.claim(self._tag, peek=peek)
        if claim is None:
            return POLL_SECONDS if peek else WAIT_SECONDS
        if not peek:
            self._renew_at = time.monotonic() + RENEW_SECONDS
        if claim.progress is None:
            await self._begin(claim)
            return 0.0
        if claim.lost:
            logger.error(
                "%d events were cut off by the bound of the event stream before %s could get them: it was away for too "
                "long", claim.lost, self._client.receiver.label,
            )  # fmt: skip
        progress = claim.progress
        if progress.off_since is not None or progress.due > claim.now:
            await self._note(claim, progress)
            return _pause(progress, claim.now)
        if claim.entries:
            await self._send(claim, progress)
            return 0.0
        await self._note(claim, idle(progress))
        return POLL_SECONDS

    async def _begin(self, claim: Claim) -> None:
        """A new receiver: it gets what comes from now on."""
        receiver = self._client.receiver
        progress = Progress(url=receiver.url, label=receiver.label, seen_at=claim.now)
        await self._events.settle(self._tag, b"", Settlement(progress))
        logger.debug("the site hears of all events from now on", extra={"facts": {"receiver": receiver.label}})

    async def _note(self, claim: Claim, progress: Progress) -> None:
        """Store `progress` if it differs, and now and then that the receiver is in the settings."""
        if claim.now - progress.seen_at >= SEEN_MS:
            progress = replace(progress, seen_at=claim.now)
        if progress != claim.progress:
            await self._events.settle(self._tag, claim.raw, Settlement(progress))

    async def _send(self, claim: Claim, progress: Progress) -> None:
        batch = batch_of(self._client.receiver, claim.entries, progress.most)
        if not batch.ids:
            erased = replace(progress, gone=progress.gone + len(batch.gone))
            await self._events.settle(self._tag, claim.raw, Settlement(erased, batch.gone))
            return
        began = time.monotonic()
        answer = await self._post(batch)
        if answer is not None:
            passed = round(1000 * (time.monotonic() - began))
            await self._settle(claim._replace(now=claim.now + passed), batch, answer)

    async def _post(self, batch: Batch) -> Answer | None:
        """The answer. None: the lease was lost, or the worker is to stop, before there was one."""
        posting = asyncio.create_task(self._client.post(batch))
        guarding = asyncio.create_task(self._guard())
        try:
            await asyncio.wait({posting, guarding}, return_when=asyncio.FIRST_COMPLETED)
            return posting.result() if posting.done() else None
        finally:
            for task in (posting, guarding):
                task.cancel()
            await asyncio.gather(posting, guarding, return_exceptions=True)

    async def _guard(self) -> None:
        """Renew the lease; return when another worker has it, or some time after `stopping` is set."""
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(max(self._renew_at - time.monotonic(), 0.0)):
                    await self._stopping.wait()
                    continue
            with suppress(StateUnavailable):
                if await self._events.claim(self._tag, 0) is None:
                    return
            self._renew_at = time.monotonic() + RENEW_SECONDS
        await asyncio.sleep(ENDING_SECONDS)

    async def _settle(self, claim: Claim, batch: Batch, answer: Answer) -> None:
        """Store what follows from the answer, also when the operator has changed the progress meanwhile."""
        current: Claim | None = claim
        for _ in range(TRIES):
            if current is None or current.progress is None:
                return  # another worker sends the batch again
            at = Moment(current.now, random.uniform(-SPREAD, SPREAD))  # noqa: S311 - no secret
            outcome = after(current.progress, batch.tried, answer, at)
            if await self._events.settle(self._tag, current.raw, _settlement(outcome, batch, at)):
                _log(self._client.receiver, current.progress, outcome)
                return
            current = await self._events.claim(self._tag, 0)


def _settlement(outcome: Outcome, batch: Batch, at: Moment) -> Settlement:
    """What to store; erased events are done with beside those that are taken."""
    if outcome.is_parked:
        return Settlement(outcome.progress, batch.ids, Parked(outcome.progress.answer, at.now))
    if not outcome.is_done:
        return Settlement(outcome.progress)
    progress = replace(outcome.progress, gone=outcome.progress.gone + len(batch.gone))
    return Settlement(progress, (*batch.gone, *batch.ids))


def _pause(progress: Progress, now: int) -> float:
    """Seconds until a receiver that waits is looked at again."""
    if progress.off_since is not None:
        return WAIT_SECONDS
    return min(max((progress.due - now) / 1000, 0.01), WAIT_SECONDS)


def _log(receiver: Receiver, before: Progress, outcome: Outcome) -> None:
    """Log what a person should know: the first failure, the end of it, what is parked, and that it is off."""
    now, label = outcome.progress, receiver.label
    if now.state == "off":
        logger.critical("%s takes no events (%s) and is switched off; its place is kept: mend it, then run "
                        "`room-server site retry`", label, now.answer)  # fmt: skip
    elif outcome.is_parked:
        logger.error("%s refuses an event (%s): it is parked, and the others go on; `room-server site status` shows it",
                     label, now.answer)  # fmt: skip
    elif before.state == "ok" and now.state == "waiting":
        logger.warning("%s does not take events (%s): they wait and are sent again", label, now.answer)
    elif before.state == "waiting" and now.state == "ok":
        logger.info("%s takes events again", label)
