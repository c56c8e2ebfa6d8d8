"""Webinars as posts: what their saving tells the server, and the ids that they get."""

from typing import Any

from tests.wordpress.server import RoomServer, refusal
from tests.wordpress.site import ADMIN, FIELDS, WordPress

AT = "2030-12-01T19:00"


async def webinar(site: WordPress, **fields: str) -> int:
    """A published webinar at AT, by the site's clock in Moscow."""
    return await site.post(kind="room_webinar", **{"scheduled_at": AT, "slug": "launch", "title": "Launch", **fields})


async def field(site: WordPress, post_id: int, name: str) -> str:
    value: str = await site.php(f"return get_post_meta( {post_id}, 'room_server_{name}', true );")
    return value


async def test_saving_a_webinar_plans_it(site: WordPress, server: RoomServer) -> None:
    await webinar(
        site, title="Как всё &amp; начиналось", excerpt="Разбор «по шагам»", player_url="https://player.example.org/1",
        cta_label="Записаться", cta_url="https://example.org/buy", recording_url="https://example.org/video",
    )  # fmt: skip

    assert server.hooks() == [
        ("core_webinar_plan", {
            "webinar_id": "launch", "title": "Как всё & начиналось", "scheduled_at": "2030-12-01T19:00:00+03:00",
            "description": "Разбор «по шагам»", "player_url": "https://player.example.org/1", "cta_label": "Записаться",
            "cta_url": "https://example.org/buy", "draft": False, "recording_url": "https://example.org/video",
        })
    ]  # fmt: skip
    assert server.told[0].is_signed()


async def test_an_empty_field_is_cleared_but_no_recording_yet_is_not_said(site: WordPress, server: RoomServer) -> None:
    """The server would tell the leads that there is none."""
    await webinar(site)

    ((_, payload),) = server.hooks()
    assert [payload[name] for name in ("description", "player_url", "cta_label", "cta_url")] == [None] * 4
    assert "recording_url" not in payload
    assert "unlisted" not in payload


async def test_a_draft_and_a_webinar_without_a_time_are_not_planned(site: WordPress, server: RoomServer) -> None:
    draft = await webinar(site, status="draft")
    await webinar(site, scheduled_at="")

    assert server.hooks() == []
    assert await field(site, draft, "webinar_id") == ""


async def test_times_are_in_the_sites_zone_or_have_an_offset(site: WordPress, server: RoomServer) -> None:
    for given, stored in {
        AT: "2030-12-01T19:00:00+03:00",
        "2030-12-01T19:00:30": "2030-12-01T19:00:30+03:00",
        "2030-12-01T19:00:00Z": "2030-12-01T22:00:00+03:00",
        "2030-12-01T19:00:00-05:00": "2030-12-02T03:00:00+03:00",
    }.items():
        assert await field(site, await webinar(site, scheduled_at=given), "scheduled_at") == stored
        assert server.hooks()[-1][1]["scheduled_at"] == stored


async def test_a_field_that_is_not_lawful_is_refused_by_name(site: WordPress, server: RoomServer) -> None:
    for name, value in (
        ("scheduled_at", "tomorrow"), ("scheduled_at", "2030-02-31T10:00"), ("scheduled_at", "2030-02-01T25:00"),
        ("player_url", "javascript:alert(1)"), ("cta_url", "nonsense"), ("recording_url", "ftp://example.org/"),
    ):  # fmt: skip
        body = {"status": "publish", "title": "x", "meta": {f"room_server_{name}": value}}
        answer = await site.rest("POST", "/wp/v2/room_webinar", body)
        assert (answer["status"], f"room_server_{name}" in answer["data"]["message"]) == (400, True)
    assert server.hooks() == []


async def test_the_id_is_the_slug_once_and_for_all(site: WordPress, server: RoomServer) -> None:
    post = await webinar(site)
    await site.rest("POST", f"/wp/v2/room_webinar/{post}", {"slug": "another", "title": "Another"})
    forbidden = await site.rest("POST", f"/wp/v2/room_webinar/{post}", {"meta": {"room_server_webinar_id": "mine"}})

    assert [payload["webinar_id"] for _, payload in server.hooks()] == ["launch", "launch"]
    assert forbidden["status"] == 403
    assert (await site.rest("GET", f"/wp/v2/room_webinar/{post}"))["data"]["meta"]["room_server_webinar_id"] == "launch"


async def test_a_slug_that_is_no_id_or_is_taken_gives_a_number(site: WordPress, server: RoomServer) -> None:
    russian = await webinar(site, slug="", title="Первый вебинар")
    first = await webinar(site)
    await site.rest("POST", f"/wp/v2/room_webinar/{first}", {"slug": "old-launch"})
    second = await webinar(site)
    foreign = await webinar(site, slug=f"wp-{russian}")
    lawful = await webinar(site, slug=f"wp-{foreign + 2}")
    late = await webinar(site, slug="", title="Ещё один")

    ids = [await field(site, post, "webinar_id") for post in (russian, first, second, foreign, lawful)]
    assert ids == [f"wp-{russian}", "launch", f"wp-{second}", f"wp-{foreign}", f"wp-{foreign + 2}"]
    expected = f"wp-{late}-2" if late == foreign + 2 else f"wp-{late}"
    assert await field(site, late, "webinar_id") == expected


async def test_a_copy_of_a_webinar_is_another_webinar(site: WordPress, server: RoomServer) -> None:
    """As plugins that duplicate posts make it: with all meta."""
    post = await webinar(site)
    copy = await site.php(
        f"$copy = get_post( {post}, ARRAY_A ); unset( $copy['ID'] ); $copy['post_name'] = '';"
        f"$copy['meta_input'] = array_map( 'current', get_post_meta( {post} ) ); return wp_insert_post( $copy );",
        ADMIN,
    )

    ids = [await field(site, number, "webinar_id") for number in (post, copy)]
    assert ids == ["launch", "launch-2"]
    assert [payload["webinar_id"] for _, payload in server.hooks()] == ids


async def test_a_private_webinar_is_kept_off_the_servers_schedule(site: WordPress, server: RoomServer) -> None:
    post = await webinar(site, status="private")
    await site.rest("POST", f"/wp/v2/room_webinar/{post}", {"status": "publish"})
    await site.rest("POST", f"/wp/v2/room_webinar/{post}", {"title": "Again"})

    assert [payload.get("unlisted") for _, payload in server.hooks()] == [True, False, None]


async def test_the_trash_calls_a_webinar_off_and_the_way_back_plans_it(site: WordPress, server: RoomServer) -> None:
    post = await webinar(site)
    await site.php(f"wp_trash_post( {post} );", ADMIN)
    await site.php(f"wp_untrash_post( {post} ); wp_publish_post( {post} );", ADMIN)

    assert [hook for hook, _ in server.hooks()] == ["core_webinar_plan", "core_webinar_cancel", "core_webinar_plan"]
    assert server.hooks()[1][1] == {"webinar_id": "launch"}


async def test_while_the_server_is_away_only_the_newest_plan_waits(site: WordPress, server: RoomServer) -> None:
    server.usual = refusal(503, "state_unavailable")
    post = await webinar(site)
    server.told.clear()
    for title in ("Second", "Third"):
        await site.rest("POST", f"/wp/v2/room_webinar/{post}", {"title": title})
    assert server.hooks() == []
    waiting = [row["state"] for row in await site.rows("outbox", "state")]
    assert waiting == ["waiting", "waiting"]


async def test_the_box_beside_the_text_tells_what_the_server_said(site: WordPress, server: RoomServer) -> None:
    server.next.append(refusal(422, "invalid_payload", "player_url is a page to watch on"))
    post = await webinar(site)

    box: Any = await site.php(
        f"ob_start(); room_server_show_meta_box( get_post( {post} ) ); return ob_get_clean();", ADMIN
    )

    assert "invalid_payload: player_url is a page to watch on" in box
    assert (
        'type="datetime-local" id="room_server_scheduled_at" name="room_server_scheduled_at" value="2030-12-01T19:00"'
        in box
    )
    assert f"{server.url}/speaker/launch#token=" in box


async def test_the_box_stores_what_is_lawful_and_names_what_is_not(site: WordPress, server: RoomServer) -> None:
    post = await webinar(site)
    saved = await site.php(
        "$_POST = wp_slash( array( 'room_server_fields_nonce' => wp_create_nonce( 'room_server_fields' ),"
        "'room_server_scheduled_at' => '2031-01-01T10:00', 'room_server_player_url' => 'javascript:1',"
        "'room_server_cta_label' => 'Anna\\'s' ) );"
        f"wp_update_post( array( 'ID' => {post} ) ); return room_server_tell_wrong_fields( 'x', {post} );",
        ADMIN,
    )

    assert saved == "x?room_server_wrong=room_server_player_url"
    last = server.hooks()[-1][1]
    assert (last["scheduled_at"], last["cta_label"], last["player_url"]) == (
        "2031-01-01T10:00:00+03:00",
        "Anna's",
        None,
    )


async def test_who_may_not_edit_the_post_reads_no_field(site: WordPress, server: RoomServer) -> None:
    """The player and the recording are for participants."""
    post = await webinar(site, player_url="https://player.example.org/1", recording_url="https://example.org/video")
    visitor = await site.user("visitor")
    pages = ["/wp/v2/room_webinar", f"/wp/v2/room_webinar/{post}"]

    read = [(await site.rest("GET", page, user=user))["data"] for page in pages for user in (0, visitor, ADMIN)]

    shown = [one["meta"] for data in read for one in (data if isinstance(data, list) else [data])]
    assert [sorted(meta) for meta in shown] == 2 * [
        ["room_server_webinar_id"],
        ["room_server_webinar_id"],
        sorted([*(f"room_server_{name}" for name in FIELDS), "room_server_webinar_id"]),
    ]


async def test_who_may_not_edit_the_post_writes_no_field(site: WordPress, server: RoomServer) -> None:
    post = await webinar(site)
    author = await site.user("author", "author")
    body = {"meta": {"room_server_player_url": "https://example.org/"}}

    assert (await site.rest("POST", f"/wp/v2/room_webinar/{post}", body, author))["status"] == 403
    assert (await site.rest("POST", "/wp/v2/room_webinar", {"title": "x", "status": "publish"}, author))[
        "status"
    ] == 403
