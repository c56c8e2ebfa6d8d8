"""The plugin on a second WordPress, 6.5.5 with SQLite: what depends on WordPress and on the database, once each."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import Response

from tests.support import eventually
from tests.wordpress.second import wordpress_on_sqlite
from tests.wordpress.server import RoomServer, event, tell
from tests.wordpress.site import ADMIN, WordPress

pytestmark = [
    pytest.mark.long,  # 160 MB are fetched
    pytest.mark.usefixtures("soak"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="it comes from npm, which is not installed here"),
]
VERSION = "return array( $GLOBALS['wp_version'], get_class( $GLOBALS['wpdb'] ) );"
TABLES = "return $GLOBALS['wpdb']->get_col( \"SHOW TABLES LIKE 'wp_room_server%'\" );"


@pytest.fixture
async def second(server: RoomServer) -> AsyncIterator[WordPress]:
    """A new site, set up for that server."""
    async with wordpress_on_sqlite(server.constants()) as running:
        yield running


def route(lead_id: int) -> dict[str, Any]:
    return event("post_webinar_route", "launch", lead_id=lead_id, attended=True, route="attended")


async def is_done(site: WordPress) -> bool:
    await site.cron()
    return {row["state"] for row in await site.rows("events", "state")} == {"done"}


async def comes_in(site: WordPress) -> None:
    """Events become actions, once each, also when a batch comes several times at once."""
    site.on("post_webinar_route", "rs_note( $data['lead_id'] );")
    forged = await tell(site, route(1), secret="whsec_" + "b3RoZXIgc2VjcmV0IG9mIHRoZSB0ZXN0cyE=")
    batch = [route(lead) for lead in range(1, 11)]
    answers = await asyncio.gather(*(tell(site, *batch) for _ in range(4)))
    await eventually(lambda: is_done(site), "all have run")

    assert forged.status_code == 401
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(site.heard()) == [[lead] for lead in range(1, 11)]


async def goes_out(site: WordPress, server: RoomServer) -> None:
    """An order waits while the server is away, and is sent under the same id."""
    server.next.append(lambda _: Response("<html>", 502))
    await site.php("do_action( 'core_webinar_set_status', 'launch', 'start' );", ADMIN)
    assert [row["state"] for row in await site.rows("outbox", "state")] == ["waiting"]
    await site.php("$GLOBALS['wpdb']->query( 'UPDATE ' . room_server_table( 'outbox' ) . ' SET next_at = 0' );")
    await site.cron()

    assert [row["state"] for row in await site.rows("outbox", "state")] == ["sent"]
    assert [(name, said["status"]) for name, said in server.hooks()] == 2 * [("core_webinar_set_status", "start")]
    server.told.clear()


async def is_shown(site: WordPress, server: RoomServer) -> None:
    """A post is a webinar, a visitor registers for it, and the page has the visitor's own room."""
    await site.post(
        "[room_server_register][room_server_room]", kind="room_webinar", slug="launch", title="Запуск",
        scheduled_at="2030-12-01T19:00",
    )  # fmt: skip
    lead = await site.user("anna")
    await site.php(f"room_server_register_user( 'launch', {lead} );")
    planned, registered = server.hooks()
    async with site.logged_in("anna") as visitor:
        page = (await visitor.get(f"{site.home}/webinar/launch/")).text

    assert (planned[0], planned[1]["title"]) == ("core_webinar_plan", "Запуск")
    assert (registered[0], registered[1]["leads"][0]["lead_id"]) == ("core_roster_register", lead)
    assert f"{server.url}/room/launch#token=" in page


async def test_the_plugin_does_its_work_on_a_newer_wordpress_and_another_database(
    second: WordPress, server: RoomServer
) -> None:
    assert await second.php(VERSION) == ["6.5.5", "WP_SQLite_DB"]
    await comes_in(second)
    await goes_out(second, server)
    await is_shown(second, server)
    faults = [line for line in second.log().splitlines() if "plugins/room-server" in line or "database error" in line]
    assert faults == []

    assert len(await second.php(TABLES)) == 2
    assert await second.php("room_server_delete_data(); " + TABLES) == []
