"""Answers to a browser that opens an address: the page that was meant, or a page that explains the refusal."""

import re

import httpx
import pytest

from room_server.api.pages import folder
from room_server.api.responses import corrected
from room_server.app import ROUTES
from tests.support import Site, serving, settings_for

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
CODE = "aB3-_" + "x" * 17
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2ln-bmF_dHVyZQ"


async def opened(site: Site, address: str, **headers: str) -> httpx.Response:
    """The first answer to a browser that opens the address."""
    return await site.http.get(address, headers={**BROWSER, **headers}, follow_redirects=False)


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/room/w/", "/room/w"),
        ("/room/w//", "/room/w"),
        ("//room//w", "/room/w"),
        ("/rooms/w", "/room/w"),
        ("/Room/W", "/room/W"),
        ("/speaker/w/", "/speaker/w"),
        ("/monitor/", "/monitor"),
        ("/MONITOR.", "/monitor"),
        ("/room/w.", "/room/w"),
        ("/room/w>", "/room/w"),
        ("/room/w%3E", "/room/w"),
        ("/room/w)»,", "/room/w"),
        ("/room/w#", "/room/w"),
        ("/room/w\r\n", "/room/w"),
        (f"/room/w#token={TOKEN}", f"/room/w#token={TOKEN}"),
        (f"/room/w%23token={TOKEN}", f"/room/w#token={TOKEN}"),
        (f"/room/w%2523token%253D{TOKEN}", f"/room/w#token={TOKEN}"),
        (f"/room/w/#token={TOKEN}.", f"/room/w#token={TOKEN}"),
        (f"/room/w?token={TOKEN}", f"/room/w#token={TOKEN}"),
        (f"/room/w&token={TOKEN}>", f"/room/w#token={TOKEN}"),
        (f"/room/w/token={TOKEN}", f"/room/w#token={TOKEN}"),
        (f"/room/w/{TOKEN}", f"/room/w#token={TOKEN}"),
        (f"/room/w#token=3D{TOKEN}", f"/room/w#token={TOKEN}"),
        (f"/speaker/w%23token={TOKEN}", f"/speaker/w#token={TOKEN}"),
        (f"/monitor%23token={TOKEN}", f"/monitor#token={TOKEN}"),
        ("/room/w", None),
        ("/monitor", None),
        ("/room/", None),
        ("/room", None),
        ("/room/w/chat", None),
        ("/room/" + "w" * 65, None),
        (f"/r/{CODE}/", f"/r/{CODE}"),
        (f"//R/{CODE}>", f"/r/{CODE}"),
        (f"/r/{CODE}", None),
        ("/monitored", None),
        ("/monitor/counts", None),
        ("/", None),
        ("/nothing", None),
    ],
)
def test_the_page_that_was_meant_is_found_where_it_can_be(path: str, right: str | None) -> None:
    assert corrected(path) == right


def test_a_query_goes_along() -> None:
    assert corrected(f"/room/w/#token={TOKEN}", "lang=en&utm_source=mail") == (
        f"/room/w?lang=en&utm_source=mail#token={TOKEN}"
    )


async def test_a_browser_is_led_to_the_page_that_was_meant(site: Site) -> None:
    for asked, right in (
        ("/room/w/", "/room/w"),
        ("/rooms/w?lang=en", "/room/w?lang=en"),
        (f"/room/w%23token={TOKEN}", f"/room/w#token={TOKEN}"),
        (f"/room/w%2523token={TOKEN}%3E", f"/room/w#token={TOKEN}"),
        (f"/room/w/{TOKEN}?lang=en", f"/room/w?lang=en#token={TOKEN}"),
    ):
        answer = await opened(site, asked)
        told = (answer.status_code, answer.headers["location"], answer.headers["cache-control"])
        assert told == (302, right, "no-store"), asked


async def test_a_redirect_stays_on_this_server(site: Site) -> None:
    for asked in ("//evil.example/room/w/", "//room/w//evil.example", "/room/w%0d%0aLocation:%20x", "/%5croom/w/"):
        location = (await opened(site, asked)).headers.get("location", "/")
        assert re.match(r"/(?!/)", location), asked
        assert "evil" not in location, asked


async def test_a_person_at_an_unknown_address_gets_a_page_in_both_languages(site: Site) -> None:
    for address in ("/nothing", "/room/", "/room", "/room/%D0%B2", "/static/none.js", "/room/w/chat", "/rooms/w/x"):
        answer = await opened(site, address)
        told = (answer.status_code, answer.headers["content-type"], answer.headers["vary"].partition(",")[0])
        assert told == (404, "text/html; charset=utf-8", "Accept"), address
        for words in ("Такой страницы нет", "There is no such page", 'href="/?lang=en"'):
            assert words in answer.text, address


async def test_a_program_gets_a_problem(site: Site) -> None:
    for headers in ({}, {"Accept": "application/json"}, {"Accept": ""}, {**BROWSER, "Sec-Fetch-Mode": "cors"}):
        for address in ("/nothing", "/room/w/", "/room/%D0%B2"):
            answer = await site.http.get(address, headers=headers, follow_redirects=False)
            told = (answer.status_code, answer.headers["content-type"])
            assert told == (404, "application/problem+json"), (address, headers)


async def test_the_interface_answers_browsers_with_problems_too(site: Site) -> None:
    asked = {"/rooms/w/state": 401, "/rooms/w/me": 401, "/monitor/counts": 401}
    assert asked.keys() <= {route.path.replace("{webinar_id}", "w") for route in ROUTES}  # type: ignore[attr-defined]
    for address, status in asked.items():
        answer = await opened(site, address, **{"Sec-Fetch-Mode": "navigate"})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    posted = await site.http.post("/nothing", headers=BROWSER)
    assert posted.headers["content-type"] == "application/problem+json"


async def test_a_page_that_cannot_be_served_now_is_replaced_by_one_that_explains_it(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_requests_per_address=1)) as site:
        answers = [await opened(site, "/room/w") for _ in range(4)]
        problem = await site.http.get("/room/w")
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[-1].headers["retry-after"] == "1"
    assert "Страница не открылась" in refused[-1].text
    assert "The page did not open" in refused[-1].text
    assert problem.json()["code"] == "too_many_requests"


def test_these_pages_need_no_script() -> None:
    for name in ("not-found.html", "unavailable.html"):
        assert "<script" not in (folder() / name).read_text()
