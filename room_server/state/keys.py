"""Every Redis key and channel of this product, by name.

All keys of a webinar carry the hash tag of its partition, `rs:{TAG}:...`, so that one script may touch them on a
Cluster. The tag is `p` and a number. A key that is not in `PERMANENT` must have a time to live; a test fixture checks
that after each test.
"""

import binascii
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

SLOTS = 16384
"""Hash slots of a Redis Cluster (CLUSTER KEYSLOT)."""

PREFIX = "rs:"
"""The beginning of every key and channel."""
PARTITIONS = "rs:partitions"
"""String: the number of partitions that this Redis was first started with."""

OF_A_ROOM = ("room", "participations", "roster", "deliveries", "tally", "watch")
"""Kinds of keys of a webinar that `commit.lua` reads or writes."""
OF_A_WEBINAR = (*OF_A_ROOM, "links")
"""Kinds of keys that are deleted with their webinar."""
OF_A_COMMIT = ("events", "outbox", "urgent", "announcements", "evaluations", "webinars", "archived", "fates", "clock")
"""Kinds of keys of a partition that `commit.lua` writes."""
OF_THE_SITE = ("receivers", "receiver", "parked")
"""Kinds of keys of a partition about the receivers of its events."""
OF_THE_BOT = ("bindings", "chats", "secret", "replies", "replies_due", "bound", "bound_seen")
"""Kinds of keys of the bot and of the people who write to it, without a time to live."""
PERMANENT = (*OF_A_WEBINAR, *OF_A_COMMIT, *OF_THE_SITE, *OF_THE_BOT, "due", "erasures")
"""Kinds of keys without a time to live: they live as long as their webinar, their partition or the bot."""


def hashed(key: str) -> str:
    """The part of a key that decides its slot: what its first braces hold, or all of it if that is nothing."""
    start = key.find("{")
    end = key.find("}", start + 1)
    return key[start + 1 : end] if start >= 0 and end > start + 1 else key


def slot(key: str) -> int:
    """The slot of a key or bare tag: CRC-16/XMODEM of the tag mod 16384 (Redis Cluster specification)."""
    return binascii.crc_hqx(hashed(key).encode(), 0) % SLOTS


def key_of(command: Sequence[Any]) -> str:
    """The first key in a command; PARTITIONS if it has none. In a command, keys come before the caller's values."""
    return next((part for part in command if isinstance(part, str) and part.startswith(PREFIX)), PARTITIONS)


def mark(key: str) -> str:
    """String with a time to live, in the slot of `key`: written only so that replicas can be waited for."""
    return f"rs:{{{hashed(key)}}}:mark"


@lru_cache(maxsize=8)
def tags(partitions: int) -> tuple[str, ...]:
    """One tag per partition. Each has a slot near the middle of its own equal share of all slots.

    So every primary gets the same number of partitions, give or take one. Near the edge of a share, a tag could fall
    to the wrong primary, because the ranges of the primaries need not end where the shares do.
    """
    found: dict[int, str] = {}
    number = 0
    while len(found) < partitions:
        share, place = divmod(slot(tag := f"p{number}") * partitions, SLOTS)
        if abs(place - SLOTS // 2) <= SLOTS // 16:
            found.setdefault(share, tag)
        number += 1
    return tuple(found[share] for share in range(partitions))


def _of_partition(kind: str) -> Callable[[str], str]:
    """The function from a partition's tag to its key of this kind."""

    def key(tag: str) -> str:
        return f"rs:{{{tag}}}:{kind}"

    return key


class Keys:
    """The keys of a Redis with `partitions` partitions.

    The attributes are functions that give a key: seven of them from a webinar's id, `done`, `staged` and `warned` from
    that and a second id, all others from a partition's tag (`check` also from a hash). Renaming a kind would lose what
    is stored.
    """

    def __init__(self, partitions: int) -> None:
        self.tags = tags(partitions)
        self.room = self._of_webinar("room")
        """Hash: `stamp` (epoch:version), `record` (private, JSON), `public` (the room state as it is sent, JSON),
        `unlisted` (only if the schedule leaves it out).

        An archived room's record never changes. A recording named after that is in a field `recording` (JSON).
        """
        self.participations = self._of_webinar("participations")
        """Hash: lead id -> participation, JSON."""
        self.roster = self._of_webinar("roster")
        """Hash: lead id -> roster entry, JSON."""
        self.deliveries = self._of_webinar("deliveries")
        """Hash: `lead:kind` -> delivery of that message, JSON."""
        self.tally = self._of_webinar("tally")
        """Hash of counters: leads that `entered`, were `classified`, `attended`, `clicked` the CTA."""
        self.watch = self._of_webinar("watch")
        """Hash: lead id -> the slots of the time on air that the lead was seen in, a bitmap (core.watch_time)."""
        self.links = self._of_webinar("links")
        """Hash of short links: SHA-256 of a code -> claims, JSON; `lead:` and a lead's id -> its hashes, by spaces."""
        self.done = self._of_id("done")
        """String with a time to live: the commit with this id was applied."""
        self.staged = self._of_id("staged")
        """Hash with a time to live: the part of a roster that the import with this id has sent so far."""
        self.warned = self._of_id("warned")
        """String with a time to live: when it was first warned that the webinar will be stopped, Unix ms."""

    events = staticmethod(_of_partition("events"))
    """Stream: the hooks of the partition's webinars, in order."""
    outbox = staticmethod(_of_partition("outbox"))
    """Stream: wakes the sender; `webinar`, `field` (of `deliveries`), `at` (since when it waits, ms by `clock`)."""
    urgent = staticmethod(_of_partition("urgent"))
    """Stream: the same for messages that go before the others."""
    announcements = staticmethod(_of_partition("announcements"))
    """Sorted set: `webinar name` of what registered leads are to be told -> when it is due, Unix ms."""
    due = staticmethod(_of_partition("due"))
    """Sorted set: `webinar field` of a message that waits -> when it is due, ms by `clock`."""
    fates = staticmethod(_of_partition("fates"))
    """Hash of counters: how many messages of the partition have each status."""
    clock = staticmethod(_of_partition("clock"))
    """Hash: the clock for `due`, `evaluations` and the entries of the outbox (see steady.lua)."""
    forgotten = staticmethod(_of_partition("forgotten"))
    """Sorted set with a time to live: `lead`, or `lead webinar` -> until when imports leave the lead out, Unix ms."""
    receivers = staticmethod(_of_partition("receivers"))
    """Hash: id of a receiver of the events -> its URL as people see it."""
    erasures = staticmethod(_of_partition("erasures"))
    """Sorted set: `lead`, or `lead webinar` -> the time of the last stream entry of theirs to be erased, Unix ms."""
    evaluations = staticmethod(_of_partition("evaluations"))
    """Sorted set: webinar -> when its evaluation is due, ms by `clock`."""
    webinars = staticmethod(_of_partition("webinars"))
    """Sorted set: webinar -> scheduled time, Unix ms."""
    archived = staticmethod(_of_partition("archived"))
    """Sorted set: webinar -> when it was archived, Unix ms; its retention counts from then on."""
    nodes = staticmethod(_of_partition("nodes"))
    """Sorted set with a time to live: process that reports here -> when it last did, Unix ms."""
    probe = staticmethod(_of_partition("probe"))
    """String with a time to live: written and deleted at a start, to learn whether that is allowed; also a channel."""
    reports = staticmethod(_of_partition("words"))
    """Hash with a time to live: process that reports here -> its report, JSON."""
    channel = staticmethod(_of_partition("rooms"))
    """Sharded pub/sub channel: the public text of each room of the partition that changed."""

    def tag(self, webinar_id: str) -> str:
        """The partition's tag: CRC32(webinar_id) mod the number of partitions."""
        return self.tags[binascii.crc32(webinar_id.encode()) % len(self.tags)]

    def _of_webinar(self, kind: str) -> Callable[[str], str]:
        return lambda webinar_id: f"rs:{{{self.tag(webinar_id)}}}:{kind}:{webinar_id}"

    def _of_id(self, kind: str) -> Callable[[str, str], str]:
        return lambda webinar_id, name: f"rs:{{{self.tag(webinar_id)}}}:{kind}:{name}"

    @staticmethod
    def receiver(tag: str, name: str) -> str:
        """Hash about a receiver in a partition: `progress` (JSON), `place` (stream id of the last event that is done
        with), `read` (how many events of the stream were handed out, lost or erased, as the stream counts them), `lost`
        (events that were cut off before that), `erased` (events that were erased before that, or while they were
        parked), `lease` (until when, ms by `clock`, and which worker may send).
        """
        return f"rs:{{{tag}}}:receiver:{name}"

    @staticmethod
    def parked(tag: str, name: str) -> str:
        """Hash: stream id of an event that the receiver refused -> why and when, JSON."""
        return f"rs:{{{tag}}}:parked:{name}"

    @staticmethod
    def webhook(digest: str) -> str:
        """String with a time to live: the answer that a signed request got."""
        return f"rs:webhook:{digest}"

    @staticmethod
    def link(digest: str) -> str:
        """String with a time to live: the webinar of the short link whose code has this hash."""
        return f"rs:link:{digest}"

    @staticmethod
    def pace(whose: str) -> str:
        """With a time to live. Strings: the next moment at which the bot, or a chat, may be written to, in ms.

        `<chat>:line`: the end of the queue for a chat; `floods`, a sorted set: private chats that Telegram told to
        wait; `clock`, without a time to live: the clock for all of these (see steady.lua).
        """
        return f"rs:{{pace}}:{whose}"

    @staticmethod
    def check(tag: str, digest: str) -> str:
        """String with a time to live: the event of the site's check whose nonce has this hash was appended."""
        return f"rs:{{{tag}}}:check:{digest}"

    @staticmethod
    def bot(kind: str) -> str:
        """A key of the bot; all of them are in one slot.

        `bindings`: hash, `lead:42` or `partner:7` -> the person's chat, JSON. `chats`: hash, chat id -> whose it is and
        whether it wants messages, JSON. `secret`: string, a random key for links if there is no TOKEN_SECRET.
        `replies`: hash, name -> a reply that waits, JSON, and `<name> tries`, how often it was taken; `replies_due`:
        sorted set, name -> when it is due. `bound`: string, counts who was bound; `bound_seen`: of how many of them the
        messages were looked at.

        With a time to live: `name`, the bot's user name; `receiver`, who receives the updates; `update:<number>`, one
        that counts already; `asked:<chat>`, how many replies the chat asked for in this minute; `tidied`, that the
        bindings were looked through today.
        """
        return f"rs:{{telegram}}:{kind}"

    def of_commit(self, webinar_id: str, commit_id: str) -> dict[str, str]:
        """The keys that `commit.lua` reads and writes, by the names that it uses for them."""
        tag = self.tag(webinar_id)
        return {
            "done": self.done(webinar_id, commit_id),
            **dict(zip(OF_A_ROOM, self.all_of(webinar_id), strict=False)),
            **{kind: f"rs:{{{tag}}}:{kind}" for kind in OF_A_COMMIT},
            "channel": self.channel(tag),
        }

    def all_of(self, webinar_id: str) -> list[str]:
        """The keys that are deleted with the webinar, in the order of OF_A_WEBINAR."""
        tag = self.tag(webinar_id)
        return [f"rs:{{{tag}}}:{kind}:{webinar_id}" for kind in OF_A_WEBINAR]

    def to_delete(self, webinar_id: str, commit_id: str) -> list[str]:
        """The keys of `delete.lua`, in its order."""
        tag = self.tag(webinar_id)
        indices = [self.webinars(tag), self.evaluations(tag), self.archived(tag), self.fates(tag)]
        indices.append(self.announcements(tag))
        return [self.done(webinar_id, commit_id), *indices, self.deliveries(webinar_id), *self.all_of(webinar_id)]
