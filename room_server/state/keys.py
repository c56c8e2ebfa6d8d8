"""Every Redis key and channel of this product, by name.

All keys of one webinar carry the hash tag of its partition, so that one script may touch them on a Cluster.
`PERMANENT` lists the keys that may stand without a time to live; a test fixture holds us to it.
"""

import binascii
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

SLOTS = 16384
"""Hash slots of a Redis Cluster (CLUSTER KEYSLOT)."""

PREFIX = "rs:"
"""How every key and channel begins."""
PARTITIONS = "rs:partitions"
"""How many partitions this Redis was first started with."""

PERMANENT = (
    "room",
    "participations",
    "roster",
    "deliveries",
    "tally",
    "events",
    "outbox",
    "due",
    "fates",
    "evaluations",
    "webinars",
    "archived",
    "clock",
)
"""Kinds of keys that live as long as their webinar or, from the events on, as long as the partition."""


def hashed(key: str) -> str:
    """The part of a key that decides its slot: what stands in its first braces, else all of it."""
    start = key.find("{")
    end = key.find("}", start + 1)
    return key[start + 1 : end] if start >= 0 and end > start + 1 else key


def slot(key: str) -> int:
    """The slot of a key or bare tag: CRC-16/XMODEM of the tag mod 16384 (Redis Cluster specification)."""
    return binascii.crc_hqx(hashed(key).encode(), 0) % SLOTS


def key_of(command: Sequence[Any]) -> str:
    """The first key of ours in a command: they stand before what callers say. PARTITIONS, when it has none."""
    return next((word for word in command if isinstance(word, str) and word.startswith(PREFIX)), PARTITIONS)


def mark(key: str) -> str:
    """String with a time to live, in the slot of `key`: written only so that replicas can be waited for."""
    return f"rs:{{{hashed(key)}}}:mark"


@lru_cache(maxsize=8)
def tags(partitions: int) -> tuple[str, ...]:
    """One tag per partition, each from the middle of its own equal share of the slots: masters share the load evenly.

    The middle, because the borders of the masters run through shares whose number theirs does not divide.
    """
    found: dict[int, str] = {}
    number = 0
    while len(found) < partitions:
        share, place = divmod(slot(tag := f"p{number}") * partitions, SLOTS)
        if abs(place - SLOTS // 2) <= SLOTS // 16:
            found.setdefault(share, tag)
        number += 1
    return tuple(found[share] for share in range(partitions))


class Keys:
    """The keys of a Redis with `partitions` partitions."""

    def __init__(self, partitions: int) -> None:
        self.tags = tags(partitions)

    def tag(self, webinar_id: str) -> str:
        """The partition's tag: CRC32(webinar_id) mod the number of partitions."""
        return self.tags[binascii.crc32(webinar_id.encode()) % len(self.tags)]

    def _of(self, kind: str, webinar_id: str) -> str:
        return f"rs:{{{self.tag(webinar_id)}}}:{kind}:{webinar_id}"

    def room(self, webinar_id: str) -> str:
        """Hash: `stamp` (epoch:version), `record` (private, JSON), `public` (the room state's text).

        Beside the record of an archived room, which never changes: `recording`, named later for its messages (JSON).
        """
        return self._of("room", webinar_id)

    def participations(self, webinar_id: str) -> str:
        """Hash: lead id -> participation, JSON."""
        return self._of("participations", webinar_id)

    def roster(self, webinar_id: str) -> str:
        """Hash: lead id -> roster entry, JSON."""
        return self._of("roster", webinar_id)

    def deliveries(self, webinar_id: str) -> str:
        """Hash: `lead:kind` -> what became of the message, JSON."""
        return self._of("deliveries", webinar_id)

    def tally(self, webinar_id: str) -> str:
        """Hash of counters: `entered`, `completed`, `classified`, `attended`."""
        return self._of("tally", webinar_id)

    def done(self, webinar_id: str, commit_id: str) -> str:
        """String with a time to live: this commit was applied."""
        return f"rs:{{{self.tag(webinar_id)}}}:done:{commit_id}"

    def all_of(self, webinar_id: str) -> list[str]:
        """The keys that live as long as their webinar."""
        return [self._of(kind, webinar_id) for kind in ("room", "participations", "roster", "deliveries", "tally")]

    def to_delete(self, webinar_id: str, commit_id: str) -> list[str]:
        """The keys of `delete.lua`, in its order."""
        tag = self.tag(webinar_id)
        indices = [self.webinars(tag), self.evaluations(tag), self.archived(tag), self.fates(tag)]
        return [
            *(self.done(webinar_id, commit_id), *indices, self.deliveries(webinar_id)),
            *self.all_of(webinar_id),
        ]

    def staged(self, webinar_id: str, token: str) -> str:
        """Hash with a time to live: a roster on its way in."""
        return f"rs:{{{self.tag(webinar_id)}}}:staged:{token}"

    def webhook(self, digest: str) -> str:
        """String with a time to live: the answer that a signed request got."""
        return f"rs:webhook:{digest}"

    @staticmethod
    def nodes(tag: str) -> str:
        """Sorted set with a time to live: a process that speaks here -> when it was last heard, Unix milliseconds."""
        return f"rs:{{{tag}}}:nodes"

    @staticmethod
    def words(tag: str) -> str:
        """Hash with a time to live: a process that speaks here -> what it counts, JSON."""
        return f"rs:{{{tag}}}:words"

    @staticmethod
    def events(tag: str) -> str:
        """Stream: the hooks of the partition's webinars, in order."""
        return f"rs:{{{tag}}}:events"

    @staticmethod
    def outbox(tag: str) -> str:
        """Stream: wakes the sender; `webinar`, `field` (of `deliveries`), `at` (since when it waits, ms by `clock`)."""
        return f"rs:{{{tag}}}:outbox"

    @staticmethod
    def due(tag: str) -> str:
        """Sorted set: `webinar field` of a message that waits -> when it is due, ms by `clock`."""
        return f"rs:{{{tag}}}:due"

    @staticmethod
    def fates(tag: str) -> str:
        """Hash of counters: how many messages of the partition stand in each status."""
        return f"rs:{{{tag}}}:fates"

    @staticmethod
    def clock(tag: str) -> str:
        """Hash: the clock that `due`, `evaluations` and the entries of the outbox go by (see steady.lua)."""
        return f"rs:{{{tag}}}:clock"

    @staticmethod
    def pace(whose: str) -> str:
        """With a time to live. Strings: the next moment at which the bot, or a chat, may be written to, in ms.

        `<chat>:line`: the end of the line of those that wait for a chat; `floods`, a sorted set: who is in flood;
        `clock`, without a time to live: the clock that all these go by (see steady.lua).
        """
        return f"rs:{{pace}}:{whose}"

    @staticmethod
    def forgotten(tag: str) -> str:
        """Sorted set with a time to live: `lead`, or `lead webinar` -> until when nobody brings it back, Unix ms."""
        return f"rs:{{{tag}}}:forgotten"

    @staticmethod
    def evaluations(tag: str) -> str:
        """Sorted set: webinar -> when its evaluation is due, ms by `clock`."""
        return f"rs:{{{tag}}}:evaluations"

    @staticmethod
    def webinars(tag: str) -> str:
        """Sorted set: webinar -> scheduled time, Unix milliseconds."""
        return f"rs:{{{tag}}}:webinars"

    @staticmethod
    def archived(tag: str) -> str:
        """Sorted set: webinar -> when it was archived, Unix milliseconds: from then on its retention counts."""
        return f"rs:{{{tag}}}:archived"

    @staticmethod
    def channel(tag: str) -> str:
        """Sharded pub/sub channel: the public text of each room of the partition that changed."""
        return f"rs:{{{tag}}}:rooms"
