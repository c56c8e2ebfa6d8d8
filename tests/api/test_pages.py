"""The pages and their files over real HTTP, and the policy that browsers enforce on them."""

import re
import time

import httpx
import pytest

from room_server.api import pages
from room_server.core.room import Status
from tests.outage import own_redis
from tests.support import Site, eventually, room, serving, settings_for

PLAYER = "https://player.example.org/embed/7?autoplay=1"
CODE = "aB3-_" + "x" * 17
ADDRESSES = [path.replace("{webinar_id}", "w").replace("{code}", CODE) for path in pages.PAGES]


def policy(answer: httpx.Response) -> dict[str, str]:
    """The Content-Security-Policy, by directive."""
    directives = answer.headers["content-security-policy"].split("; ")
    return {name: sources for name, _, sources in (directive.partition(" ") for directive in directives)}


async def test_every_page_is_served_as_html_and_checked_anew_each_time(site: Site) -> None:
    for address in ADDRESSES:
        answer = await site.http.get(address)
        told = (answer.status_code, answer.headers["content-type"], answer.headers["cache-control"])
        assert told == (200, "text/html; charset=utf-8", "no-cache"), address
        assert re.search(r'<html lang="\w\w"', answer.text), address


async def test_a_page_needs_no_inline_script_or_style_and_nothing_from_elsewhere(site: Site) -> None:
    for address in ADDRESSES:
        text = (await site.http.get(address)).text
        assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", text) == [], address


async def test_whatever_a_page_asks_for_is_served(site: Site) -> None:
    asked = set()
    for address in ADDRESSES:
        page = await site.http.get(address)
        asked |= {str(page.url.join(found)) for found in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)}
    assert asked
    answers = {address: (await site.http.get(address)).status_code for address in asked}
    assert answers == dict.fromkeys(asked, 200)


async def test_a_file_has_the_type_that_a_browser_insists_on(site: Site) -> None:
    for suffix, kind in (("css", "text/css"), ("js", "text/javascript"), ("svg", "image/svg+xml")):
        for file in sorted(pages.folder().glob(f"*.{suffix}")):
            answer = await site.http.get(f"/static/{file.name}")
            assert answer.headers["content-type"].partition(";")[0] == kind
            assert answer.content == file.read_bytes()


async def test_a_file_that_is_known_is_not_sent_again(site: Site) -> None:
    tag = (await site.http.get("/static/app.css")).headers["etag"]
    assert (await site.http.get("/static/app.css", headers={"If-None-Match": tag})).status_code == 304


async def test_a_file_is_sent_whole_whatever_part_of_it_is_asked_for(site: Site) -> None:
    for address in ("/", "/static/app.css"):
        whole = await site.http.get(address)
        for part in ("bytes=0-9", "bytes=0-9,20-29", "bytes=999999999-", "bytes=x"):
            answer = await site.http.get(address, headers={"Range": part})
            assert (answer.status_code, answer.content) == (200, whole.content), (address, part)
        assert whole.headers["accept-ranges"] == "none"


OUTSIDE = [
    "/static/../pyproject.toml",
    "/static/..%2fpyproject.toml",
    "/static/%2e%2e/room_server/app.py",
    "/static//etc/passwd",
    "/static/%00",
    "/static/" + "a" * 5000,
    "/static/",
    "/static",
    "/static/nothing.js",
    "/room/",
    "/room/w/",
    "/room/%0d%0ax",
    "/room/%D0%B2",
    "/room/" + "w" * 65,
    "/speaker/w%23token=x",
    "/r/",
    "/r/" + "x" * 21,
    "/r/" + "x" * 23,
    f"/r/{CODE}/",
    "/nothing",
]


async def test_nothing_else_is_there(site: Site) -> None:
    for address in OUTSIDE:
        answer = await site.http.get(address, follow_redirects=False)
        told = (answer.status_code, answer.headers["content-type"], answer.json()["code"])
        assert told == (404, "application/problem+json", "not_found"), address


async def test_pages_and_files_are_only_read(site: Site) -> None:
    for address in ("/", "/room/w", "/static/app.css"):
        answer = await site.http.post(address)
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed"), address


async def test_every_answer_has_the_security_headers(site: Site) -> None:
    for address in (*ADDRESSES, "/static/app.css", "/webinars", "/nothing", "/rooms/w/state", "/healthz"):
        answer = await site.http.get(address)
        assert answer.headers["x-content-type-options"] == "nosniff", address
        assert answer.headers["referrer-policy"] == "no-referrer", address
        assert policy(answer)["default-src"] == "'none'", address
        assert policy(answer)["script-src"] == "'self'", address
        assert policy(answer)["frame-ancestors"] == "'self'", address


async def test_a_page_may_open_sockets_of_its_own_host_alone(site: Site) -> None:
    """Safari before 16 does not count them to 'self' (WebKit 235873)."""
    for address in ADDRESSES:
        sockets = policy(await site.http.get(address))["connect-src"]
        assert sockets == f"'self' ws://{site.address} wss://{site.address}", address


async def test_a_host_that_no_policy_can_name_stays_out_of_it(site: Site) -> None:
    answers = [await site.http.get("/", headers={"Host": host}) for host in ("[::1]:8000", "a,b", "a;script-src")]
    assert [answer.status_code for answer in answers if policy(answer)["connect-src"] == "'self'"] == [200] * 3


async def test_a_site_that_is_allowed_may_embed_the_pages(valkey_url: str) -> None:
    allowed = "https://Example.com/, http://localhost:3000"
    async with serving(settings_for(valkey_url, allowed_origins=allowed)) as site:
        answer = await site.http.get("/")
    assert policy(answer)["frame-ancestors"] == "'self' http://localhost:3000 https://example.com"


def policy_sources(answer: httpx.Response) -> str:
    """The `frame-src` of the answer's policy."""
    return policy(answer)["frame-src"]


@pytest.mark.parametrize("status", Status)
async def test_a_room_may_frame_its_player_only(site: Site, status: Status) -> None:
    await site.transactions.create(room(status=status, player_url=PLAYER))
    expected = "https://player.example.org" if status in {"scheduled", "live", "paused"} else pages.NO_SOURCE
    for address in ("/room/w", "/speaker/w"):
        assert policy_sources(await site.http.get(address)) == expected


async def test_a_room_that_is_not_there_looks_like_one_without_a_player(site: Site) -> None:
    await site.transactions.create(room())
    assert [policy_sources(await site.http.get(f"/room/{one}")) for one in ("w", "none", "%0d%0ax")] == [
        pages.NO_SOURCE
    ] * 3


async def test_other_pages_frame_nothing(site: Site) -> None:
    for address in ("/", "/monitor", "/demo/player", "/static/app.css", "/webinars"):
        assert policy_sources(await site.http.get(address)) == pages.NO_SOURCE, address


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
        for webinar_id, expected in (("w", "https://player.example.org"), ("x", pages.NO_SOURCE)):
            answer = await site.http.get(f"/room/{webinar_id}")
            assert (answer.status_code, policy_sources(answer)) == (200, expected)
        await redis.start()


async def test_visitors_of_many_rooms_cost_redis_little(site: Site) -> None:
    asked = pages.FrameSources(site.store)
    await site.store.load("w")
    before, began = (await site.raw.info("commandstats"))["cmdstat_evalsha"]["calls"], time.monotonic()
    for number in range(3 * pages.READS_A_SECOND):
        await asked.of(f"w{number}")
    after = (await site.raw.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert after - before <= pages.READS_A_SECOND * (2 + time.monotonic() - began)


async def test_origins_that_the_operator_names_are_allowed_beside_the_players(site: Site) -> None:
    named = ("https://cdn.example.org", "https://player.example.org", "http://other.example:8080")
    await site.transactions.create(room(player_url=PLAYER, frame_origins=named))
    expected = "https://player.example.org https://cdn.example.org http://other.example:8080"
    for address in ("/room/w", "/speaker/w"):
        assert policy_sources(await site.http.get(address)) == expected
    await site.transactions.create(room("none", frame_origins=named))
    assert policy_sources(await site.http.get("/room/none")) == pages.NO_SOURCE


def test_a_host_that_no_policy_can_name_lets_every_frame_in() -> None:
    assert pages.frame_sources(room(player_url="https://[::1]:8000/")) == pages.ANY_SOURCE
    assert (
        pages.frame_sources(room(player_url="https://[::1]/", frame_origins=("https://a.example",))) == pages.ANY_SOURCE
    )
    assert pages.frame_sources(room(player_url="https://Player.Example.org/x")) == "https://player.example.org"
