"""The room, the registration and the schedule on the site's pages: each person's own, and in no cache."""

import html
import re
import shutil
import time
from typing import Any

import httpx
import jwt
from starlette.responses import JSONResponse

from tests.support import TOKEN_SECRET
from tests.wordpress.server import RoomServer, page
from tests.wordpress.site import ADMIN, PHP, Database, WordPress, wordpress

ROOM = '[room_server_room webinar="launch"]'
REGISTER = '[room_server_register webinar="launch"]'
BLOCKS = '<!-- wp:room-server/register {"webinar":"launch"} /--><!-- wp:room-server/room {"webinar":"launch"} /-->'


def address(text: str) -> str:
    """Of the room in a page, which must be there."""
    found = re.search(r'<iframe class="room-server-room" src="([^"]*)"', text)
    assert found is not None, text
    return html.unescape(found[1])


def claims(text: str) -> Any:
    """Those of the token in a page's room."""
    return jwt.decode(address(text).partition("#token=")[2], TOKEN_SECRET, ["HS256"])


async def seen_by(site: WordPress, name: str, post_id: int) -> httpx.Response:
    """The page as that user sees it; `` is nobody."""
    async with site.logged_in(name) if name else httpx.AsyncClient() as client:
        answer = await client.get(f"{site.home}/?p={post_id}", follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer


async def test_each_person_gets_a_link_of_their_own(site: WordPress, server: RoomServer) -> None:
    await site.user("anna", room_server_lead_id="4242")
    ivan = await site.user("ivan")
    await site.post(kind="room_webinar", slug="launch", title="Launch", scheduled_at="2030-12-01T19:00")
    page_id = await site.post(ROOM)

    anna, other = await seen_by(site, "anna", page_id), await seen_by(site, "ivan", page_id)

    assert address(anna.text).startswith(f"{server.url}/room/launch#token=")
    assert claims(anna.text) == {
        "sub": "4242", "role": "attendee", "webinar_id": "launch", "name": "anna",
        "exp": 1922371200 + 14 * 24 * 3600,
    }  # fmt: skip
    assert claims(other.text)["sub"] == str(ivan)
    assert 'allow="autoplay; fullscreen; picture-in-picture; encrypted-media" allowfullscreen' in anna.text
    assert 'title="Launch"' in anna.text


async def test_a_page_with_a_link_is_for_no_cache(site: WordPress, server: RoomServer) -> None:
    await site.user("anna")
    for content in (ROOM, REGISTER, BLOCKS):
        answer = await seen_by(site, "anna", await site.post(content))
        assert "no-store" in answer.headers["cache-control"]
        assert "private" in answer.headers["cache-control"]


async def test_a_careless_page_cache_keeps_no_link(mariadb: Database, server: RoomServer) -> None:
    """In a page, and in a part of the theme that is on every page, where nobody could know beforehand."""
    async with wordpress(mariadb, constants={**server.constants(), "WP_CACHE": True}) as site:
        shutil.copy(PHP / "advanced-cache.php", site.folder)
        await site.user("anna", room_server_lead_id="4242")
        await site.user("ivan")
        direct, plain = await site.post(ROOM), await site.post("Nothing to see.")
        assert (await seen_by(site, "anna", plain)).headers.get("x-cache") is None
        assert (await seen_by(site, "ivan", plain)).headers["x-cache"] == "hit"

        assert claims((await seen_by(site, "anna", direct)).text)["sub"] == "4242"
        assert claims((await seen_by(site, "ivan", direct)).text)["sub"] != "4242"
        assert "<iframe" not in (await seen_by(site, "", direct)).text

        everywhere = await site.post("On every page.", title="Everywhere")
        site.listen(f"add_action( 'wp_footer', function () {{ echo do_shortcode( '{ROOM}' ); }} );")
        assert claims((await seen_by(site, "anna", everywhere)).text)["sub"] == "4242"
        assert claims((await seen_by(site, "ivan", everywhere)).text)["sub"] != "4242"


async def test_no_link_is_printed_once_the_headers_are_gone(site: WordPress, server: RoomServer) -> None:
    """They went without a word against caches."""
    post = await site.post(kind="room_webinar", slug="launch", title="Launch", scheduled_at="2030-12-01T19:00")
    site.listen(f"add_action( 'wp_footer', function () {{ flush(); echo do_shortcode( '{ROOM}' ); }} );")
    await site.user("anna")

    text = (await seen_by(site, "anna", await site.post("Nothing."))).text

    assert "#token=" not in text
    assert f'href="{site.home}/webinar/launch/">' in text
    assert post


async def test_who_is_not_logged_in_is_shown_the_way(site: WordPress, server: RoomServer) -> None:
    answer = await seen_by(site, "", await site.post(ROOM + REGISTER))

    assert "<iframe" not in answer.text
    assert answer.text.count(f"{site.home}/wp-login.php?redirect_to=") == 2
    assert "I have no account yet" not in answer.text
    await site.php("update_option( 'users_can_register', 1 );")
    assert "I have no account yet" in (await seen_by(site, "", await site.post(ROOM))).text


async def test_a_user_without_a_lead_is_told_so(mariadb: Database, server: RoomServer) -> None:
    async with wordpress(mariadb, constants={**server.constants(), "ROOM_SERVER_USER_IS_LEAD": False}) as site:
        user = await site.user("anna")
        page_id = await site.post(ROOM + REGISTER)
        text = (await seen_by(site, "anna", page_id)).text
        assert "<iframe" not in text
        assert text.count("Your account is not linked to a participant yet.") == 2

        site.listen("add_filter( 'room_server_lead_id', function ( $lead, $user ) { return 1000 + $user; }, 10, 2 );")
        assert claims((await seen_by(site, "anna", page_id)).text)["sub"] == str(1000 + user)


async def test_a_lead_id_is_a_positive_number_that_json_keeps(site: WordPress) -> None:
    code = "return array_map( 'room_server_lawful_lead_id', json_decode( '%s', true ) );"
    given = '[7, "7", "007", 0, -1, 1.5, "x", null, [7], "9007199254740991", "9007199254740992", true]'

    assert await site.php(code % given) == [7, 7, 0, 0, 0, 0, 0, 0, 0, 9007199254740991, 0, 1]


async def press(site: WordPress, name: str, post_id: int) -> httpx.Response:
    """That user presses the button; where it leads."""
    async with site.logged_in(name) as client:
        text = (await client.get(f"{site.home}/?p={post_id}", follow_redirects=True)).text
        form = dict(re.findall(r'<input type="hidden"(?: id="[^"]*")? name="([^"]*)" value="([^"]*)"', text))
        assert form["action"] == "room_server_register", text
        answer = await client.post(f"{site.home}/wp-admin/admin-post.php", data=form)
        assert answer.status_code == 302, answer.text
        return await client.get(answer.headers["location"])


async def test_pressing_the_button_registers_the_lead(site: WordPress, server: RoomServer) -> None:
    await site.user("anna", room_server_lead_id="4242", locale="ru_RU")
    await site.user("ivan", room_server_lead_id="4242")
    page_id = await site.post(REGISTER)

    assert 'data-room-server="registered"' in (await press(site, "anna", page_id)).text
    await press(site, "ivan", page_id)

    anna = {"lead_id": 4242, "name": "anna", "locale": "ru"}
    ivan = {"lead_id": 4242, "name": "ivan", "locale": "en"}
    assert server.hooks() == [
        ("core_roster_register", {"webinar_id": "launch", "leads": [anna]}),
        ("core_roster_register", {"webinar_id": "launch", "leads": [ivan]}),
    ]
    assert {row["body"] for row in await site.rows("outbox", "body")} == {""}


async def test_a_forged_form_registers_nobody(site: WordPress, server: RoomServer) -> None:
    await site.user("anna")
    form = {
        "action": "room_server_register",
        "webinar": "launch",
        "_wpnonce": "0123456789",
        "back": "https://evil.example/",
    }

    async with site.logged_in("anna") as anna:
        assert (await anna.post(f"{site.home}/wp-admin/admin-post.php", data=form)).status_code == 403
    nobody = await site.http.post(f"{site.home}/wp-admin/admin-post.php", data=form)

    assert nobody.headers["location"].startswith(f"{site.home}/wp-login.php")
    assert server.told == []


async def test_the_sites_code_registers_leads_and_says_more_of_them(site: WordPress, server: RoomServer) -> None:
    site.listen(
        "add_filter( 'room_server_lead', function ( $lead ) { return $lead + array( 'partner_id' => 'p7' ); } );"
    )
    await site.php(
        "do_action( 'room_server_register_lead', 'launch',"
        "array( 'lead_id' => '7', 'name' => 'Олег', 'secret' => 'x' ) );"
        f"room_server_register_user( 'launch', {ADMIN} ); do_action( 'room_server_register_lead', 'launch', array() );"
    )

    assert [payload["leads"] for _, payload in server.hooks()] == [
        [{"lead_id": 7, "name": "Олег"}],
        [{"lead_id": 1, "name": "admin", "locale": "en", "partner_id": "p7"}],
    ]


async def test_the_schedule_shows_what_is_to_come_in_order(site: WordPress, server: RoomServer) -> None:
    listed = [
        {"webinar_id": "now", "status": "live"},
        {"webinar_id": "off", "status": "scheduled", "cancelled_at": "2026-01-01T00:00:00Z"},
    ]
    server.usual = lambda told: JSONResponse({"webinars": listed})
    moments = {"later": 3, "now": 0, "off": 2, "gone": -3}
    for slug, days in moments.items():
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86400))
        await site.post(kind="room_webinar", slug=slug, title=f"Вебинар {slug}", scheduled_at=at)
    at = "2030-01-01T00:00"
    await site.post(kind="room_webinar", slug="hidden", title="hidden", scheduled_at=at, status="private")
    page_id = await site.post("[room_server_schedule]")

    text = (await seen_by(site, "", page_id)).text

    assert re.findall(r'<li data-webinar="(\w+)">', text) == ["now", "off", "later"]
    assert re.findall(r"<strong>([^<]*)</strong>", text) == ["on now", "called off"]
    assert f'<a href="{site.home}/webinar/now/">Вебинар now</a>' in text
    assert "(MSK)" in text


async def test_the_schedule_does_without_the_server_and_asks_it_seldom(site: WordPress, server: RoomServer) -> None:
    await site.post(kind="room_webinar", slug="launch", title="Launch", scheduled_at="2030-12-01T19:00")
    server.told.clear()
    server.usual = page(502)
    page_id = await site.post("[room_server_schedule]")

    for _ in range(3):
        assert 'data-webinar="launch"' in (await seen_by(site, "", page_id)).text
    assert [told.path for told in server.told] == ["/webinars"]


async def test_a_speaker_gets_the_way_to_the_console(site: WordPress, server: RoomServer) -> None:
    await site.user("olga", "room_server_speaker")
    await site.user("anna")
    page_id = await site.post(ROOM)

    speaker, visitor = await seen_by(site, "olga", page_id), await seen_by(site, "anna", page_id)

    link = re.search(r'<a class="room-server-console" href="([^"#]*)#token=([^"]*)"', speaker.text)
    assert link is not None
    assert link[1] == f"{server.url}/speaker/launch"
    assert jwt.decode(link[2], TOKEN_SECRET, ["HS256"])["role"] == "speaker"
    assert "/speaker/" not in visitor.text


async def test_visitors_of_a_russian_site_read_russian(site: WordPress, server: RoomServer) -> None:
    site.listen("add_filter( 'locale', function () { return 'ru_RU'; } );")
    await site.user("anna")

    text = (await seen_by(site, "anna", await site.post(REGISTER + "[room_server_schedule]"))).text

    assert ">Зарегистрироваться</button>" in text
    assert "Вебинаров пока не запланировано." in text
