"""What the server tells the site: signed, stored once, run at most once, in order."""

import asyncio
import json
import re

from tests.support import HOOK_SECRET, eventually, wait_until
from tests.wordpress.server import RoomServer, event, tell
from tests.wordpress.site import ADMIN, Database, WordPress, wordpress

ALL = """
foreach ( array( 'client_webinar_entered', 'client_webinar_completed', 'webinar_completed', 'post_webinar_route',
    'client_webinar_attendance_classified', 'core_webinar_set_status', 'core_webinar_set_cta_visibility',
    'client_webinar_cta_clicked' ) as $hook ) {
    add_action( $hook, function ( ...$arguments ) use ( $hook ) { rs_note( $hook, ...$arguments ); }, 10, 3 );
}
add_action( 'room_server_event', function ( $event ) { rs_note( 'room_server_event', $event['id'] ); } );
"""
OTHER = "whsec_" + "b3RoZXIgc2VjcmV0IG9mIHRoZSB0ZXN0cyE="


def route(lead_id: int, webinar_id: str = "launch") -> dict[str, object]:
    return event("post_webinar_route", webinar_id, lead_id=lead_id, attended=True, route="attended")


async def test_events_become_the_actions_of_the_mission(site: WordPress) -> None:
    site.listen(ALL)
    classified = event("client_webinar_attendance_classified", lead_id=42, attended=True)
    started = event(
        "core_webinar_set_status", id="core_webinar_set_status:launch:e.2", status="start", context={"source": "x"}
    )
    shown = event("core_webinar_set_cta_visibility", id="core_webinar_set_cta_visibility:launch:e.3", visible=True)

    answer = await tell(site, started, shown, classified, route(42))

    assert (answer.status_code, answer.json()) == (200, {"stored": 4})
    assert [said for said in site.heard() if said[0] != "room_server_event"] == [
        ["core_webinar_set_status", "launch", "start", {"event": started, "source": "x"}],
        ["core_webinar_set_cta_visibility", "launch", True, {"event": shown}],
        ["client_webinar_attendance_classified", classified["data"], classified],
        ["post_webinar_route", route(42)["data"], route(42)],
    ]
    assert [said[1] for said in site.heard() if said[0] == "room_server_event"] == [
        started["id"], shown["id"], classified["id"], route(42)["id"],
    ]  # fmt: skip


async def test_what_the_server_tells_is_not_told_back(site: WordPress, server: RoomServer) -> None:
    entered = event("client_webinar_entered", lead_id=42, timestamp=1)
    started = event("core_webinar_set_status", id="core_webinar_set_status:launch:e.2", status="start")

    await tell(site, started, entered)
    await site.cron()

    assert (server.told, await site.rows("outbox")) == ([], [])


async def test_an_event_of_a_kind_of_its_own_fires_no_action_of_wordpress(site: WordPress) -> None:
    site.listen("add_action( 'wp_logout', function () { rs_note( 'wp_logout' ); } );" + ALL)

    await tell(site, event("wp_logout"))

    assert site.heard() == [["room_server_event", "wp_logout:launch"]]


async def test_only_the_servers_signature_is_taken(site: WordPress) -> None:
    unsigned = await site.http.post(site.events_url, json={"type": "room_server.events"})
    forged = await tell(site, route(1), secret=OTHER)
    stale = await tell(site, route(1), late=301)
    early = await tell(site, route(1), late=-400)

    refusals = [(answer.status_code, answer.json()["code"]) for answer in (unsigned, forged, stale, early)]
    assert refusals == [(401, f"room_server_{word}") for word in ("unsigned", "forged", "stale", "stale")]
    assert await site.rows("events") == []


async def test_a_site_whose_clock_is_two_minutes_off_takes_events(mariadb: Database, server: RoomServer) -> None:
    for seconds in (120, -120):
        async with wordpress(mariadb, constants=server.constants(), clock=seconds) as site:
            assert (await tell(site, route(1))).status_code == 200


async def test_a_secret_is_changed_without_a_gap(mariadb: Database, server: RoomServer) -> None:
    rotated = {**server.constants(), "ROOM_SERVER_EVENTS_SECRET": f"{OTHER} {HOOK_SECRET}"}
    async with wordpress(mariadb, constants=rotated) as site:
        answers = [await tell(site, route(1)), await tell(site, route(2), secret=OTHER)]

    assert [answer.status_code for answer in answers] == [200, 200]


async def test_an_event_that_comes_again_runs_once(site: WordPress) -> None:
    """The same request, and the same event in another batch."""
    site.listen(ALL)

    first = await tell(site, route(1), id="one")
    again = await tell(site, route(1), id="one")
    other = await tell(site, route(1), route(2), id="two")

    assert [answer.status_code for answer in (first, again, other)] == [200, 200, 200]
    assert [said[1]["lead_id"] for said in site.heard() if said[0] == "post_webinar_route"] == [1, 2]


async def test_an_event_that_comes_twice_at_once_runs_once(site: WordPress) -> None:
    site.listen(ALL)
    batch = [route(lead) for lead in range(1, 21)]

    answers = await asyncio.gather(*(tell(site, *batch) for _ in range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    await eventually(lambda: all_are(site, "done"), "all have run", 30)

    assert [said[1]["lead_id"] for said in site.heard() if said[0] == "post_webinar_route"] == list(range(1, 21))


async def test_without_locks_in_the_database_an_event_still_runs_once(site: WordPress) -> None:
    """Only their order is not kept then. Each pauses before it claims an event, so that they do collide."""
    site.listen(ALL)
    site.listen(
        "add_filter( 'query', function ( $sql ) { $sql = preg_replace( '/(GET|RELEASE)_LOCK.*/', 'NULL', $sql );"
        "if ( false !== strpos( $sql, \"'running', ran_at\" ) ) { usleep( 20000 ); } return $sql; } );"
    )
    batch = [route(lead) for lead in range(1, 11)]

    await asyncio.gather(*(tell(site, *batch) for _ in range(4)))

    assert sorted(said[1]["lead_id"] for said in site.heard() if said[0] == "post_webinar_route") == list(range(1, 11))


async def all_are(site: WordPress, state: str) -> bool:
    await site.cron()
    return {row["state"] for row in await site.rows("events", "state")} == {state}


async def test_ids_differ_by_case(site: WordPress) -> None:
    await tell(site, route(1, "Launch"), route(1, "launch"))

    assert len(await site.rows("events", "state")) == 2


async def test_what_is_no_event_refuses_the_batch_and_names_the_field(site: WordPress) -> None:
    bad = [
        ({**route(2), "id": "with blank"}, "data.events[1].id"),
        ({**route(2), "type": 7}, "data.events[1].type"),
        ({**route(2), "webinar_id": "ä"}, "data.events[1].webinar_id"),
        ({**route(2), "data": "none"}, "data.events[1].data"),
        ("none", "data.events[1].id"),
    ]
    for given, field in bad:
        answer = await tell(site, route(1), given)
        assert (answer.status_code, field in answer.json()["message"]) == (422, True), answer.text
    for body, status in ((b"{", 400), (b"[]", 422), (b'{"type": "other"}', 422)):
        assert (await tell(site, body=body)).status_code == status
    many = await tell(site, *(route(lead) for lead in range(1, 1002)))
    assert many.status_code == 413
    assert await site.rows("events") == []


async def test_a_listener_that_throws_costs_the_others_nothing(site: WordPress) -> None:
    site.on("post_webinar_route", "if ( 1 === $data['lead_id'] ) { throw new Exception( 'no CRM' ); }", 5)
    site.on("post_webinar_route", "strlen( array() );", 6)
    site.listen(ALL)

    answer = await tell(site, route(1), route(2))

    assert answer.status_code == 200
    assert [said[1]["lead_id"] for said in site.heard() if said[0] == "post_webinar_route"] == [1, 2]
    first, second = await site.rows("events", "state, error")
    assert (first["state"], second["state"]) == ("failed", "failed")
    assert re.search(r"Exception at 01-\w+\.php:2: no CRM", first["error"])
    assert "TypeError" in second["error"]
    assert "no CRM" in site.log()


async def test_a_listener_may_remove_itself(site: WordPress) -> None:
    site.listen(
        "function rs_once( $data ) { remove_action( 'post_webinar_route', 'rs_once' ); rs_note( $data['lead_id'] ); }"
        "add_action( 'post_webinar_route', 'rs_once' );"
    )

    await tell(site, route(1), route(2))

    assert site.heard() == [[1]]


async def test_a_listener_that_ends_the_request_is_shown_as_interrupted(site: WordPress) -> None:
    site.on("post_webinar_route", "rs_note( $data['lead_id'] ); if ( 1 === $data['lead_id'] ) { exit; }")

    await tell(site, route(1), route(2))
    await site.cron()

    assert site.heard() == [[1], [2]]
    assert [row["state"] for row in await site.rows("events", "state")] == ["interrupted", "done"]


async def test_a_slow_listener_does_not_keep_the_server_waiting(mariadb: Database, server: RoomServer) -> None:
    """The first takes ten seconds: the server is answered then, and cron runs the rest by itself."""
    async with wordpress(mariadb, constants=server.constants(), cron=True) as site:
        site.on("post_webinar_route", "rs_note( $data['lead_id'] ); if ( 1 === $data['lead_id'] ) { sleep( 10 ); }")

        slow = asyncio.create_task(tell(site, route(1), route(2)))
        await wait_until(lambda: site.heard() == [[1]], "the slow one runs")
        other = await tell(site, route(3))
        meanwhile = site.heard()
        assert (await slow).status_code == other.status_code == 200

        assert meanwhile == [[1]]
        await wait_until(lambda: site.heard() == [[1], [2], [3]], "cron has run the rest")


async def test_a_full_table_asks_the_server_to_come_later(site: WordPress) -> None:
    rows = """
        $rows = array();
        for ( $n = 0; $n < ROOM_SERVER_INBOX_ROWS; $n++ ) { $rows[] = "('filler-$n', 'x', '{}', 'new', '', 0)"; }
        foreach ( array_chunk( $rows, 5000 ) as $chunk ) {
            $GLOBALS['wpdb']->query( 'INSERT INTO ' . room_server_table( 'events' )
                . ' (event_id, type, body, state, error, received_at) VALUES ' . implode( ',', $chunk ) );
        }
    """
    await site.php(rows)

    answer = await tell(site, route(1))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    await site.php("$GLOBALS['wpdb']->query( 'UPDATE ' . room_server_table( 'events' ) . \" SET state = 'done'\" );")
    assert (await tell(site, route(1))).status_code == 200


async def test_thousands_of_events_in_a_row_run_once_each_in_order(site: WordPress, soak: bool) -> None:
    """Old rows go, and the table that is left is not searched from end to end."""
    events = 10_000 if soak else 2_000
    site.on("post_webinar_route", "$GLOBALS['rs_leads'][] = $data['lead_id'];")
    site.on("shutdown", "if ( isset( $GLOBALS['rs_leads'] ) ) { rs_note( ...$GLOBALS['rs_leads'] ); }")
    for first in range(1, events, 100):
        answer = await tell(site, *(route(lead) for lead in range(first, first + 100)))
        assert answer.status_code == 200
    await eventually(lambda: all_are(site, "done"), "all have run", 60)

    assert [lead for said in site.heard() for lead in said] == list(range(1, events + 1))
    table = "' . room_server_table( 'events' ) . '"
    explain = f"EXPLAIN SELECT seq, body FROM {table} WHERE state = \\'new\\' ORDER BY seq LIMIT 1"
    plan = await site.php(f"return $GLOBALS['wpdb']->get_row( '{explain}' );")
    assert plan["key"] == "state_seq"
    await site.php(f"$GLOBALS['wpdb']->query( 'UPDATE {table} SET received_at = 1 WHERE seq > 800' );")
    await site.php("do_action( 'room_server_every_day' ); do_action( 'room_server_every_day' );")
    assert await site.php(f"return (int) $GLOBALS['wpdb']->get_var( 'SELECT COUNT(*) FROM {table}' );") == 800


async def test_plain_permalinks_and_a_sub_folder(mariadb: Database, server: RoomServer) -> None:
    async with wordpress(mariadb, constants=server.constants(), path="/blog") as site:
        assert (await tell(site, route(1))).status_code == 200
        await site.php("update_option( 'permalink_structure', '' );", ADMIN)
        url = await site.php("return rest_url( 'room-server/v1/events' );")
        assert url == f"{site.home}/index.php?rest_route=/room-server/v1/events"
        assert (await tell(site, route(2), url=url)).status_code == 200
        assert len(await site.rows("events", "state")) == 2


async def test_a_body_in_russian_keeps_its_letters(site: WordPress) -> None:
    site.listen(ALL)
    said = event("client_webinar_entered", lead_id=7, session_id="сеанс «один»")

    await tell(site, said)

    assert json.loads(json.dumps(site.heard()[0][1])) == said["data"]
