"""The way to the organizer's bot: each registered lead's own, and never in the way of the page."""

import re
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.responses import JSONResponse, Response

from room_server.core.bindings import lead
from room_server.state import bot
from room_server.telegram.deep_links import open_links
from tests.support import room, serving, settings_for
from tests.telegram.people import bind
from tests.wordpress.server import RoomServer, Told, constants, page, refusal
from tests.wordpress.site import Database, WordPress, wordpress
from tests.wordpress.test_room import BLOCKS, REGISTER, ROOM, seen_by

PATIENT = """
add_filter( 'http_request_args', function ( $arguments, $url ) {
    if ( '/me' === substr( $url, -3 ) ) {
        update_option( 'rs_asked', time() );
        $arguments['timeout'] = 30;
    }
    return $arguments;
}, 10, 2 );
"""
"""A page of these tests waits until the server has answered, however slow the machine is."""
ASKED = """
add_filter( 'http_request_args', function ( $arguments, $url ) {
    if ( '/me' === substr( $url, -3 ) ) { rs_note( $arguments['timeout'] ); }
    return $arguments;
}, 10, 2 );
"""
STILL_SILENT = """
$until = get_option( '_transient_timeout_room_server_silent' );
$is    = (bool) get_transient( 'room_server_silent' );
set_transient( 'room_server_silent', 1, 3600 );
return array( $is, false !== $until );
"""
"""Whether the server is left alone, and for a time only; it is for an hour from now, however slow the machine is."""


def links(text: str) -> list[str]:
    """Where a page connects Telegram."""
    return re.findall(r'<p class="room-server-telegram"><a href="([^"]*)" target="_blank" rel="noopener">', text)


def standing(told: Told, **telegram: Any) -> Response:
    """The server's word on the lead that asks; a link of its own unless `telegram` says otherwise."""
    if not told.path.endswith("/me"):
        return JSONResponse({"duplicate": False})
    answer = {"connected": False, "url": f"https://t.me/a_bot?start=lead-{told.claims['sub']}", **telegram}
    return JSONResponse({"webinar_id": "launch", "lead_id": int(told.claims["sub"]), "telegram": answer})


async def registered(site: WordPress, name: str, **more: Any) -> int:
    """A new user who has registered for `launch`."""
    site.listen(PATIENT)
    user = await site.user(name, **more)
    await site.php(f"room_server_register_user( 'launch', {user} );")
    return user


def asked(server: RoomServer) -> list[Told]:
    """The questions for a lead's standing."""
    return [told for told in server.told if told.path == "/rooms/launch/me"]


async def test_each_registered_lead_gets_a_link_of_its_own(site: WordPress, server: RoomServer) -> None:
    server.usual = standing
    ivan = await registered(site, "ivan")
    await registered(site, "anna", room_server_lead_id="4242")
    for content in (REGISTER, ROOM):
        page_id = await site.post(content)
        anna, other = await seen_by(site, "anna", page_id), await seen_by(site, "ivan", page_id)

        assert links(anna.text) == ["https://t.me/a_bot?start=lead-4242"]
        assert links(other.text) == [f"https://t.me/a_bot?start=lead-{ivan}"]
        assert "no-store" in anna.headers["cache-control"]
        assert links((await seen_by(site, "", page_id)).text) == []

    token = asked(server)[0].claims
    assert (token["sub"], token["role"], token["webinar_id"]) == ("4242", "attendee", "launch")


async def test_the_server_is_asked_seldom_and_again_for_another_lead(site: WordPress, server: RoomServer) -> None:
    server.usual = standing
    anna = await registered(site, "anna")
    page_id = await site.post(BLOCKS)
    await seen_by(site, "anna", page_id)
    assert 30 <= await keep(site, anna, 3600) <= 60  # 30 from the answer, which was waited for for 30 at most
    for _ in range(2):
        assert set(links((await seen_by(site, "anna", page_id)).text)) == {f"https://t.me/a_bot?start=lead-{anna}"}
    assert len(asked(server)) == 1

    await site.php(f"update_user_meta( {anna}, 'room_server_lead_id', 99 );")
    assert set(links((await seen_by(site, "anna", page_id)).text)) == {"https://t.me/a_bot?start=lead-99"}
    assert len(asked(server)) == 2

    await keep(site, anna, 0)
    await seen_by(site, "anna", page_id)
    assert len(asked(server)) == 3


async def keep(site: WordPress, user: int, seconds: int) -> int:
    """Keep what the server said of `launch` for so long from now; how long after the question it was to be kept."""
    before: int = await site.php(
        f"$kept = get_user_meta( {user}, 'room_server_telegram', true ); $until = $kept['launch']['until'];"
        f"$kept['launch']['until'] = time() + {seconds}; update_user_meta( {user}, 'room_server_telegram', $kept );"
        "return $until - (int) get_option( 'rs_asked' );"
    )
    return before


async def test_who_has_not_registered_is_not_asked_about(site: WordPress, server: RoomServer) -> None:
    server.usual = standing
    await site.user("anna")

    assert links((await seen_by(site, "anna", await site.post(BLOCKS))).text) == []
    assert asked(server) == []


async def test_nothing_is_offered_where_there_is_nothing_to_connect(site: WordPress, server: RoomServer) -> None:
    await registered(site, "anna")
    page_id = await site.post(BLOCKS)
    for answer in (
        lambda told: standing(told, connected=True, url=None),
        lambda told: standing(told, url=None),
        lambda told: standing(told, url="javascript:alert(1)"),
        lambda told: standing(told, url="https://evil.example/"),
        lambda told: JSONResponse(["t.me"]),
        page(200),
        refusal(404, "webinar_unknown"),
        refusal(429, "too_many_requests"),
    ):
        server.usual = answer
        await site.php("delete_metadata( 'user', 0, 'room_server_telegram', '', true );")
        seen = len(asked(server))
        text = (await seen_by(site, "anna", page_id)).text
        assert (links(text), len(asked(server)) - seen) == ([], 1)
        assert '<iframe class="room-server-room"' in text


async def test_no_page_waits_long_for_the_server(mariadb: Database) -> None:
    """One that takes the connection and says nothing is waited for once, and by nobody else."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with wordpress(mariadb, constants=constants(url)) as site:
            for name in ("anna", "ivan"):
                user = await site.user(name)
                await site.php(f"update_user_meta( {user}, 'room_server_registered', array( 'launch' => 1 ) );")
            site.listen(ASKED)
            page_id = await site.post(BLOCKS)
            for name in ("anna", "ivan"):
                text = (await seen_by(site, name, page_id)).text
                assert links(text) == []
                assert '<iframe class="room-server-room"' in text
                assert await site.php(STILL_SILENT) == [True, True]
            assert site.heard() == [[1]]


async def test_what_was_said_of_a_person_is_erased_with_the_person(site: WordPress, server: RoomServer) -> None:
    server.usual = standing
    anna = await registered(site, "anna")
    await seen_by(site, "anna", await site.post(REGISTER))
    kept = f"return get_user_meta( {anna}, 'room_server_telegram', true );"
    assert "launch" in await site.php(kept)

    await site.php("room_server_erase( 'anna@example.org' );")

    assert await site.php(kept) == ""


async def test_the_link_of_a_real_server_is_that_of_the_lead(mariadb: Database, valkey_url: str) -> None:
    """It is gone once the bot knows the chat."""
    settings = settings_for(valkey_url)
    async with (
        serving(settings) as server,
        wordpress(mariadb, constants=constants(f"http://{server.address}")) as site,
    ):
        await server.transactions.create(room("launch"))
        await bot.keep_name(server.store, "a_bot")
        await registered(site, "anna", room_server_lead_id="42")
        page_id = await site.post(REGISTER)

        (link,) = links((await seen_by(site, "anna", page_id)).text)
        url = urlsplit(link)
        assert (url.netloc, url.path) == ("t.me", "/a_bot")
        assert (await open_links(settings, server.store)).person(parse_qs(url.query)["start"][0]) == lead(42)

        await bind(server.store, lead(42), 1001)
        await site.php("delete_metadata( 'user', 0, 'room_server_telegram', '', true );")
        assert links((await seen_by(site, "anna", page_id)).text) == []
