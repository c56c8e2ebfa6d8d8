from tests.support import Site, next_state, room, state_where


async def test_a_socket_gets_the_snapshot_and_then_each_change(site: Site) -> None:
    await site.store.create(room())
    async with site.socket() as socket:
        assert socket.subprotocol == "room.v1"
        assert (await next_state(socket))["status"] == "scheduled"
        await site.status("start")
        assert (await state_where(socket, status="live"))["version"] == 2
