"""What the site tells the server: stored first, in the role of who did it, until the server has taken or refused it."""

import asyncio
import time
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from tests.wordpress.server import RoomServer, Told, event, page, refusal, tell
from tests.wordpress.site import ADMIN, Database, WordPress, wordpress

START = "do_action( 'core_webinar_set_status', 'launch', 'start' );"
ENTERED = "do_action( 'client_webinar_entered', array( 'webinar_id' => 'launch', 'lead_id' => 42, 'timestamp' => 7 ) );"
DUE = "$GLOBALS['wpdb']->query( 'UPDATE ' . room_server_table( 'outbox' ) . ' SET next_at = 0' );"


async def states(site: WordPress) -> list[tuple[str, str]]:
    """The rows of the outbox: hook and state."""
    return [(row["hook"], row["state"]) for row in await site.rows("outbox", "hook, state")]


async def user_with(site: WordPress, role: str) -> int:
    """A new user of this role."""
    made: int = await site.php(
        f"return wp_insert_user( array( 'user_login' => '{role}', 'user_pass' => 'x', 'role' => '{role}' ) );"
    )
    return made


async def test_the_missions_actions_reach_the_server(site: WordPress, server: RoomServer) -> None:
    await site.php(
        START
        + ENTERED
        + "do_action( 'core_webinar_set_cta_visibility', 'launch', true, array( 'source' => 'button' ) );"
        "do_action( 'client_webinar_completed',"
        "array( 'webinar_id' => 'launch', 'lead_id' => '42', 'completed_at' => 9 ) );",
        ADMIN,
    )

    first, second, third, fourth = server.hooks()
    assert (first[0], first[1]["status"]) == ("core_webinar_set_status", "start")
    assert second == ("client_webinar_entered", {"webinar_id": "launch", "lead_id": 42, "timestamp": 7})
    assert (third[0], third[1]["visible"], third[1]["context"]["source"]) == (
        "core_webinar_set_cta_visibility",
        True,
        "button",
    )
    assert fourth == ("client_webinar_completed", {"webinar_id": "launch", "lead_id": 42, "completed_at": 9})
    assert {state for _, state in await states(site)} == {"sent"}


async def test_an_administrator_is_organizer_and_who_may_speak_is_speaker(site: WordPress, server: RoomServer) -> None:
    speaker = await user_with(site, "room_server_speaker")
    before = time.time()

    await site.php(START, ADMIN)
    await site.php(START, speaker)

    assert [told.claims["role"] for told in server.told] == ["organizer", "speaker"]
    claims = server.told[0].claims
    assert claims["webinar_id"] == "launch"
    assert 50 <= claims["exp"] - before <= 70
    assert claims["sub"].endswith(f"-user-{ADMIN}")


async def test_the_role_is_that_of_who_was_there_when_it_was_done(site: WordPress, server: RoomServer) -> None:
    speaker = await user_with(site, "room_server_speaker")
    server.next.append(page(502))

    await site.php(START, speaker)
    await site.php(DUE + f"get_user_by( 'id', {speaker} )->set_role( 'subscriber' );")
    await site.cron()

    assert [told.claims["role"] for told in server.told] == ["speaker", "speaker"]


async def test_nobody_and_a_visitor_are_refused_and_logged(site: WordPress, server: RoomServer) -> None:
    visitor = await user_with(site, "subscriber")

    await site.php(START)
    await site.php(START, visitor)

    assert server.told == []
    assert await states(site) == [("core_webinar_set_status", "refused")] * 2
    assert "core_webinar_set_status was refused: Nobody was logged in" in site.log()


async def test_facts_of_leads_are_signed_whoever_is_logged_in(site: WordPress, server: RoomServer) -> None:
    await site.php(ENTERED)

    (told,) = server.told
    assert told.is_signed()
    assert "authorization" not in told.headers


async def test_what_is_no_webinar_or_lead_is_refused_here(site: WordPress, server: RoomServer) -> None:
    await site.php(
        "do_action( 'core_webinar_set_status', 'no such id', 'start' );"
        "do_action( 'client_webinar_entered', array( 'webinar_id' => 'launch', 'lead_id' => 0 ) );"
        "do_action( 'client_webinar_completed', 'nonsense' );",
        ADMIN,
    )

    assert server.told == []
    assert [state for _, state in await states(site)] == ["refused"] * 3


async def test_a_server_that_is_away_gets_it_later_with_the_same_id(site: WordPress, server: RoomServer) -> None:
    answers = [
        page(200),
        page(404),
        refusal(401, "unauthenticated"),
        refusal(429, "too_many_requests"),
        refusal(503, "state_unavailable"),
        lambda told: Response(status_code=301, headers={"location": "/elsewhere"}),
    ]
    server.next.extend(answers)

    await site.php(ENTERED)
    for count in range(1, len(answers) + 1):
        assert len(server.told) == count
        await site.php(DUE + "room_server_send( 20 );")

    assert await states(site) == [("client_webinar_entered", "sent")]
    assert len({told.headers["webhook-id"] for told in server.told}) == 1
    assert all(told.is_signed() for told in server.told)


async def test_a_refusal_of_the_servers_is_final_and_told(site: WordPress, server: RoomServer) -> None:
    server.next.append(refusal(409, "webinar_not_live", "The webinar is not live."))

    await site.php(ENTERED)
    await site.php(DUE)
    await site.cron()

    assert len(server.told) == 1
    (row,) = await site.rows("outbox")
    assert (row["state"], row["status"], row["error"], row["body"]) == (
        "refused", "409", "webinar_not_live: The webinar is not live.", "",
    )  # fmt: skip


async def test_attempts_are_further_and_further_apart_and_heed_retry_after(site: WordPress, server: RoomServer) -> None:
    server.usual = page(502)
    await site.php(ENTERED)
    waits = []
    for _ in range(9):
        now = time.time()
        waits.append(int((await site.rows("outbox", "next_at"))[0]["next_at"]) - now)
        await site.php(DUE + "room_server_send( 20 );")
    for wait, planned in zip(waits, (5, 30, 120, 600, 1800, 3600, 7200, 14400, 14400), strict=True):
        assert 0.8 * planned - 10 <= wait <= 1.2 * planned + 1

    server.usual = lambda told: JSONResponse({}, 503, headers={"retry-after": "50000"})
    await site.php(DUE)
    await site.cron()
    assert 49_990 <= int((await site.rows("outbox", "next_at"))[0]["next_at"]) - time.time() <= 50_001


async def test_a_day_later_a_fact_is_sent_and_an_order_is_given_up_and_the_admin_says_so(
    site: WordPress, server: RoomServer
) -> None:
    server.usual = page(502)
    await site.php(START + ENTERED, ADMIN)
    (order, fact) = await site.rows("outbox", "expires_at - created_at AS seconds")
    assert (order["seconds"], fact["seconds"]) == ("3600", str(3 * 24 * 3600))

    await site.php(DUE.replace("next_at = 0'", "expires_at = expires_at - 24 * 3600'"))
    server.usual = lambda told: JSONResponse({"duplicate": False})
    await site.php(DUE)
    await site.cron()

    assert await states(site) == [("core_webinar_set_status", "expired"), ("client_webinar_entered", "sent")]
    notices = "ob_start(); room_server_show_notices(); return ob_get_clean();"
    assert "core_webinar_set_status launch. Given up: it was too late." in await site.php(notices, ADMIN)
    assert await site.php(notices) == ""


async def test_messages_of_a_webinar_stay_in_order_and_those_of_others_pass(
    site: WordPress, server: RoomServer
) -> None:
    def away_for_launch(told: Told) -> Response:
        return page(408)(told) if told.payload["webinar_id"] == "launch" else JSONResponse({})

    server.usual = away_for_launch
    await site.php(START + ENTERED + ENTERED.replace("launch", "other"), ADMIN)

    assert [payload["webinar_id"] for _, payload in server.hooks()] == ["launch", "other"]
    assert [state for _, state in await states(site)] == ["waiting", "waiting", "sent"]
    server.usual = lambda told: JSONResponse({})
    await site.php(DUE)
    await site.cron()
    assert [hook for hook, payload in server.hooks()[2:]] == ["core_webinar_set_status", "client_webinar_entered"]


async def test_it_outlives_what_ends_the_request(mariadb: Database, server: RoomServer) -> None:
    """A fatal error after the action, and a kill."""
    ends = {"fatal": "rs_no_such_function();", "kill": "posix_kill( getmypid(), SIGKILL );"}
    async with wordpress(mariadb, constants=server.constants()) as site:
        for lead, (word, end) in enumerate(ends.items(), 1):
            entered = ENTERED.replace("42", str(lead))
            site.listen(f"if ( isset( $_GET['{word}'] ) ) {{ add_action( 'wp', function () {{ {entered}{end} }} ); }}")

        assert (await site.http.get(f"{site.home}/?fatal=1")).status_code == 500
        with pytest.raises(httpx.RemoteProtocolError):
            await site.http.get(f"{site.home}/?kill=1")
        assert len(await site.rows("outbox")) == 2
        await site.cron()

        assert [payload["lead_id"] for _, payload in server.hooks()] == [1, 2]


async def test_two_runs_of_cron_at_once_send_each_message_once(site: WordPress, server: RoomServer) -> None:
    """Between seeing a message and claiming it each of them pauses, so that they do collide."""
    site.listen(
        "add_filter( 'query', function ( $sql ) {"
        "if ( false !== strpos( $sql, 'attempts = attempts + 1' ) ) { usleep( 20000 ); } return $sql; } );"
    )
    server.usual = page(502)
    entered = [ENTERED.replace("42", str(lead)).replace("launch", f"webinar-{lead}") for lead in range(1, 21)]
    await site.php("".join(entered))
    await site.php(DUE)
    server.told.clear()
    server.usual = lambda told: JSONResponse({})

    await asyncio.gather(*(site.php("room_server_send( 20 );") for _ in range(4)))

    assert sorted(payload["lead_id"] for _, payload in server.hooks()) == list(range(1, 21))


async def test_a_sender_that_died_is_followed_by_another_after_a_minute(site: WordPress, server: RoomServer) -> None:
    server.usual = page(502)
    await site.php(ENTERED)
    await site.php(DUE + "room_server_claim_message();")
    server.usual = lambda told: JSONResponse({})

    await site.cron()
    assert len(server.told) == 1
    (row,) = await site.rows("outbox", "next_at")
    assert 50 <= int(row["next_at"]) - time.time() <= 60
    await site.php(DUE)
    await site.cron()
    assert len(server.told) == 2


async def test_the_visitor_does_not_wait_for_the_server(site: WordPress, server: RoomServer) -> None:
    """The page is there before the server is asked."""
    site.listen("if ( isset( $_GET['enter'] ) ) { add_action( 'wp', function () {" + ENTERED + "} ); }")
    shown: list[bool] = []
    server.usual = lambda told: JSONResponse({})

    async with site.http.stream("GET", f"{site.home}/?enter=1") as answer:
        text = ""
        async for part in answer.aiter_text():
            text += part
            shown.append("</html>" in text and not server.told)
    assert "</html>" in text
    assert [hook for hook, _ in server.hooks()] == ["client_webinar_entered"]


async def test_a_clock_that_is_two_minutes_slow_still_gives_orders(mariadb: Database, server: RoomServer) -> None:
    """A token of a minute made by that clock has expired; the server's `Date` says what time it is there."""

    def strict(told: Told) -> Response:
        date = {"date": formatdate(usegmt=True)}
        if told.claims["exp"] <= time.time():
            return JSONResponse({"code": "unauthenticated", "detail": "the token has expired"}, 401, headers=date)
        return JSONResponse({}, headers=date)

    server.usual = strict
    for seconds in (-120, 120):
        async with wordpress(mariadb, constants=server.constants(), clock=seconds) as slow:
            slow.listen(
                "if ( isset( $_GET['start'] ) ) { add_action( 'wp', function () { wp_set_current_user( 1 );"
                + START
                + "} ); }"
            )
            await slow.http.get(f"{slow.home}/?start=1")
            assert await states(slow) == [("core_webinar_set_status", "sent")]


async def test_a_fact_that_the_site_sent_fires_only_the_general_action(site: WordPress, server: RoomServer) -> None:
    site.listen(
        "foreach ( array( 'core_webinar_set_status', 'client_webinar_entered', 'room_server_event' ) as $hook ) {"
        "add_action( $hook, function () use ( $hook ) { rs_note( $hook ); } ); }"
    )
    await site.php(START + ENTERED, ADMIN)
    actor: dict[str, Any] = {"role": "organizer", "subject": server.told[0].claims["sub"]}

    await tell(
        site,
        event("core_webinar_set_status", id="core_webinar_set_status:launch:e.2", status="start", actor=actor),
        event("client_webinar_entered", lead_id=42, actor={"role": "system", "subject": "webhook"}),
        event("client_webinar_entered", lead_id=43, actor={"role": "attendee", "subject": "43"}),
    )

    assert [said[0] for said in site.heard()] == [
        "core_webinar_set_status", "client_webinar_entered",
        "room_server_event", "room_server_event",
        "client_webinar_entered", "room_server_event",
    ]  # fmt: skip


async def test_without_settings_nothing_is_lost(mariadb: Database, server: RoomServer) -> None:
    async with wordpress(mariadb) as site:
        await site.php(ENTERED)
        assert await states(site) == [("client_webinar_entered", "waiting")]
        option = {name.removeprefix("ROOM_SERVER_").lower(): value for name, value in server.constants().items()}
        pairs = ", ".join(f"'{name}' => '{value}'" for name, value in option.items())
        await site.php(f"update_option( 'room_server_settings', array( {pairs} ) );")
        await site.cron()
        assert await states(site) == [("client_webinar_entered", "sent")]
