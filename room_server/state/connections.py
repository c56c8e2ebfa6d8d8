"""What updates of the bot change: bindings, chats and the replies that wait, all in one slot of Redis.

An update is loaded, decided in the core and committed, as a hook is: the commit compares the records that the decision
was made on, and each update counts once. All methods raise StateUnavailable.
"""

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from room_server.core.bindings import Binding, Chat, Person, PersonKind, lead
from room_server.core.connecting import Effect, UpdateFacts
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

SEEN_SECONDS = 2 * 86_400
"""How long the number of an update is kept: longer than Telegram keeps the update itself, which is a day."""
MOST_REPLIES = 50_000
"""Most replies that wait to be sent."""
REPLIES_EACH = 20
"""Most updates with a reply that one chat may send in a minute; the others count, and are not answered."""
BOT = "telegram"
"""What stands for a partition's tag in the keys of the bot that partitions have, too."""

_MSGPACK = msgspec.msgpack.Encoder()
_JSON = msgspec.json.Encoder()
_BINDING = msgspec.json.Decoder(Binding)
_CHAT = msgspec.json.Decoder(Chat)


class Record(Struct, frozen=True):
    """A stored record as text: a binding or a chat, by its field; empty: there is none."""

    kind: Literal["bindings", "chats", "replies"]
    name: str
    text: str


class Written(Struct, frozen=True, kw_only=True):
    """What `commit_update.lua` compares and writes."""

    lead: str
    """The lead's id, if the person is a lead: it must not have been forgotten meanwhile."""
    is_forgotten: bool
    is_bound: bool
    expected: list[Record]
    records: list[Record]
    replies: list[Record]


class LoadedUpdate(NamedTuple):
    """The facts of an update, and the records that they were read from."""

    facts: UpdateFacts
    expected: list[Record]


class Asked(NamedTuple):
    """Whom an update is about: its number, the chat that sent it, and the person that it names."""

    update_id: int
    chat_id: int
    person: Person | None


async def load(store: Store, asked: Asked) -> LoadedUpdate | None:
    """What is stored; None when the update counts already."""
    key, person = store.keys.bot, asked.person
    places = [key(f"update:{asked.update_id}"), key("bindings"), key("chats"), store.keys.forgotten(BOT)]
    async with deadline():
        arguments = [str(person or ""), _lead(person), asked.chat_id]
        reply = await store.run_replicated(Script.read("load_update"), places, arguments)
    if reply[0] == b"seen":
        return None
    _, raw, is_forgotten, *chats = reply
    expected = [Record("bindings", str(person), _text(raw))] if person is not None else []
    expected += [Record("chats", name.decode(), _text(record)) for name, record in pairs(chats)]
    known = {int(name): store.records.read(_CHAT, record, "a chat") for name, record in pairs(chats) if record}
    binding = store.records.read(_BINDING, raw, "a binding") if raw else None
    facts = UpdateFacts(person=person, is_forgotten=bool(is_forgotten), binding=binding, chats=known)
    return LoadedUpdate(facts, expected)


async def commit(store: Store, asked: Asked, loaded: LoadedUpdate, effect: Effect) -> int | None:
    """Write the effect that was decided on `loaded`; None when the records have changed since.

    Else how many replies were left out, because too many wait or the chat asks for too many.
    """
    key = store.keys.bot
    places = [
        *(key(f"update:{asked.update_id}"), key("bindings"), key("chats"), store.keys.forgotten(BOT)),
        *(key("replies"), key("replies_due"), store.keys.clock(BOT), key("bound"), key(f"asked:{asked.chat_id}")),
    ]
    written = _MSGPACK.encode(_written(asked, loaded, effect))
    async with deadline():
        arguments = [SEEN_SECONDS, written, MOST_REPLIES, REPLIES_EACH]
        reply = await store.run_replicated(Script.read("commit_update"), places, arguments)
    return None if reply[0] == b"conflict" else int(reply[1])


async def bound_count(store: Store) -> tuple[int, int]:
    """How many people were bound so far, and how many of them `bound_seen` was told of."""
    async with deadline():
        found = await store.call("MGET", store.keys.bot("bound"), store.keys.bot("bound_seen"))
    return int(found[0] or 0), int(found[1] or 0)


async def bound_seen(store: Store, count: int) -> None:
    """Messages were looked for that had waited for the first `count` of them."""
    async with deadline():
        await store.call("SET", store.keys.bot("bound_seen"), count)


async def forget(store: Store, lead_id: int, seconds: int) -> None:
    """Unbind a lead, and for so many seconds let no late update bind it again."""
    await _unbind(store, [str(lead(lead_id)), lead_id, seconds])


async def unbind(store: Store, person: Person) -> None:
    """Delete a person's binding, and what is known of its chat, unless that is somebody else's, too."""
    await _unbind(store, [str(person), "", 0])


async def _unbind(store: Store, arguments: list[Any]) -> None:
    async with deadline():
        places = [store.keys.bot("bindings"), store.keys.bot("chats"), store.keys.forgotten(BOT)]
        await store.run_replicated(Script.read("forget_person"), places, arguments)


def _written(asked: Asked, loaded: LoadedUpdate, effect: Effect) -> Written:
    records = [Record("chats", str(chat_id), _json(chat)) for chat_id, chat in effect.chats.items()]
    if effect.binding is not None:
        records.append(Record("bindings", str(asked.person), _json(effect.binding)))
    replies = enumerate(effect.replies)
    return Written(
        lead=_lead(asked.person),
        is_forgotten=loaded.facts.is_forgotten,
        is_bound=effect.is_bound,
        expected=loaded.expected,
        records=records,
        replies=[Record("replies", f"{asked.update_id}:{number}", _json(reply)) for number, reply in replies],
    )


def _lead(person: Person | None) -> str:
    return str(person.id) if person is not None and person.kind is PersonKind.LEAD else ""


def _json(value: Any) -> str:
    return _JSON.encode(value).decode()


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode()
