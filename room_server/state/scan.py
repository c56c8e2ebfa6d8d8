"""Reading a large hash slice by slice, so that neither Redis nor this process holds its breath."""

from collections.abc import AsyncIterator

from room_server.state.patience import deadline
from room_server.state.pipeline import pairs
from room_server.state.store import Store

SLICE = 500
"""Fields that one read brings, about."""


async def slices(store: Store, key: str) -> AsyncIterator[dict[bytes, bytes]]:
    """The hash at `key`, in no order and never an empty slice. Raises StateUnavailable.

    What stands throughout the pass is read; what changes meanwhile may come twice (HSCAN's guarantees).
    """
    cursor = 0
    while True:
        async with deadline():
            cursor, found = await store.ask("HSCAN", key, cursor, "COUNT", SLICE)
        if part := dict(pairs(found)):
            yield part
        if int(cursor) == 0:
            return
