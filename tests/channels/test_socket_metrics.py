"""What a web process counts of its sockets, as it stands in its metrics."""

from typing import Any

from room_server.channels.socket_metrics import socket_metrics
from room_server.telemetry.prometheus import P
from tests.support import Site, next_state, room, serving, settings_for, wait_until


def counted(site: Site) -> dict[tuple[str, ...], Any]:
    """The samples of the process."""
    web = site.inside
    return dict(socket_metrics(web.hub, web.admission, web.listener))


async def test_sockets_are_counted_by_role_and_what_is_written_to_them(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, socket_writer="write")) as site:
        await site.transactions.create(room())
        empty = counted(site)
        async with site.socket() as one, site.socket("moderator") as other:
            for socket in (one, other):
                await next_state(socket)
            await site.status("start")
            for socket in (one, other):
                await next_state(socket)
            full = counted(site)
            metrics = (await site.http.get("/metrics")).text
        await wait_until(lambda: counted(site)[P + "sockets", "attendee"] == 0, "the sockets are gone")

    assert {empty[P + "sockets", role] for role in ("attendee", "moderator", "speaker")} == {0}
    assert [full[P + "sockets", role] for role in ("attendee", "moderator", "speaker")] == [1, 1, 0]
    assert (empty[P + "handshakes_total", "accepted"], full[P + "handshakes_total", "accepted"]) == (0, 2)
    assert (empty[P + "frames_total",], full[P + "frames_total",]) == (0, 2)
    assert full[P + "subscribed",] == full[P + "socket_writers", "write"] == 1
    assert 'room_server_sockets{role="attendee"} 1.0' in metrics


async def test_a_refused_handshake_is_counted_by_its_code(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url)) as site:
        refused = await site.http.get("/rooms/w/socket", headers={**site.bearer("attendee"), **UPGRADE})

        assert refused.status_code == 404
        assert counted(site)[P + "handshakes_total", "webinar_unknown"] == 1


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "room.v1",
}
