"""The sockets of this process by room, and the newest state of each room.

There is no task, timer or queue per socket. Listener and reader hand in states; `broadcast_loop` writes the newest one
to the sockets in slices. A room is read when its first socket comes: `read_queues` say which.
"""

import asyncio
import time
from typing import Any

import msgspec

from room_server.channels.frames import RoomState, room_state
from room_server.channels.poller import Poller
from room_server.channels.seen_slots import SeenSlots
from room_server.channels.subscribers import (
    BroadcastStats,
    ReadQueue,
    Receipts,
    Subscriber,
    SubscriberGroup,
    counts_scope,
)
from room_server.channels.writer import Writer
from room_server.core.permissions import HIDDEN_FROM, is_hidden
from room_server.core.room import ON_AIR
from room_server.errors import CloseCode, Refusal
from room_server.state.store import Store
from room_server.state.watch import Broadcast
from room_server.telemetry import tracing

SLICE = 150
"""Sockets that are written to before other tasks run, so that hooks stay fast during a broadcast."""
TURNS = 4
"""Turns of the event loop after each slice: a hook takes several."""


class Hub:
    """All groups of sockets. It is not thread-safe: everything runs on the event loop's thread."""

    def __init__(self, store: Store, writer: Writer | None = None) -> None:
        """`writer` writes broadcasts; None: one that uses write(2)."""
        self._store = store
        self.writer = writer or Writer("write")
        self.poller = Poller()
        self.groups: dict[str, SubscriberGroup] = {}
        self.read_queues = {tag: ReadQueue() for tag in store.keys.tags}
        """The rooms that the reader is to read, by the tag of their partition."""
        self.scope_added = asyncio.Event()
        """Set when a monitor comes for counts that nobody got before."""
        self.tally = BroadcastStats()
        self.seen = SeenSlots()
        """The slots that leads were seen in, until they are stored."""
        self.air_ended = asyncio.Event()
        """Set when a room goes off the air."""
        self._to_broadcast: set[str] = set()
        """Names of the groups whose newest state is not written yet."""
        self._wake_broadcast = asyncio.Event()

    def group(self, name: str) -> SubscriberGroup:
        """The group of this name. A new one waits for its first state, which is requested here."""
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = SubscriberGroup(name)
            if counts_scope(name) is not None:
                self.scope_added.set()
            else:
                self._request_read(name)
        return group

    def _request_read(self, webinar_id: str) -> None:
        self.read_queues[self._store.keys.tag(webinar_id)].request(webinar_id)

    def rooms(self) -> dict[str, SubscriberGroup]:
        """The groups of rooms, by webinar id."""
        return {name: group for name, group in self.groups.items() if counts_scope(name) is None}

    def known_rooms(self, tag: str) -> list[str]:
        """The webinar ids of one partition whose state is known here."""
        return [name for name, group in self.rooms().items() if group.state and self._store.keys.tag(name) == tag]

    def scopes(self) -> list[str]:
        """The scopes whose counts a monitor gets here: webinar ids and `*`."""
        return [scope for name in self.groups if (scope := counts_scope(name)) is not None]

    def join(self, group: SubscriberGroup, subscriber: Subscriber) -> None:
        """Add an admitted socket. Join before writing its snapshot: a change between the two would be lost."""
        group.subscribers[subscriber] = subscriber.heard_at
        group.roles[subscriber.actor.role] += 1

    def leave(self, group: SubscriberGroup, subscriber: Subscriber) -> None:
        """Remove a socket, and the group with its last one."""
        group.waiting.discard(subscriber)
        if subscriber in group.subscribers:
            self.see(group, subscriber)
            del group.subscribers[subscriber]
            group.roles[subscriber.actor.role] -= 1
        if not group.subscribers and not group.waiting and self.groups.get(group.name) is group:
            del self.groups[group.name]
            self.tally.add_past(group.receipts)

    def see(self, group: SubscriberGroup, subscriber: Subscriber) -> None:
        """Note that the socket's lead was there until the peer was heard last: before that moment it was open.

        The socket's time and the one that is kept here are the same object, so that keeping it costs no memory.
        """
        since, until = group.subscribers[subscriber], subscriber.heard_at
        if until is since:
            return
        group.subscribers[subscriber] = until
        lead, started_at = subscriber.actor.lead_id, group.air.broadcast
        if lead is not None and started_at is not None:
            self.seen.add(Broadcast(group.name, started_at), lead, group.air.slots(since, until))

    def counts(self) -> dict[str, Any]:
        """The sockets of this process by room and role, and the receipts of each room's newest change."""
        rooms = {name: dict(+group.roles) for name, group in self.rooms().items() if group.subscribers}
        reach = {name: group.receipts.counts() for name, group in self.rooms().items() if group.receipts}
        return {"total": sum(sum(roles.values()) for roles in rooms.values()), "rooms": rooms, "reach": reach}

    def publish(self, text: bytes) -> None:
        """Take a room's public text from a Redis channel.

        A past epoch comes from an old message, or from a server that has lost the change to the new one; what is
        stored tells which, so the room is read.
        """
        try:
            state = room_state(text)
        except msgspec.MsgspecError as error:
            self._store.records.unreadable("a room state", error)  # the next one replaces it
            return
        webinar_id = state.head.webinar_id
        group = self.groups.get(webinar_id)
        if group is not None and state.head.epoch in group.past_epochs:
            self._request_read(webinar_id)
        else:
            self.deliver(webinar_id, state)

    def deliver(self, name: str, state: RoomState) -> bool:
        """Have a group's sockets get this state if it is newer than theirs; whether it is."""
        group = self.groups.get(name)
        if group is None or not state.replaces(group.state):
            return False
        if state.head.status in HIDDEN_FROM:  # made anew as a draft, or a draft again from an old copy of Redis
            for subscriber in list(group.subscribers):
                if is_hidden(subscriber.actor, state.head.status):
                    subscriber.close(CloseCode.WEBINAR_GONE)
        if group.subscribers:
            self.tally.add_past(group.receipts)
            if counts_scope(name) is None:  # nobody asks for the receipts of counts
                group.receipts = Receipts(state, len(group.subscribers), asyncio.get_running_loop().time())
            self._to_broadcast.add(name)
            self._wake_broadcast.set()
        was_on_air = group.state is not None and group.state.head.status in ON_AIR
        group.set_state(state)
        group.air.hear(state.head, asyncio.get_running_loop().time(), time.time())
        if was_on_air and state.head.status not in ON_AIR:
            self.air_ended.set()
        waiting, group.waiting = group.waiting, set()
        for subscriber in waiting:
            subscriber.admit(group)
        return True

    async def broadcast_loop(self) -> None:
        """Write what changed, group by group, for ever."""
        while True:
            await self._wake_broadcast.wait()
            self._wake_broadcast.clear()
            while self._to_broadcast:
                if group := self.groups.get(self._to_broadcast.pop()):
                    with tracing.span("tell", webinar=group.name):
                        await self._broadcast(group)

    async def _broadcast(self, group: SubscriberGroup) -> None:
        """Write the group's state to every socket. What browsers answer is read when the last slice is written."""
        subscribers = list(group.subscribers)
        try:
            for start in range(0, len(subscribers), SLICE):
                part = subscribers[start : start + SLICE]
                if group.state is not None:  # it may have changed since the last slice
                    self._write(part, group.state, asks=group.receipts is not None)
                self.tally.frames += len(part)
                self.poller.is_held = start + SLICE < len(subscribers)
                await yield_to_event_loop()
        finally:
            self.poller.is_held = False
        if group.receipts is not None:
            self.tally.record_broadcast(group.name, group.receipts)

    def _write(self, subscribers: list[Subscriber], state: RoomState, *, asks: bool) -> None:
        """Write the state to those who do not have it, with its ping if the group `asks` for receipts.

        The ping in the same packet as the frame costs little; in a packet of its own it would cost as much.
        """
        without = [subscriber for subscriber in subscribers if subscriber.sent is not state]
        asked, others = [], []
        for subscriber in without:
            if subscriber.descriptor < 0:
                subscriber.push(state)
                continue
            subscriber.sent = state
            if asks and subscriber.requested is None:
                subscriber.requested = state
                asked.append(subscriber)
            else:
                others.append(subscriber)
        self.writer.write(asked, state.frame_and_ping)
        self.writer.write(others, state.frame)

    def close_room(self, webinar_id: str) -> None:
        """Close the sockets of a webinar that was deleted."""
        group = self.groups.pop(webinar_id, None)
        for subscriber in list(group.subscribers) if group else ():
            subscriber.close(CloseCode.WEBINAR_GONE)

    def refuse_waiting(self, name: str, refusal: Refusal) -> None:
        """Refuse the handshakes that wait for a group's first state, which cannot be had."""
        group = self.groups.get(name)
        if group is None or group.state is not None:
            return
        del self.groups[name]
        waiting, group.waiting = group.waiting, set()
        for subscriber in waiting:
            subscriber.refuse(refusal)


async def yield_to_event_loop() -> None:
    """Let other tasks run."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
