"""Redis gone, for a whole site: hooks say so within two seconds, sockets stay, and all heals by itself."""

import asyncio
import time
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from room_server.clock import utc_now
from room_server.state.redis.retry import DEADLINE
from tests.channels.test_hub import put
from tests.outage import OwnRedis, own_redis
from tests.proxy import proxy_to
from tests.raw import connecting, handshake
from tests.support import (
    HOOK_SECRET,
    PATIENCE,
    SLACK,
    Site,
    eventually,
    next_state,
    room,
    serving,
    settings_for,
    state_where,
    transactions,
    wait_until,
)

WITHIN = DEADLINE + SLACK
"""Seconds within which a caller hears that the state cannot be reached."""


@asynccontextmanager
async def on_its_own() -> AsyncIterator[tuple[OwnRedis, Site]]:
    """A site on a Redis that is in the test's hands."""
    async with own_redis() as redis, serving(settings_for(redis.url)) as site:
        await site.transactions.create(room())
        yield redis, site


async def unavailable(site: Site) -> None:
    """A hook is refused for now, in time."""
    began = time.monotonic()
    answer = await site.status("start")
    told = (answer.status_code, answer.json()["code"], answer.headers["retry-after"])
    assert told == (503, "state_unavailable", "1")
    assert time.monotonic() - began < WITHIN


async def nothing_can_be_read(site: Site) -> None:
    """The state, the schedule and a room's first socket are refused for now, in time, and however many ask."""
    began = time.monotonic()
    answers = await asyncio.gather(site.state(), *(site.http.get("/webinars") for _ in range(20)))
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "state_unavailable")}
    assert time.monotonic() - began < WITHIN


async def alive_and_not_ready(site: Site, deaf: bool) -> None:
    """A platform sends nobody here, and restarts nobody. A killed server is heard of at once, a frozen one later."""
    alive, ready = await asyncio.gather(site.http.get("/healthz"), site.http.get("/readyz"))
    parts = ready.json()["parts"]
    assert (alive.status_code, ready.status_code, parts["redis"]) == (200, 503, False)
    assert not (deaf and parts["listener"])


async def ready(site: Site) -> bool:
    return (await site.http.get("/readyz")).status_code == 200


async def nobody_new_comes_in(site: Site) -> None:
    """A room that nobody watches yet would have to be read."""
    async with connecting(site) as raw:
        await raw.send(handshake(site, "unread"))
        answer = await raw.answer()
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "state_unavailable", "1")


async def started(site: Site) -> httpx.Response:
    """The answer of the first start that is not refused for now."""

    async def accepted() -> httpx.Response | None:
        answer = await site.status("start")
        return answer if answer.status_code == 200 else None

    found: httpx.Response = await eventually(accepted, "the hook is accepted again")
    return found


async def schedule(site: Site) -> list[dict[str, Any]]:
    """What is listed; nothing, as long as it cannot be read."""
    listed: list[dict[str, Any]] = (await site.http.get("/webinars")).json().get("webinars", [])
    return listed


async def survived(redis: OwnRedis, frozen: bool) -> None:
    """Two sites, a socket at each, and their Redis gone for a while."""
    settings = settings_for(redis.url)
    async with serving(settings) as one, serving(settings) as other:
        await transactions(one.store).create(room())
        async with one.socket() as here, other.socket() as there:
            await asyncio.gather(next_state(here), next_state(there))
            await (to_thread(redis.freeze) if frozen else redis.kill())
            hooks = (unavailable(site) for site in (one, other) * 5)
            await asyncio.gather(
                *hooks, nothing_can_be_read(one), nobody_new_comes_in(other), alive_and_not_ready(one, not frozen)
            )
            assert await asyncio.wait_for(await here.ping(), PATIENCE) >= 0
            await (to_thread(redis.thaw) if frozen else redis.start())
            answer = await started(other)
            assert await eventually(lambda: ready(one), "the process is ready again")
            assert (await eventually(lambda: schedule(one), "the schedule can be read"))[0]["webinar_id"] == "w"
            live = await asyncio.gather(state_where(here, status="live"), state_where(there, status="live"))
            assert [state["version"] for state in live] == [answer.json()["version"]] * 2
            await one.status("stop")
            ended = await asyncio.gather(state_where(here, status="finished"), state_where(there, status="finished"))
            assert ended[0] == ended[1]


async def test_hooks_say_so_sockets_stay_and_all_heals() -> None:
    async with own_redis() as freezing, own_redis() as dying:
        await asyncio.gather(survived(freezing, frozen=True), survived(dying, frozen=False))


async def test_a_change_whose_publish_was_lost_meanwhile_reaches_everyone() -> None:
    async with on_its_own() as (redis, site), site.socket() as socket:
        standing = await next_state(socket)
        newer = room("w", epoch=standing["epoch"], version=5, title="newer")
        redis.freeze()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(put(site.raw, site.store, newer))
            listener = site.inside.listener
            await wait_until(lambda: not listener.subscribed.is_set(), "the listener is deaf, and knows it")
            redis.thaw()
        assert (await state_where(socket, title="newer"))["version"] == 5


async def test_a_signed_hook_says_so_in_time_although_it_asks_thrice(valkey_url: str) -> None:
    """Each reply comes in time for itself, and all of them too late for the caller."""
    body = b'{"webinar_id":"w","lead_id":7,"timestamp":1}'
    now = utc_now()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(HOOK_SECRET).sign("msg_1", now, body.decode()),
    }
    async with proxy_to(valkey_url) as proxy, serving(settings_for(proxy.url)) as site:
        await site.transactions.create(room())
        await site.status("start")
        proxy.delay = 0.7
        began = time.monotonic()
        answer = await site.http.post("/hooks/client_webinar_entered", content=body, headers=headers)
        assert (answer.status_code, time.monotonic() - began < WITHIN) == (503, True)
        proxy.delay = 0.0

        async def entered() -> bool:
            again = await site.http.post("/hooks/client_webinar_entered", content=body, headers=headers)
            return again.status_code == 200

        assert await eventually(entered, "the repeat is accepted")


async def test_redis_gone_for_a_moment_is_not_noticed() -> None:
    async with on_its_own() as (redis, site), site.socket() as socket:
        await next_state(socket)
        redis.freeze()
        asyncio.get_running_loop().call_later(0.3, redis.thaw)
        assert (await site.status("start")).status_code == 200
        assert (await state_where(socket, status="live"))["version"] == 2
