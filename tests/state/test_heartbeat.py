import asyncio

from room_server.state.heartbeat import Heartbeat, node_name
from room_server.state.presence import living
from room_server.state.store import Store
from tests.support import eventually


def test_a_nodes_name_is_its_own() -> None:
    assert node_name() != node_name()


async def test_a_process_is_counted_while_it_beats_and_withdrawn_when_it_ends(store: Store) -> None:
    heartbeat = Heartbeat(store, "n-1", lambda: {"kind": "web", "total": 3, "rooms": {"w": {"attendee": 3}}})
    beating = asyncio.create_task(heartbeat.beat())
    try:

        async def counted() -> bool:
            return [(node.node, node.kind, node.total) for node in await living(store)] == [("n-1", "web", 3)]

        await eventually(counted, "the process is counted")
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
    assert await living(store) == []
