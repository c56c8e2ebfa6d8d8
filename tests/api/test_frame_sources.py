"""Whom a room's page may frame, told by the header of the page."""

import time

import httpx
import pytest

from room_server.api import frame_sources
from room_server.api.frame_sources import ANYBODY, NOBODY, FrameSources, allowed, source
from room_server.core.room import Status
from tests.outage import own_redis
from tests.support import Site, eventually, room, serving, settings_for

PLAYER = "https://player.example.org/embed/7?autoplay=1"


def policy_sources(answer: httpx.Response) -> str:
    """The one `frame-src` of the answer's policy."""
    (policy,) = answer.headers.get_list("content-security-policy")
    (found,) = [word for word in policy.split("; ") if word.startswith("frame-src ")]
    return found.removeprefix("frame-src ")


@pytest.mark.parametrize("status", Status)
async def test_a_room_may_frame_its_player_and_nobody_else(site: Site, status: Status) -> None:
    await site.transactions.create(room(status=status, player_url=PLAYER))
    expected = "https://player.example.org" if status in {"scheduled", "live", "paused"} else NOBODY
    for address in ("/room/w", "/speaker/w"):
        assert policy_sources(await site.http.get(address)) == expected


async def test_a_room_that_is_not_there_looks_like_one_without_a_player(site: Site) -> None:
    await site.transactions.create(room())
    assert [policy_sources(await site.http.get(f"/room/{one}")) for one in ("w", "none", "%0d%0ax")] == [NOBODY] * 3


async def test_no_other_page_frames_anybody(site: Site) -> None:
    for address in ("/", "/monitor", "/demo/player", "/static/app.css", "/webinars"):
        assert policy_sources(await site.http.get(address)) == NOBODY, address


async def test_another_player_is_allowed_a_second_later(site: Site) -> None:
    await site.transactions.create(room(player_url=PLAYER))
    assert policy_sources(await site.http.get("/room/w")) == "https://player.example.org"
    await site.store.delete("w")
    await site.transactions.create(room(player_url="http://other.example:8080/"))

    async def changed() -> bool:
        return policy_sources(await site.http.get("/room/w")) == "http://other.example:8080"

    await eventually(changed, "the new player is allowed")


async def test_pages_come_without_redis_and_with_what_was_known() -> None:
    async with own_redis() as redis, serving(settings_for(redis.url)) as site:
        await site.transactions.create(room(player_url=PLAYER))
        assert policy_sources(await site.http.get("/room/w")) == "https://player.example.org"
        await redis.kill()
        for webinar_id, expected in (("w", "https://player.example.org"), ("x", NOBODY)):
            answer = await site.http.get(f"/room/{webinar_id}")
            assert (answer.status_code, policy_sources(answer)) == (200, expected)
        await redis.start()


async def test_strangers_cost_redis_little(site: Site) -> None:
    asked = FrameSources(site.store)
    await site.store.load("w")
    before, began = (await site.raw.info("commandstats"))["cmdstat_evalsha"]["calls"], time.monotonic()
    for number in range(3 * frame_sources.READS_A_SECOND):
        await asked.sources(f"w{number}")
    after = (await site.raw.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert after - before <= frame_sources.READS_A_SECOND * (2 + time.monotonic() - began)


async def test_origins_that_the_operator_names_are_allowed_beside_the_players(site: Site) -> None:
    named = ("https://cdn.example.org", "https://player.example.org", "http://other.example:8080")
    await site.transactions.create(room(player_url=PLAYER, frame_origins=named))
    expected = "https://player.example.org https://cdn.example.org http://other.example:8080"
    for address in ("/room/w", "/speaker/w"):
        assert policy_sources(await site.http.get(address)) == expected
    await site.transactions.create(room("none", frame_origins=named))
    assert policy_sources(await site.http.get("/room/none")) == NOBODY


def test_a_host_that_no_policy_can_name_lets_every_page_in() -> None:
    assert source("https://[::1]:8000/") == ANYBODY
    assert allowed(room(player_url="https://[::1]/", frame_origins=("https://a.example",))) == ANYBODY
    assert source("https://Player.Example.org/x") == "https://player.example.org"
