"""GET /monitor/socket: the counts, pushed once a second, with the socket's own rules."""

import asyncio
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from room_server.channels.hub import Hub
from room_server.channels.reader import CountsFeed
from room_server.channels.subscribers import counts_group
from room_server.core.room import Status
from room_server.errors import CloseCode
from room_server.state.store import Store
from tests.outage import own_redis
from tests.support import PATIENCE, Site, eventually, next_state, room, serving, settings_for, wait_until
from tests.timelapse import timelapse

COUNTS_PATH = "/monitor/socket"


async def pushed(socket: ClientConnection) -> dict[str, Any]:
    """The next counts."""
    async with asyncio.timeout(PATIENCE):
        counted: dict[str, Any] = msgspec.json.decode(await socket.recv())
    return counted


async def test_what_is_pushed_is_what_counts_answers(site: Site) -> None:
    await site.transactions.create(room(status=Status.LIVE))
    async with site.socket("monitor", "*", path=COUNTS_PATH) as monitor, site.socket() as attendee:
        await next_state(attendee)

        async def counted() -> bool:
            return bool((await pushed(monitor))["total"] == 1)

        await eventually(counted, "the attendee is counted, the monitor is not")
        asked = (await site.http.get("/monitor/counts", headers=site.bearer("monitor", "*"))).json()
        pushed_counts = await pushed(monitor)
        assert (pushed_counts.keys(), pushed_counts["rooms"][0]) == (asked.keys(), asked["rooms"][0])


async def test_the_counts_come_again_and_again(site: Site) -> None:
    async with site.socket("monitor", "*", path=COUNTS_PATH) as monitor:
        nodes = [(await pushed(monitor))["nodes"] for _ in range(3)]

    assert len(nodes) == 3


async def test_a_token_for_one_webinar_sees_that_room_only(site: Site) -> None:
    for name in ("w", "other"):
        await site.transactions.create(room(name, status=Status.LIVE))
    async with site.socket("speaker", path=COUNTS_PATH) as one, site.socket("monitor", "*", path=COUNTS_PATH) as every:
        assert [counted["webinar_id"] for counted in (await pushed(one))["rooms"]] == ["w"]
        assert [counted["webinar_id"] for counted in (await pushed(every))["rooms"]] == ["other", "w"]


@pytest.mark.parametrize("role", ["attendee", "moderator", "guest"])
async def test_a_role_that_may_not_read_the_counts_is_refused(site: Site, role: str) -> None:
    assert await refused(site, "*", role) == 403


async def test_the_monitors_socket_is_read_only_too(site: Site) -> None:
    async with site.socket("monitor", "*", path=COUNTS_PATH) as monitor:
        await monitor.send("anything")
        await monitor.wait_closed()
    assert monitor.close_code == CloseCode.READ_ONLY


async def test_a_monitor_that_is_gone_is_not_kept(site: Site) -> None:
    async with site.socket("monitor", "*", path=COUNTS_PATH) as monitor:
        await pushed(monitor)
        assert site.inside.hub.scopes() == ["*"]
    await wait_until(lambda: not (site.inside.hub.groups or site.inside.admission.total), "no monitor is left")


async def test_a_webinar_that_cannot_be_read_is_missing_from_the_counts_and_ends_nothing(site: Site) -> None:
    for name in ("w", "other"):
        await site.transactions.create(room(name, status=Status.LIVE))
    await site.raw.hset(site.store.keys.room("w"), "public", "rubbish")
    async with site.socket("monitor", "*", path=COUNTS_PATH) as every:
        pushed_counts = [await pushed(every) for _ in range(2)]

    assert [[one["webinar_id"] for one in counted["rooms"]] for counted in pushed_counts] == [["other"]] * 2


async def refused(site: Site, scope: str, role: str = "monitor") -> int:
    """The status with which a monitor of this scope is refused."""
    with pytest.raises(InvalidStatus) as answer:
        await site.socket(role, scope, path=COUNTS_PATH)
    return answer.value.response.status_code


async def is_refused(site: Site, scope: str) -> bool:
    """Whether a monitor that comes now is refused with 503."""
    try:
        await (await site.socket("monitor", scope, path=COUNTS_PATH)).close()
    except InvalidStatus as answer:
        return answer.response.status_code == 503
    return False


async def test_a_monitor_survives_redis_and_one_that_comes_meanwhile_is_refused() -> None:
    async with (
        own_redis() as server,
        serving(settings_for(server.url)) as site,
        site.socket("monitor", "*", path=COUNTS_PATH, max_queue=None) as monitor,  # it reads late
    ):
        await pushed(monitor)
        await server.kill()
        await eventually(lambda: is_refused(site, "w"), "what was read just before is forgotten")
        await server.start()

        async with site.socket("monitor", "w", path=COUNTS_PATH) as other:
            assert (await pushed(other))["total"] == 0
        assert (await pushed(monitor))["total"] == 0


def test_the_counts_are_read_once_a_second_while_there_is_a_monitor(store: Store) -> None:
    """The first monitor of a scope is served at once, and nothing is read without one."""
    read_at = timelapse(readings(Hub(store)))

    assert read_at == [(10.0, "*"), (11.0, "*"), (12.0, "*"), (12.5, "*"), (12.5, "w"), (13.5, "w")]


async def readings(hub: Hub) -> list[tuple[float, str]]:
    """When which scope was read: one monitor comes after 10 s, another after 12.5 s; then they leave one by one."""
    read_at: list[tuple[float, str]] = []

    async def read(scope: str) -> bytes:
        read_at.append((asyncio.get_running_loop().time(), scope))
        return b"{}"

    pushing = asyncio.create_task(CountsFeed(hub, read).push())
    await asyncio.sleep(10)
    hub.group(counts_group("*"))
    await asyncio.sleep(2.5)
    hub.group(counts_group("w"))
    await asyncio.sleep(0.5)
    del hub.groups[counts_group("*")]
    await asyncio.sleep(1)
    hub.groups.clear()
    await asyncio.sleep(10)
    pushing.cancel()
    await asyncio.gather(pushing, return_exceptions=True)
    return read_at
