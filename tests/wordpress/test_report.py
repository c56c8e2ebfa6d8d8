"""The way from who came to the report of the room server, and what the table says of the watch time."""

import html
import re
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import jwt
from starlette.responses import JSONResponse

from room_server.core.room import Status
from tests.support import TOKEN_SECRET, serving, settings_for
from tests.wordpress.server import RoomServer, constants
from tests.wordpress.site import Database, WordPress, wordpress

WHO_CAME = "/wp-admin/edit.php?post_type=room_webinar&page=room-server-attendance&webinar=launch"
CLOCK_STEP = 6
"""Seconds by which the server's clock may be ahead without the plugin's keeping it, and the second of the answer."""


async def link_of(site: WordPress, client: httpx.AsyncClient) -> str:
    """The link to the report on the page of who came."""
    return link_in((await client.get(f"{site.home}{WHO_CAME}")).text)


def link_in(text: str) -> str:
    """The link to the report in a page, which must be there and hold no token."""
    found = re.search(r'<a class="button" href="([^"]*action=room_server_report[^"]*)">Report</a>', text)
    assert found is not None, text
    assert "#token=" not in text
    return html.unescape(found[1])


async def launch(site: WordPress) -> None:
    """A webinar of the site's."""
    await site.post(kind="room_webinar", slug="launch", title="Launch", scheduled_at="2030-12-01T19:00")


async def test_the_link_opens_the_report_with_a_right_that_is_made_then(site: WordPress, server: RoomServer) -> None:
    await launch(site)
    olga = await site.user("olga", "editor")
    async with site.logged_in("olga") as client:
        answer = await client.get(await link_of(site, client))

    address, _, token = answer.headers["location"].partition("#token=")
    claims = jwt.decode(token, TOKEN_SECRET, ["HS256"])
    made = parsedate_to_datetime(answer.headers["date"]).timestamp()
    assert (answer.status_code, address) == (302, f"{server.url}/report/launch")
    assert "no-store" in answer.headers["cache-control"]
    assert (claims["sub"], claims["role"], claims["webinar_id"]) == (f"report-{olga}", "organizer", "launch")
    assert claims["read_only"] is True
    assert claims["exp"] <= made + 3600 + CLOCK_STEP


async def test_a_report_is_only_for_who_may_see_who_came(site: WordPress, server: RoomServer) -> None:
    await launch(site)
    for name, role in (("olga", "editor"), ("anna", "subscriber"), ("petr", "room_server_speaker")):
        await site.user(name, role)
    async with site.logged_in("olga") as olga:
        link = await link_of(site, olga)
        for forged in (f"{link}x", link.partition("&_wpnonce")[0], link.replace("webinar=launch", "webinar=other")):
            assert (await olga.get(forged)).status_code == 403
    for name in ("anna", "petr"):
        async with site.logged_in(name) as client:
            answer = await client.get(link)
            assert (answer.status_code, "You may not see who came." in answer.text) == (403, True)
    assert "location" not in (await site.http.get(link)).headers


async def test_a_webinar_of_another_site_has_no_report_here(site: WordPress, server: RoomServer) -> None:
    site.listen("""add_action( 'admin_footer', function () { echo room_server_report_link( 'other' ); } );""")
    async with site.logged_in("admin") as admin:
        text = (await admin.get(f"{site.home}/wp-admin/index.php")).text
        answer = await admin.get(link_in(text))

    assert (answer.status_code, "There is no such webinar." in answer.text) == (404, True)


async def test_a_real_server_takes_the_link_for_its_report_and_for_nothing_else(
    mariadb: Database, valkey_url: str
) -> None:
    async with (
        serving(settings_for(valkey_url)) as server,
        wordpress(mariadb, constants=constants(f"http://{server.address}")) as site,
    ):
        await launch(site)
        async with site.logged_in("admin") as admin:
            answer = await admin.get(await link_of(site, admin))
        address, _, token = answer.headers["location"].partition("#token=")
        page = await site.http.get(address)
        bearer = {"authorization": f"Bearer {token}"}
        report = await site.http.get(f"http://{server.address}/webinars/launch/report", headers=bearer)
        order = {"webinar_id": "launch", "status": "start"}
        started = await server.http.post("/hooks/core_webinar_set_status", json=order, headers=bearer)
        room = (await server.store.load("launch")).room

    assert (page.status_code, report.status_code) == (200, 200)
    assert (report.json()["webinar_id"], report.json()["registered"]) == ("launch", 0)
    assert (started.status_code, started.json()["code"]) == (403, "forbidden_role")
    assert room is not None
    assert room.status is Status.SCHEDULED


async def test_the_table_tells_the_watch_time_where_the_server_does(site: WordPress, server: RoomServer) -> None:
    await launch(site)
    old: dict[str, Any] = {
        "name": "A",
        "entered_at": None,
        "completed_at": None,
        "attended": None,
        "route": None,
        "messages": [],
    }
    leads = [
        {**old, "lead_id": 7, "watched_s": 2519, "segment": "stayed", "cta_clicked_at": "2026-11-22T18:01:00Z"},
        {**old, "lead_id": 8, "watched_s": 0, "segment": "left_early", "cta_clicked_at": None},
        {**old, "lead_id": 9, "watched_s": 0, "segment": "absent", "cta_clicked_at": None},
    ]
    server.usual = lambda told: JSONResponse({"webinar_id": "launch", "leads": leads, "next": None})
    async with site.logged_in("admin") as admin:
        table = (await admin.get(f"{site.home}{WHO_CAME}")).text
        leads[:] = [{**old, "lead_id": 7}]
        older = (await admin.get(f"{site.home}{WHO_CAME}")).text

    assert cells(table) == [
        ["7", "A", "–", "–", "–", "41", "stayed", "November 22, 2026, 9:01 pm (MSK)", ""],
        ["8", "A", "–", "–", "–", "&lt; 1", "left early", "–", ""],
        ["9", "A", "–", "–", "–", "0", "absent", "–", ""],
    ]
    assert re.findall(r'<th scope="col">([^<]*)</th>', table)[5:8] == [
        "Minutes watched",
        "Visit",
        "Pressed the button",
    ]
    assert cells(older) == [["7", "A", "–", "–", "–", ""]]
    assert "Minutes watched" not in older


def cells(text: str) -> list[list[str]]:
    """Those of the table of leads."""
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr data-lead=.*?</tr>", text)]
