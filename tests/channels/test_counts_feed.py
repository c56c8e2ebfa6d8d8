"""GET /monitor/socket: the counts, pushed once a second, with the socket's own rules."""

import asyncio
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from room_server.core.room import Status
from room_server.errors import CloseCode
from tests.outage import own_redis
from tests.support import PATIENCE, Site, eventually, next_state, room, serving, settings_for, wait_until

WATCH = "/monitor/socket"


async def pushed(socket: ClientConnection) -> dict[str, Any]:
    """The next counts."""
    async with asyncio.timeout(PATIENCE):
        counted: dict[str, Any] = msgspec.json.decode(await socket.recv())
    return counted


async def test_what_is_pushed_is_what_counts_answers(site: Site) -> None:
    await site.transactions.create(room(status=Status.LIVE))
    async with site.socket("monitor", "*", path=WATCH) as monitor, site.socket() as attendee:
        await next_state(attendee)

        async def counted() -> bool:
            return bool((await pushed(monitor))["total"] == 1)

        await eventually(counted, "the attendee is counted, the monitor is not")
        asked = (await site.http.get("/monitor/counts", headers=site.bearer("monitor", "*"))).json()
        told = await pushed(monitor)
        assert (told.keys(), told["rooms"][0]) == (asked.keys(), asked["rooms"][0])


async def test_the_counts_come_again_and_again(site: Site) -> None:
    async with site.socket("monitor", "*", path=WATCH) as monitor:
        beats = [(await pushed(monitor))["nodes"] for _ in range(3)]

    assert len(beats) == 3


async def test_a_token_for_one_webinar_sees_that_room_only(site: Site) -> None:
    for name in ("w", "other"):
        await site.transactions.create(room(name, status=Status.LIVE))
    async with site.socket("speaker", path=WATCH) as one, site.socket("monitor", "*", path=WATCH) as every:
        assert [counted["webinar_id"] for counted in (await pushed(one))["rooms"]] == ["w"]
        assert [counted["webinar_id"] for counted in (await pushed(every))["rooms"]] == ["other", "w"]


@pytest.mark.parametrize("role", ["attendee", "moderator", "guest"])
async def test_who_may_not_read_the_counts_may_not_watch_them(site: Site, role: str) -> None:
    assert await refused(site, "*", role) == 403


async def test_the_monitors_socket_is_read_only_too(site: Site) -> None:
    async with site.socket("monitor", "*", path=WATCH) as monitor:
        await monitor.send("anything")
        await monitor.wait_closed()
    assert monitor.close_code == CloseCode.READ_ONLY


async def test_nobody_is_kept_who_has_gone(site: Site) -> None:
    async with site.socket("monitor", "*", path=WATCH) as monitor:
        await pushed(monitor)
        assert site.inside.hub.scopes() == ["*"]
    await wait_until(lambda: not (site.inside.hub.groups or site.inside.admission.total), "nobody watches")


async def test_a_webinar_that_cannot_be_read_is_missing_from_the_counts_and_ends_nothing(site: Site) -> None:
    for name in ("w", "other"):
        await site.transactions.create(room(name, status=Status.LIVE))
    await site.raw.hset(site.store.keys.room("w"), "public", "rubbish")
    async with site.socket("monitor", "*", path=WATCH) as every:
        told = [await pushed(every) for _ in range(2)]

    assert [[one["webinar_id"] for one in counted["rooms"]] for counted in told] == [["other"]] * 2


async def refused(site: Site, scope: str, role: str = "monitor") -> int:
    """The status with which a monitor of this scope is turned away."""
    with pytest.raises(InvalidStatus) as answer:
        await site.socket(role, scope, path=WATCH)
    return answer.value.response.status_code


async def turned_away(site: Site, scope: str) -> bool:
    """Whether a monitor that comes now is told that there is no state."""
    try:
        await (await site.socket("monitor", scope, path=WATCH)).close()
    except InvalidStatus as answer:
        return answer.response.status_code == 503
    return False


async def test_a_monitor_survives_redis_and_one_that_comes_meanwhile_is_refused() -> None:
    async with (
        own_redis() as server,
        serving(settings_for(server.url)) as site,
        site.socket("monitor", "*", path=WATCH, max_queue=None) as monitor,  # it may read late
    ):
        await pushed(monitor)
        await server.kill()
        await eventually(lambda: turned_away(site, "w"), "what was read just before is forgotten")
        await server.start()

        async with site.socket("monitor", "w", path=WATCH) as other:
            assert (await pushed(other))["total"] == 0
        assert (await pushed(monitor))["total"] == 0
