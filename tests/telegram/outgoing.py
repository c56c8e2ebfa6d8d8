"""Messages on their way, for tests: made by the real listeners from a real roster, sent by real workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from msgspec.structs import replace

from room_server.config import Settings
from room_server.core.decision_types import Facts
from room_server.core.delivery import Delivery
from room_server.core.messages import MessageKind
from room_server.core.room import Room, RosterEntry, Status
from room_server.errors import UnreadableRecord
from room_server.jobs.evaluation import Evaluations
from room_server.state import roster
from room_server.state.outbox import Outbox
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from room_server.telegram.dispatch import Telegram
from room_server.telegram.room_links import RoomLinks
from room_server.telegram.sender import Sender, open_sender
from room_server.telegram.worker import Worker
from tests.support import AT, PATIENCE, eventually, room, transactions
from tests.telegram.bot_api import BotApi

ROOM = room(status=Status.FINISHED, started_at=AT, finished_at=AT, no_recording=True)


def telegram_of(store: Store, sender: Sender, settings: Settings | None = None) -> Telegram:
    """What messages need of a bot with this sender."""
    return Telegram(sender, RoomLinks(settings or Settings(), store))


class Outgoing:
    """A finished webinar `w`; each message tells the partner in one chat that one lead was not there."""

    def __init__(self, settings: Settings, state: State, api: BotApi) -> None:
        self.settings = settings
        self.state = state
        self.store = state.store
        self.outbox = Outbox(state.store)
        self.api = api

    async def put(self, *chats: int) -> None:
        """One message to each chat, in no order; its lead is the chat's number without the sign."""
        entries = [RosterEntry(lead_id=abs(chat), partner_chat_id=chat) for chat in chats]
        await self.put_leads(*entries)

    async def put_leads(self, *entries: RosterEntry, **fields: object) -> None:
        """What follows for these leads of a webinar with these fields."""
        standing: Room = replace(ROOM, **fields)
        if (await self.store.load("w")).room is None:
            await transactions(self.store).create(standing)
        await roster.import_roster(self.store, "w", entries, replace=False)
        await Evaluations(transactions(self.store)).sweep(standing, Facts(room=standing))

    async def evaluated(self) -> None:
        """What the evaluation still has to do is done."""
        await Evaluations(transactions(self.store)).run_pending("w")

    async def record(self, lead: int, kind: MessageKind = MessageKind.ATTENDANCE) -> Delivery:
        """The message as it stands."""
        stored = await self.outbox.load("w", f"{lead}:{kind}")
        assert stored is not None
        return stored.delivery

    async def status(self, lead: int, kind: MessageKind = MessageKind.ATTENDANCE) -> str:
        """Its status."""
        return (await self.record(lead, kind)).status.value

    async def statuses(self, *leads: int) -> list[str]:
        """The status of each."""
        return [await self.status(lead) for lead in leads]

    async def until(
        self, lead: int, expected: str, seconds: float = PATIENCE, kind: MessageKind = MessageKind.ATTENDANCE
    ) -> Delivery:
        """The message once it has come to this status."""

        async def there() -> bool:
            return await self.status(lead, kind) == expected

        await eventually(there, f"the message of {lead} is {expected}", seconds)
        return await self.record(lead, kind)

    async def until_readable(self, lead: int) -> Delivery:
        """The message to the partner once its record can be read."""

        async def there() -> Delivery | None:
            with suppress(UnreadableRecord):
                return await self.record(lead)
            return None

        found: Delivery = await eventually(there, f"the message of {lead} can be read")
        return found

    async def is_busy(self) -> bool:
        """The bot sent something a moment ago: its pace is known, so the first message need not wait."""
        return bool(await self.store.call("SET", self.store.keys.pace("bot"), 0, "PX", 60_000))

    @asynccontextmanager
    async def delivering(self, workers: int = 1, **changed: object) -> AsyncIterator[None]:
        """Workers, each as in a process of its own, until the block ends."""
        await self.is_busy()
        stopping = asyncio.Event()
        settings = replace(self.settings, **changed)
        async with AsyncExitStack() as stack:
            made = []
            for number in range(workers):
                state = await stack.enter_async_context(open_state(settings))
                sender = await stack.enter_async_context(open_sender(settings))
                telegram = telegram_of(state.store, sender, settings)
                made.append(Worker(Outbox(state.store), telegram, f"w{number}", stopping))
            async with asyncio.TaskGroup() as tasks:
                for worker in made:
                    tasks.create_task(worker.run())
                try:
                    yield
                finally:
                    stopping.set()
