"""The sockets of this process, by room, and the newest state of each room: one frame per change for all of them.

No task, timer or queue per connection. Listener and reader offer states; `teller` writes to the sockets in slices,
each socket straight to the newest state. Which rooms are to be read, because their first socket has just come, stands
in `partitions`.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec

from room_server import tracing
from room_server.channels.crowd import Crowd, Member, Partition, scope_watched
from room_server.channels.frames import RoomState, room_state
from room_server.channels.receipts import Receipts, Tally
from room_server.core.permissions import HIDDEN_FROM, is_hidden
from room_server.core.room import Status
from room_server.errors import CloseCode, Refusal
from room_server.state.store import Store

SLICE = 250
"""Sockets that are written before the loop gets its turns, so that hooks stay fast during a broadcast."""
TURNS = 4
"""Turns that the loop gets after each."""


class Hub:
    """All crowds of this process. Everything here runs on the event loop's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.crowds: dict[str, Crowd] = {}
        self.partitions = {tag: Partition() for tag in store.keys.tags}
        """The crowds of rooms again, by the tag of their partition."""
        self._untold: set[str] = set()
        self._unasked: dict[str, Iterator[list[Member]]] = {}
        """Crowds that were told, and their members whose receipts are still to be asked for, in slices."""
        self._wake_teller = asyncio.Event()
        self.watched = asyncio.Event()
        """Set when somebody new wants counts that nobody watched before."""
        self.tally = Tally()

    def crowd(self, name: str) -> Crowd:
        """The crowd of this name; with its first socket its state is read."""
        crowd = self.crowds.get(name)
        if crowd is None:
            crowd = self.crowds[name] = Crowd(name)
            if scope_watched(name) is not None:
                self.watched.set()
            else:
                self._partition(name).crowds[name] = crowd
                self._partition(name).ask_for(name)
        return crowd

    def _partition(self, webinar_id: str) -> Partition:
        return self.partitions[self._store.keys.tag(webinar_id)]

    def _drop(self, name: str) -> Crowd | None:
        """Forget a crowd; whoever comes next asks anew."""
        if scope_watched(name) is None:
            self._partition(name).crowds.pop(name, None)
        return self.crowds.pop(name, None)

    def rooms(self) -> dict[str, Crowd]:
        """The crowds of rooms, by webinar id."""
        return {name: crowd for name, crowd in self.crowds.items() if scope_watched(name) is None}

    def scopes(self) -> list[str]:
        """What somebody watches the counts of: webinar ids and `*`."""
        return [scope for name in self.crowds if (scope := scope_watched(name)) is not None]

    def join(self, crowd: Crowd, member: Member) -> None:
        """Count an admitted socket. Joining comes before its snapshot: no change falls between the two."""
        crowd.members[member] = None
        crowd.roles[member.actor.role] += 1

    def leave(self, crowd: Crowd, member: Member) -> None:
        """Forget a socket, and the room with its last one."""
        crowd.waiting.discard(member)
        if member in crowd.members:
            del crowd.members[member]
            crowd.roles[member.actor.role] -= 1
        if not crowd.members and not crowd.waiting and self.crowds.get(crowd.name) is crowd:
            self._drop(crowd.name)
            self.tally.keep(crowd.receipts)

    def counted(self) -> dict[str, Any]:
        """The sockets of this process, all and by room and role."""
        rooms = {name: dict(+crowd.roles) for name, crowd in self.rooms().items() if crowd.members}
        reach = {name: crowd.receipts.told() for name, crowd in self.rooms().items() if crowd.receipts}
        return {"total": sum(sum(roles.values()) for roles in rooms.values()), "rooms": rooms, "reach": reach}

    def tell(self, text: bytes) -> None:
        """A room's text that Redis published: whoever holds an older state gets it.

        An epoch that this crowd has left behind is a message from before, or a server that has gone back: what stands
        is read.
        """
        try:
            state = room_state(text)
        except msgspec.MsgspecError as error:
            self._store.records.unreadable("a room state", error)  # the next one heals it
            return
        crowd = self.crowds.get(state.head.webinar_id)
        if crowd is not None and state.head.epoch in crowd.past:
            self._partition(crowd.name).ask_for(crowd.name)
        else:
            self.show(state.head.webinar_id, state)

    def show(self, name: str, state: RoomState) -> bool:
        """Whoever in the crowd holds an older state gets this one; whether it is news."""
        crowd = self.crowds.get(name)
        if crowd is None or not state.replaces(crowd.state):
            return False
        if state.head.status in HIDDEN_FROM:
            self._shut_out(crowd, state.head.status)
        if crowd.members:
            now = asyncio.get_running_loop().time()
            self.tally.keep(crowd.receipts)
            if scope_watched(name) is None:  # whose reach nobody asks for
                crowd.receipts = Receipts(state.head.epoch, state.head.version, len(crowd.members), now)
            self._untold.add(name)
            self._wake_teller.set()
        crowd.turn_to(state)
        self._admit_waiting(crowd)
        return True

    def _shut_out(self, crowd: Crowd, status: Status) -> None:
        """A room that was made anew as a draft, or came back as one with an old copy, is gone for attendees."""
        for member in list(crowd.members):
            if is_hidden(member.actor, status):
                member.close(CloseCode.WEBINAR_GONE)

    async def teller(self) -> None:
        """Write what changed, room by room, for ever. Receipts wait while any state does, so no pong delays a state."""
        while True:
            await self._wake_teller.wait()
            self._wake_teller.clear()
            while self._untold or self._unasked:
                if not self._untold:
                    await self._ask_next()
                elif crowd := self.crowds.get(self._untold.pop()):
                    with tracing.span("tell", webinar=crowd.name):
                        await self._tell_crowd(crowd)

    async def _tell_crowd(self, crowd: Crowd) -> None:
        """The state to everyone; their receipts are to be asked for, unless nobody wants to know."""
        for members in _slices(list(crowd.members)):
            state = crowd.state  # a change since the last slice is the one to write
            for member in members:
                if state is not None and member.has is not state:
                    member.push(state)
            self.tally.frames += len(members)
            await _breathe()
        if crowd.receipts is not None:
            self.tally.note(crowd.name, crowd.receipts)
            self._unasked[crowd.name] = _slices(list(crowd.members))

    async def _ask_next(self) -> None:
        """Ask the next slice of a crowd for its receipts."""
        name, slices = next(iter(self._unasked.items()))
        members = next(slices, None)
        if members is None:
            del self._unasked[name]
            return
        for member in members:
            member.ask()
        await _breathe()

    def let_go(self, name: str) -> None:
        """The webinar was deleted: whoever asks for it now, anywhere, is told that there is none."""
        crowd = self._drop(name)
        for member in list(crowd.members) if crowd else ():
            member.close(CloseCode.WEBINAR_GONE)

    def _admit_waiting(self, crowd: Crowd) -> None:
        waiting, crowd.waiting = crowd.waiting, set()
        for member in waiting:
            member.admit(crowd)

    def refuse_waiting(self, name: str, refusal: Refusal) -> None:
        """Nothing can be shown to those who wait for their first state."""
        crowd = self.crowds.get(name)
        if crowd is None or crowd.state is not None:
            return
        self._drop(name)
        waiting, crowd.waiting = crowd.waiting, set()
        for member in waiting:
            member.refuse(refusal)


async def _breathe() -> None:
    """Let hooks go on: one takes several turns of the loop, and is not to wait for a slice before each."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _slices(members: list[Member]) -> Iterator[list[Member]]:
    return (members[start : start + SLICE] for start in range(0, len(members), SLICE))
