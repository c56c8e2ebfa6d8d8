"""Sockets that are told the same: those of one room in this process, or those that watch the counts."""

import asyncio
from collections import Counter
from typing import Protocol

from room_server.channels.frames import RoomState
from room_server.channels.receipts import Receipts
from room_server.core.messages import Actor
from room_server.errors import CloseCode, Refusal

PAST = 8
"""Epochs that a crowd remembers to have left: there is a new one only after Redis has lost changes."""
_COUNTS = "counts:"
"""How the crowds are named that watch the counts and no room; no webinar id has a colon."""


def counts_group(scope: str) -> str:
    """The name of the crowd of the monitors whose tokens are for this webinar id or `*`."""
    return _COUNTS + scope


def counts_scope(name: str) -> str | None:
    """What a crowd of this name watches the counts of; None: it is a room's."""
    return name.removeprefix(_COUNTS) if name.startswith(_COUNTS) else None


class Subscriber(Protocol):
    """A socket, as the hub sees it."""

    actor: Actor
    has: RoomState | None

    def push(self, state: RoomState) -> None:
        """Write the state, or, when the peer is behind, as soon as it has caught up."""

    def announce_reconnect(self, seconds: float, closed_after: float) -> None:
        """Ask the peer to come back elsewhere in so many seconds."""

    def request_receipt(self) -> None:
        """Ask the peer for the receipt of what it has, unless one is outstanding."""

    def admit(self, group: "SubscriberGroup") -> None:
        """The room is known now: answer the handshake."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with a refusal."""

    def close(self, code: CloseCode) -> None:
        """Start the closing handshake."""


class SubscriberGroup:
    """The sockets of one room in this process, or those that watch the counts."""

    __slots__ = ("members", "name", "past", "receipts", "roles", "state", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        """The webinar's id, or `watching` somebody's scope."""
        self.state: RoomState | None = None
        """What the members are told; changed by `turn_to` only."""
        self.past: tuple[str, ...] = ()
        """The epochs that were left for others, the latest last."""
        self.members: dict[Subscriber, None] = {}
        self.waiting: set[Subscriber] = set()
        """Handshakes that wait for the room's first read."""
        self.roles: Counter[str] = Counter()
        self.receipts: Receipts | None = None
        """The answers to the newest change that the members were told."""

    def turn_to(self, state: RoomState) -> None:
        """Take this state; the epoch that another one has replaced is over."""
        if self.state is not None and self.state.head.epoch != state.head.epoch:
            self.past = (*self.past, self.state.head.epoch)[-PAST:]
        self.state = state

    def receive(self, state: RoomState, now: float) -> None:
        """A member has this state; it counts for the newest change only."""
        if self.receipts is not None and state is self.state:
            self.receipts.count(now - self.receipts.started)


class Partition:
    """The rooms of one partition: those that have sockets here, and those that are to be read.

    A room that is asked for again before it is read stands there once.
    """

    def __init__(self) -> None:
        self.groups: dict[str, SubscriberGroup] = {}
        self._unread: dict[str, None] = {}
        self._some = asyncio.Event()

    def ask_for(self, webinar_id: str) -> None:
        """The reader is to read this room."""
        self._unread[webinar_id] = None
        self._some.set()

    async def asked_for(self) -> list[str]:
        """All that are to be read, as soon as there is one; from here on they are the caller's to read."""
        await self._some.wait()
        self._some.clear()
        names, self._unread = list(self._unread), {}
        return names
