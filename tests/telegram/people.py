"""People who are bound to chats, for tests in which it does not matter how they came there."""

import msgspec

from room_server.core.bindings import Binding, Person
from room_server.state.store import Store
from tests.support import AT


async def bind(store: Store, person: Person, chat_id: int) -> None:
    """The person's chat is this one."""
    await store.call("HSET", store.keys.bot("bindings"), str(person), msgspec.json.encode(Binding(chat_id, AT)))
