"""Sockets that are told the same: those of one room in this process, or those that watch the counts."""

from collections import Counter
from typing import Protocol

from room_server.channels.frames import RoomState
from room_server.channels.receipts import Receipts
from room_server.core.messages import Actor
from room_server.errors import CloseCode, Refusal

_COUNTS = "counts:"
"""How the crowds are named that watch the counts and no room; no webinar id has a colon."""


def watching(scope: str) -> str:
    """The name of the crowd of the monitors whose tokens are for this webinar id or `*`."""
    return _COUNTS + scope


def scope_watched(name: str) -> str | None:
    """What a crowd of this name watches the counts of; None: it is a room's."""
    return name.removeprefix(_COUNTS) if name.startswith(_COUNTS) else None


class Member(Protocol):
    """A socket, as the hub sees it."""

    actor: Actor
    has: RoomState | None

    def push(self, state: RoomState) -> None:
        """Write the state, or, when the peer is behind, as soon as it has caught up."""

    def farewell(self, seconds: float, closed_after: float) -> None:
        """Ask the peer to come back elsewhere in so many seconds."""

    def ask(self) -> None:
        """Ask the peer for the receipt of what it has, unless one is outstanding."""

    def admit(self, crowd: "Crowd") -> None:
        """The room is known now: answer the handshake."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with a refusal."""

    def close(self, code: CloseCode) -> None:
        """Start the closing handshake."""


class Crowd:
    """The sockets of one room in this process, or those that watch the counts."""

    __slots__ = ("members", "name", "receipts", "roles", "state", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        """The webinar's id, or `watching` somebody's scope."""
        self.state: RoomState | None = None
        self.members: dict[Member, None] = {}
        self.waiting: set[Member] = set()
        """Handshakes that wait for the room's first read."""
        self.roles: Counter[str] = Counter()
        self.receipts: Receipts | None = None
        """The answers to the newest change that the members were told."""

    def receive(self, state: RoomState, now: float) -> None:
        """A member has this state; it counts for the newest change only."""
        if self.receipts is not None and state is self.state:
            self.receipts.count(now - self.receipts.started)
