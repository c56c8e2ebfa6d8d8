"""Stored records as typed values. One that this version cannot read costs what it is about, and nothing else.

A newer version may have written it (before a downgrade, or beside this one in a rolling upgrade), or it is damaged.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from room_server.core.decision_types import Facts
from room_server.core.room import Participation, Recording, Room, RosterEntry
from room_server.errors import TooManyRequests, UnreadableRecord
from room_server.rate_limit import Throttle

logger = logging.getLogger(__name__)

TOLD_EVERY = 60.0
"""Seconds between two lines in the log about the same record: it may be read again and again."""

ROOM = msgspec.json.Decoder(Room)
PARTICIPATION = msgspec.json.Decoder(Participation)
ENTRY = msgspec.json.Decoder(RosterEntry)
RECORDING = msgspec.json.Decoder(Recording)
Record = TypeVar("Record")
Decoder = msgspec.json.Decoder[Record] | msgspec.msgpack.Decoder[Record]


class Target(NamedTuple):
    """Whose records a decision is about; `lead` is empty when it is about the room alone."""

    webinar_id: str
    lead: str = ""


class Loaded(Struct, frozen=True, kw_only=True):
    """The facts of a decision, and the bytes of the lead's records: the commit compares them with what is stored."""

    target: Target
    facts: Facts
    participation: bytes = b""
    entry: bytes = b""


class LeadRecords(NamedTuple):
    """A lead's stored records; empty: there is none."""

    id: bytes
    participation: bytes
    entry: bytes


class Records:
    """Decodes what a store holds; `what` says in the log and in refusals which record it is, and names no person."""

    def __init__(self) -> None:
        self._told = Throttle(1 / TOLD_EVERY, 1)

    def read(self, decoder: Decoder[Record], raw: bytes, what: str) -> Record:
        """The record. Raises UnreadableRecord."""
        try:
            return decoder.decode(raw)
        except (ValueError, RecursionError) as error:  # msgspec's errors of decoding are ValueErrors
            raise self.unreadable(what, error) from error

    def readable(self, decoder: Decoder[Record], raw: bytes, what: str) -> Record | None:
        """The record; None when it cannot be read, which the log says."""
        with suppress(UnreadableRecord):
            return self.read(decoder, raw, what)
        return None

    def facts(self, webinar_id: str, replies: Sequence[bytes | None]) -> Facts:
        """Room, participation, roster entry and recording, as `load.lua` gives them. Raises UnreadableRecord."""
        room, participation, entry, recording = replies
        return Facts(
            room=self.read(ROOM, room, f"the room of {webinar_id}") if room else None,
            participation=self.read(PARTICIPATION, participation, f"a lead of {webinar_id}") if participation else None,
            entry=self.read(ENTRY, entry, f"a roster entry of {webinar_id}") if entry else None,
            named_recording=self.read(RECORDING, recording, f"the recording of {webinar_id}") if recording else None,
        )

    def unreadable(self, what: str, error: Exception) -> UnreadableRecord:
        """The refusal to raise, once the log has it; there it stands once a minute at most."""
        with suppress(TooManyRequests):
            self._told.check(what)
            logger.error("%s cannot be read by this version of the server: %s", what, error)
        return UnreadableRecord(f"{what} cannot be read by this version of the server")
