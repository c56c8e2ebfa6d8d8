"""Stored records as typed values. A record that cannot be read affects its webinar or lead, and nothing else.

It may be damaged, or written by a newer version: before a downgrade, or during a rolling upgrade.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from room_server.core import watch_time
from room_server.core.decision_types import Facts
from room_server.core.delivery import Delivery
from room_server.core.room import Participation, Recording, Room, RosterEntry
from room_server.errors import TooManyRequests, UnreadableRecord
from room_server.rate_limit import Throttle

logger = logging.getLogger(__name__)

LOG_EVERY = 60.0
"""Seconds between two log lines about the same record, which may be read again and again."""

ROOM = msgspec.json.Decoder(Room)
PARTICIPATION = msgspec.json.Decoder(Participation)
ENTRY = msgspec.json.Decoder(RosterEntry)
DELIVERY = msgspec.json.Decoder(Delivery)
RECORDING = msgspec.json.Decoder(Recording)
Record = TypeVar("Record")
Decoder = msgspec.json.Decoder[Record] | msgspec.msgpack.Decoder[Record]


class Target(NamedTuple):
    """The webinar and the lead of a decision; `lead` is empty when the decision is about the room alone."""

    webinar_id: str
    lead: str = ""


class Loaded(Struct, frozen=True, kw_only=True):
    """The facts for a decision, and the stored bytes of the lead's records, which the commit compares."""

    target: Target
    facts: Facts
    participation: bytes = b""
    entry: bytes = b""


class LeadRecords(NamedTuple):
    """The stored bytes of a lead's records; empty: there is none."""

    id: bytes
    participation: bytes
    entry: bytes
    slots: bytes = b""


class Records:
    """Decodes stored records. `what` names the record in the log and in errors, without personal data."""

    def __init__(self) -> None:
        self._log_rate = Throttle(1 / LOG_EVERY, 1)

    def read(self, decoder: Decoder[Record], raw: bytes, what: str) -> Record:
        """The record. Raises UnreadableRecord."""
        try:
            return decoder.decode(raw)
        except (ValueError, RecursionError) as error:  # msgspec's errors of decoding are ValueErrors
            raise self.unreadable(what, error) from error

    def readable(self, decoder: Decoder[Record], raw: bytes, what: str) -> Record | None:
        """The record; None when it cannot be read, which is logged."""
        with suppress(UnreadableRecord):
            return self.read(decoder, raw, what)
        return None

    def facts(self, webinar_id: str, replies: Sequence[bytes | None]) -> Facts:
        """The facts in a reply of `load.lua`: room, participation, roster entry, recording, slots.

        Raises UnreadableRecord.
        """
        room, participation, entry, recording, slots = replies
        return Facts(
            room=self.read(ROOM, room, f"the room of {webinar_id}") if room else None,
            participation=self.read(PARTICIPATION, participation, f"a lead of {webinar_id}") if participation else None,
            entry=self.read(ENTRY, entry, f"a roster entry of {webinar_id}") if entry else None,
            named_recording=self.read(RECORDING, recording, f"the recording of {webinar_id}") if recording else None,
            slots=watch_time.from_bytes(slots) if slots else 0,
        )

    def unreadable(self, what: str, error: Exception) -> UnreadableRecord:
        """The error to raise. It is logged at most once in LOG_EVERY for each `what`."""
        with suppress(TooManyRequests):
            self._log_rate.check(what)
            logger.error("%s cannot be read by this version of the server: %s", what, error)
        return UnreadableRecord(f"{what} cannot be read by this version of the server")
