"""What those who run the site see: settings, the test of the connection, who came, deliveries, and a person's data."""

import json
import time
from typing import Any

from starlette.responses import JSONResponse, Response

from tests.support import HOOK_SECRET, TOKEN_SECRET
from tests.wordpress.server import RoomServer, Told, constants, event, page, refusal, tell
from tests.wordpress.site import ADMIN, Database, WordPress, free_port, wordpress

CHECKED = {"version": "1.2", "time": "2026-11-22T19:00:00Z", "receivers": ["site"]}
HERE = "ROOM_SERVER_SITE_EVENTS_URL"


def checked(told: Told, **more: Any) -> Response:
    """The answer of a server that finds everything right."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    headers = {"content-security-policy": "default-src 'none'; frame-ancestors 'self'"} if told.path == "/" else {}
    return JSONResponse({**CHECKED, "time": now, "webinar_id": None, "duplicate": False, **more}, headers=headers)


async def ask(site: WordPress, action: str, user: str = "admin", **form: str) -> Any:
    """The answer of the settings page's own address, as its button asks it."""
    async with site.logged_in(user) as client:
        if user == "admin":
            text = (
                await client.get(f"{site.home}/wp-admin/edit.php?post_type=room_webinar&page=room-server-settings")
            ).text
            form["_ajax_nonce"] = json.loads(text.partition("var roomServerCheck = ")[2].partition(";\n")[0])["nonce"]
        answer = await client.post(f"{site.home}/wp-admin/admin-ajax.php", data={"action": action, **form})
        return answer.json() if answer.headers["content-type"].startswith("application/json") else answer.status_code


async def test_the_connection_is_tested_both_ways(site: WordPress, server: RoomServer) -> None:
    server.usual = checked

    out = await ask(site, "room_server_check")
    nonce = out["data"]["nonce"]
    silent = await ask(site, "room_server_heard", nonce=nonce)
    await tell(site, event("core_site_checked", None, id=f"core_site_checked:{nonce}", nonce=nonce))
    heard = await ask(site, "room_server_heard", nonce=nonce)

    assert out["success"] is True
    assert out["data"]["sentence"].startswith(
        "This site reaches the room server (version 1.2), and both secrets are right."
    )
    assert "ROOM_SERVER_ALLOWED_ORIGINS" in out["data"]["sentence"]
    assert out["data"]["fault"] == ""
    assert (server.told[0].hook, server.told[0].payload, server.told[0].is_signed()) == (
        "core_site_check",
        {"nonce": nonce},
        True,
    )
    assert (server.told[1].path, server.told[1].claims["role"]) == ("/monitor/counts", "monitor")
    assert silent["success"] is False
    assert "No event has come within 30 seconds." in silent["data"]
    assert heard == {"success": True, "data": "The server’s events reach this site."}


async def test_whatever_is_wrong_is_told_in_a_sentence(site: WordPress, server: RoomServer) -> None:
    for answers, words in (
        ([refusal(401, "unauthenticated")], "the hook secret here is not ROOM_SERVER_HOOK_SECRET there"),
        ([refusal(404, "hook_unknown")], "too old for this plugin"),
        ([page(200)], "does not behave as a room server: status 200"),
        ([page(403)], "does not behave as a room server: status 403"),
        ([checked, refusal(401, "unauthenticated")], "the token secret here is not ROOM_SERVER_TOKEN_SECRET there"),
    ):
        server.next.extend(answers)
        answer = await ask(site, "room_server_check")
        assert (answer["success"], words in answer["data"]) == (False, True), answer

    server.usual = lambda told: checked(told, receivers=[])
    assert HERE in (await ask(site, "room_server_check"))["data"]["fault"]
    server.usual = lambda told: checked(told, time="2026-01-01T00:00:00Z")
    assert "more than five would be too much" in (await ask(site, "room_server_check"))["data"]["sentence"]


async def test_events_that_are_refused_say_why(site: WordPress, server: RoomServer) -> None:
    server.usual = checked
    await ask(site, "room_server_check")
    checked_event = event("core_site_checked", None, id="core_site_checked:n", nonce="n")
    for how, words in (
        ({"secret": "whsec_b3RoZXI="}, "signature does not hold"),
        ({"late": 400}, "more than five minutes off"),
    ):
        await tell(site, checked_event, **how)
        assert words in (await ask(site, "room_server_heard", nonce="n"))["data"]


async def test_a_server_that_does_not_answer_and_settings_that_are_missing(mariadb: Database) -> None:
    async with wordpress(mariadb, constants=constants(f"http://127.0.0.1:{free_port()}")) as site:
        assert "does not answer: " in (await ask(site, "room_server_check"))["data"]
    async with wordpress(mariadb) as site:
        assert "must be set first" in (await ask(site, "room_server_check"))["data"]


async def test_only_who_manages_the_site_may_test_and_set(site: WordPress, server: RoomServer) -> None:
    await site.user("olga", "editor")

    assert await ask(site, "room_server_check", "olga") == 403
    async with site.logged_in("olga") as olga:
        for name in ("settings", "deliveries"):
            answer = await olga.get(f"{site.home}/wp-admin/edit.php?post_type=room_webinar&page=room-server-{name}")
            assert answer.status_code == 403
    assert server.told == []


CLEAN = """
require_once ABSPATH . 'wp-admin/includes/template.php';
$stored = room_server_clean_settings( json_decode( '%s', true ) );
return array( $stored, array_column( get_settings_errors(), 'message' ) );
"""


async def test_settings_are_checked_and_secrets_are_kept_and_not_shown(mariadb: Database) -> None:
    async with wordpress(mariadb) as site:
        good = {
            "url": "https://rooms.example.org/",
            "token_secret": TOKEN_SECRET,
            "hook_secret": HOOK_SECRET,
            "user_is_lead": "1",
        }
        stored, errors = await site.php(CLEAN % json.dumps(good))
        assert (errors, stored) == ([], {**good, "user_is_lead": True, "delete_data": False})
        await site.php(f"update_option( 'room_server_settings', json_decode( '{json.dumps(stored)}', true ) );")

        bad = {
            "url": "rooms.example.org/x?y",
            "token_secret": "a b c",
            "hook_secret": "secret",
            "events_secret": "whsec_***",
        }
        kept, errors = await site.php(CLEAN % json.dumps(bad))
        assert [kept[name] for name in ("url", "token_secret", "hook_secret")] == [
            good[name] for name in ("url", "token_secret", "hook_secret")
        ]
        expected = ("https://", "32 characters", "whsec_", "whsec_")
        assert [word in error for error, word in zip(errors, expected, strict=True)] == [True] * 4

        async with site.logged_in("admin") as admin:
            text = (
                await admin.get(f"{site.home}/wp-admin/edit.php?post_type=room_webinar&page=room-server-settings")
            ).text
        assert TOKEN_SECRET not in text
        assert HOOK_SECRET not in text
        assert f"{HERE}={site.events_url}" in text


async def test_constants_win_over_the_page(site: WordPress, server: RoomServer) -> None:
    await site.php("update_option( 'room_server_settings', array( 'url' => 'https://other.example.org' ) );")

    assert await site.php("return room_server_url();") == server.url
    async with site.logged_in("admin") as admin:
        text = (await admin.get(f"{site.home}/wp-admin/edit.php?post_type=room_webinar&page=room-server-settings")).text
    assert "Set in wp-config.php by ROOM_SERVER_URL." in text


async def test_the_table_shows_who_came(site: WordPress, server: RoomServer) -> None:
    await site.post(kind="room_webinar", slug="launch", title="Launch", scheduled_at="2030-12-01T19:00")
    await site.user("olga", "editor")
    await site.user("anna")
    leads = [
        {"lead_id": 7, "name": "Анна <b>", "entered_at": "2026-11-22T18:01:00Z", "completed_at": None, "attended": True,
         "route": "attended", "messages": [{"kind": "follow_up", "status": "sent", "at": None, "error": None}]},
        {"lead_id": 8, "name": None, "entered_at": None, "completed_at": None, "attended": None, "route": None,
         "messages": []},
    ]  # fmt: skip
    server.usual = lambda told: JSONResponse({"webinar_id": "launch", "leads": leads, "next": 8})
    server.told.clear()
    address = f"{site.home}/wp-admin/edit.php?post_type=room_webinar&page=room-server-attendance"

    async with site.logged_in("olga") as olga:
        listed, table = (await olga.get(address)).text, (await olga.get(f"{address}&webinar=launch")).text
        server.usual = refusal(503, "state_unavailable", "The state cannot be read.")
        trouble = (await olga.get(f"{address}&webinar=launch")).text
    async with site.logged_in("anna") as anna:
        assert (await anna.get(address)).status_code == 403

    assert "webinar=launch" in listed
    assert (
        '<tr data-lead="7"><td>7</td><td>Анна &lt;b&gt;</td><td>November 22, 2026, 9:01 pm (MSK)</td>'
        "<td>–</td><td>yes</td><td>follow-up: sent</td>" in table
    )
    assert '<tr data-lead="8"><td>8</td><td></td><td>–</td><td>–</td><td>–</td><td></td>' in table
    assert "after=8" in table
    assert server.told[0].path == "/webinars/launch/attendance"
    assert (server.told[0].claims["role"], server.told[0].claims["webinar_id"]) == ("organizer", "launch")
    assert "does not tell who came: The state cannot be read." in trouble


async def test_deliveries_both_ways_are_listed(site: WordPress, server: RoomServer) -> None:
    await site.php("do_action( 'client_webinar_entered', array( 'webinar_id' => 'launch', 'lead_id' => 42 ) );")
    site.listen("add_action( 'post_webinar_route', function () { throw new Exception( 'no <CRM>' ); } );")
    await tell(site, event("post_webinar_route", lead_id=42, attended=True))

    async with site.logged_in("admin") as admin:
        text = (
            await admin.get(f"{site.home}/wp-admin/edit.php?post_type=room_webinar&page=room-server-deliveries")
        ).text

    assert '<tr data-state="sent">' in text
    assert '<tr data-state="failed">' in text
    assert "no &lt;CRM&gt;" in text


async def test_a_persons_data_is_exported_and_erased_here_and_there(site: WordPress, server: RoomServer) -> None:
    anna = await site.user("anna", room_server_lead_id="42")
    ivan = await site.user("ivan", room_server_lead_id="42")
    await site.php(f"room_server_register_user( 'launch', {anna} );")
    await tell(site, event("client_webinar_entered", lead_id=42), event("client_webinar_entered", lead_id=43))
    server.told.clear()

    export = await site.php("return room_server_export( 'anna@example.org' );")
    erased = await site.php("return room_server_erase( 'anna@example.org' );")

    facts = [[field["value"] for field in item["data"]] for item in export["data"]]
    assert [fact[0] for fact in facts] == [
        "42",
        "launch",
        *sorted(["client_webinar_entered", "core_roster_register"], key=[fact[0] for fact in facts].index),
    ]
    assert (erased["items_removed"], str(ivan) in erased["messages"][0]) == (True, True)
    assert server.hooks() == [("core_lead_forget", {"lead_id": 42})]
    assert server.told[0].is_signed()
    assert [row["lead_id"] for row in await site.rows("events", "lead_id")] == ["43"]
    assert [(row["hook"], row["lead_id"]) for row in await site.rows("outbox", "hook, lead_id")] == [
        ("core_lead_forget", "0")
    ]
    assert await site.php(f"return room_server_registrations( {anna} );") == []
    assert await site.php("return room_server_erase( 'nobody@example.org' );") == {
        "items_removed": False, "items_retained": False, "messages": [], "done": True,
    }  # fmt: skip


async def test_the_lead_field_is_for_who_manages_the_site(site: WordPress) -> None:
    """Nobody may set the lead that it is."""
    anna = await site.user("anna")
    save = (
        "$_POST = array( 'room_server_lead_nonce' => wp_create_nonce( 'room_server_lead' ),"
        "'room_server_lead_id' => '%s' );"
        f"do_action( 'edit_user_profile_update', {anna} ); return room_server_lead_of( {anna} );"
    )
    assert await site.php(save % "99", anna) == anna
    assert (await site.rest("POST", "/wp/v2/users/me", {"meta": {"room_server_lead_id": 99}}, anna))["status"] in {
        200,
        400,
    }
    assert await site.php(f"return room_server_lead_of( {anna} );") == anna
    assert await site.php(save % "99", ADMIN) == 99
    assert await site.php(save % "nonsense", ADMIN) == 99
    assert await site.php(save % "", ADMIN) == anna


async def test_the_admin_is_told_of_what_was_not_taken_until_it_was_seen(site: WordPress, server: RoomServer) -> None:
    await site.php("do_action( 'core_webinar_set_status', 'launch', 'start' );")
    async with site.logged_in("admin") as admin:
        text = (await admin.get(f"{site.home}/wp-admin/index.php")).text
        assert "core_webinar_set_status launch. Refused. Nobody was logged in" in text
        link = (
            text.partition("admin-post.php?action=room_server_seen&#038;")[2].partition('"')[0].replace("&#038;", "&")
        )
        answer = await admin.get(f"{site.home}/wp-admin/admin-post.php?action=room_server_seen&{link}")
        assert answer.status_code == 302
        assert "core_webinar_set_status launch." not in (await admin.get(f"{site.home}/wp-admin/index.php")).text
