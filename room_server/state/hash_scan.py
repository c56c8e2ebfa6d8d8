"""Reading a large hash slice by slice, so that neither Redis nor this process holds its breath."""

from collections.abc import AsyncIterator

from room_server.errors import StateUnavailable
from room_server.state.redis.pipeline import Script, pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store

SLICE = 500
"""Fields that one read brings, about."""


async def hash_slices(store: Store, key: str) -> AsyncIterator[dict[bytes, bytes]]:
    """The hash at `key`, in no order and never an empty slice. Raises StateUnavailable.

    What stands throughout the pass is read; what changes meanwhile may come twice (HSCAN's guarantees). They hold as
    long as one server answers: a cursor that a restart or a fail-over survived would leave fields out in silence.
    """
    script, cursor, reader = Script.read("scan"), 0, b""
    while True:
        async with deadline():
            cursor, found, server = await store.run(script, [key], [cursor, SLICE])
        if server != (reader or server):
            raise StateUnavailable("Redis was restarted in the middle of a long reading; repeat the request")
        reader = server
        if part := dict(pairs(found)):
            yield part
        if int(cursor) == 0:
            return
