"""The sockets of this process, by room, and the newest state of each room: one frame per change for all of them.

No task, timer or queue per connection. Listener and reader offer states; `teller` writes to the sockets in slices,
each socket straight to the newest state. Which rooms are to be read, because their first socket has just come, stands
in `partitions`.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec

from room_server.channels.frames import RoomState, room_state
from room_server.channels.receipts import BroadcastStats, Receipts
from room_server.channels.subscribers import Partition, Subscriber, SubscriberGroup, counts_scope
from room_server.core.permissions import HIDDEN_FROM, is_hidden
from room_server.core.room import Status
from room_server.errors import CloseCode, Refusal
from room_server.state.store import Store
from room_server.telemetry import tracing

SLICE = 250
"""Sockets that are written before the loop gets its turns, so that hooks stay fast during a broadcast."""
TURNS = 4
"""Turns that the loop gets after each."""


class Hub:
    """All crowds of this process. Everything here runs on the event loop's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.groups: dict[str, SubscriberGroup] = {}
        self.partitions = {tag: Partition() for tag in store.keys.tags}
        """The crowds of rooms again, by the tag of their partition."""
        self._unsent: set[str] = set()
        self._unasked: dict[str, Iterator[list[Subscriber]]] = {}
        """Crowds that were told, and their members whose receipts are still to be asked for, in slices."""
        self._wake_broadcast = asyncio.Event()
        self.watched = asyncio.Event()
        """Set when somebody new wants counts that nobody watched before."""
        self.tally = BroadcastStats()

    def group(self, name: str) -> SubscriberGroup:
        """The crowd of this name; with its first socket its state is read."""
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = SubscriberGroup(name)
            if counts_scope(name) is not None:
                self.watched.set()
            else:
                self._partition(name).groups[name] = group
                self._partition(name).ask_for(name)
        return group

    def _partition(self, webinar_id: str) -> Partition:
        return self.partitions[self._store.keys.tag(webinar_id)]

    def _drop(self, name: str) -> SubscriberGroup | None:
        """Forget a crowd; whoever comes next asks anew."""
        if counts_scope(name) is None:
            self._partition(name).groups.pop(name, None)
        return self.groups.pop(name, None)

    def rooms(self) -> dict[str, SubscriberGroup]:
        """The crowds of rooms, by webinar id."""
        return {name: group for name, group in self.groups.items() if counts_scope(name) is None}

    def scopes(self) -> list[str]:
        """What somebody watches the counts of: webinar ids and `*`."""
        return [scope for name in self.groups if (scope := counts_scope(name)) is not None]

    def join(self, group: SubscriberGroup, member: Subscriber) -> None:
        """Count an admitted socket. Joining comes before its snapshot: no change falls between the two."""
        group.members[member] = None
        group.roles[member.actor.role] += 1

    def leave(self, group: SubscriberGroup, member: Subscriber) -> None:
        """Forget a socket, and the room with its last one."""
        group.waiting.discard(member)
        if member in group.members:
            del group.members[member]
            group.roles[member.actor.role] -= 1
        if not group.members and not group.waiting and self.groups.get(group.name) is group:
            self._drop(group.name)
            self.tally.keep(group.receipts)

    def counts(self) -> dict[str, Any]:
        """The sockets of this process, all and by room and role."""
        rooms = {name: dict(+group.roles) for name, group in self.rooms().items() if group.members}
        reach = {name: group.receipts.told() for name, group in self.rooms().items() if group.receipts}
        return {"total": sum(sum(roles.values()) for roles in rooms.values()), "rooms": rooms, "reach": reach}

    def publish(self, text: bytes) -> None:
        """A room's text that Redis published: whoever holds an older state gets it.

        An epoch that this crowd has left behind is a message from before, or a server that has gone back: what stands
        is read.
        """
        try:
            state = room_state(text)
        except msgspec.MsgspecError as error:
            self._store.records.unreadable("a room state", error)  # the next one heals it
            return
        group = self.groups.get(state.head.webinar_id)
        if group is not None and state.head.epoch in group.past:
            self._partition(group.name).ask_for(group.name)
        else:
            self.deliver(state.head.webinar_id, state)

    def deliver(self, name: str, state: RoomState) -> bool:
        """Whoever in the crowd holds an older state gets this one; whether it is news."""
        group = self.groups.get(name)
        if group is None or not state.replaces(group.state):
            return False
        if state.head.status in HIDDEN_FROM:
            self._shut_out(group, state.head.status)
        if group.members:
            now = asyncio.get_running_loop().time()
            self.tally.keep(group.receipts)
            if counts_scope(name) is None:  # whose reach nobody asks for
                group.receipts = Receipts(state.head.epoch, state.head.version, len(group.members), now)
            self._unsent.add(name)
            self._wake_broadcast.set()
        group.turn_to(state)
        self._admit_waiting(group)
        return True

    def _shut_out(self, group: SubscriberGroup, status: Status) -> None:
        """A room that was made anew as a draft, or came back as one with an old copy, is gone for attendees."""
        for member in list(group.members):
            if is_hidden(member.actor, status):
                member.close(CloseCode.WEBINAR_GONE)

    async def broadcast_loop(self) -> None:
        """Write what changed, room by room, for ever. Receipts wait while any state does, so no pong delays a state."""
        while True:
            await self._wake_broadcast.wait()
            self._wake_broadcast.clear()
            while self._unsent or self._unasked:
                if not self._unsent:
                    await self._ask_next()
                elif group := self.groups.get(self._unsent.pop()):
                    with tracing.span("tell", webinar=group.name):
                        await self._broadcast(group)

    async def _broadcast(self, group: SubscriberGroup) -> None:
        """The state to everyone; their receipts are to be asked for, unless nobody wants to know."""
        for members in _slices(list(group.members)):
            state = group.state  # a change since the last slice is the one to write
            for member in members:
                if state is not None and member.has is not state:
                    member.push(state)
            self.tally.frames += len(members)
            await yield_to_event_loop()
        if group.receipts is not None:
            self.tally.note(group.name, group.receipts)
            self._unasked[group.name] = _slices(list(group.members))

    async def _ask_next(self) -> None:
        """Ask the next slice of a crowd for its receipts."""
        name, slices = next(iter(self._unasked.items()))
        members = next(slices, None)
        if members is None:
            del self._unasked[name]
            return
        for member in members:
            member.request_receipt()
        await yield_to_event_loop()

    def let_go(self, name: str) -> None:
        """The webinar was deleted: whoever asks for it now, anywhere, is told that there is none."""
        group = self._drop(name)
        for member in list(group.members) if group else ():
            member.close(CloseCode.WEBINAR_GONE)

    def _admit_waiting(self, group: SubscriberGroup) -> None:
        waiting, group.waiting = group.waiting, set()
        for member in waiting:
            member.admit(group)

    def refuse_waiting(self, name: str, refusal: Refusal) -> None:
        """Nothing can be shown to those who wait for their first state."""
        group = self.groups.get(name)
        if group is None or group.state is not None:
            return
        self._drop(name)
        waiting, group.waiting = group.waiting, set()
        for member in waiting:
            member.refuse(refusal)


async def yield_to_event_loop() -> None:
    """Let hooks go on: one takes several turns of the loop, and is not to wait for a slice before each."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _slices(members: list[Subscriber]) -> Iterator[list[Subscriber]]:
    return (members[start : start + SLICE] for start in range(0, len(members), SLICE))
