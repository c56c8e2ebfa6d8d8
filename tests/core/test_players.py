"""Player addresses: pages to watch on are found out, and origins are written as a policy names them."""

import pytest

from room_server.core.planning import Plan, amend, new_room
from room_server.core.players import check_player, frame_origin, origin
from room_server.errors import BadInput
from tests.core.builders import WEBINAR, at, room

TUBE = "https://www.youtube.com/embed/dQw4w9WgXcQ"
RUTUBE = "https://rutube.ru/play/embed/0123456789abcdef0123456789abcdef"
HEX = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("page", "player"),
    [
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ", TUBE),
        ("https://youtube.com/watch?t=5&v=dQw4w9WgXcQ&feature=share", TUBE),
        ("https://M.YouTube.com/watch?v=dQw4w9WgXcQ", TUBE),
        ("https://youtu.be/dQw4w9WgXcQ?si=abc", TUBE),
        ("https://www.youtube.com/live/dQw4w9WgXcQ", TUBE),
        ("https://youtube.com/shorts/dQw4w9WgXcQ", TUBE),
        ("https://www.youtube.com/channel/UC_x-1/live", "https://www.youtube.com/embed/live_stream?channel=UC_x-1"),
        ("https://vk.com/video-12_345", "https://vk.com/video_ext.php?oid=-12&id=345"),
        ("https://vk.com/video/playlist/-12_3?z=video12_345%2Fpl_-12", "https://vk.com/video_ext.php?oid=12&id=345"),
        ("https://vkvideo.ru/video-12_345", "https://vkvideo.ru/video_ext.php?oid=-12&id=345"),
        ("https://m.vk.com/clip-12_345", "https://vk.com/video_ext.php?oid=-12&id=345"),
        (f"https://rutube.ru/video/{HEX}/?r=wd", RUTUBE),
        (f"https://rutube.ru/live/video/{HEX}/", RUTUBE),
        (f"https://rutube.ru/shorts/{HEX}", RUTUBE),
        (f"https://rutube.ru/video/private/{HEX}/?p=Ab-1", f"{RUTUBE}/?p=Ab-1"),
        ("https://vimeo.com/12345", "https://player.vimeo.com/video/12345"),
        ("https://ok.ru/video/12345", "https://ok.ru/videoembed/12345"),
    ],
)
def test_a_page_to_watch_on_is_refused_with_the_player_in_its_place(page: str, player: str) -> None:
    with pytest.raises(BadInput) as refusal:
        check_player(page)

    expected = f"player_url: {page} is a page to watch on, which no other page may frame; its player is {player}"
    assert (expected, "player_url") == (refusal.value.detail, refusal.value.field)
    check_player(player)


@pytest.mark.parametrize(
    "page",
    [
        "https://www.youtube.com/@school/live",
        "https://www.youtube.com/",
        "https://vk.com/school",
        "https://vkvideo.ru/@school",
        "https://rutube.ru/channel/123/",
        "https://rutube.ru/video/person/123/",
    ],
)
def test_a_page_without_a_video_of_its_own_is_refused_as_well(page: str) -> None:
    with pytest.raises(BadInput, match="page to watch on"):
        check_player(page)


@pytest.mark.parametrize(
    "player",
    [
        TUBE,
        "https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ",
        "https://vk.com/video_ext.php?oid=-12&id=345&hd=2",
        f"{RUTUBE}/?p=Ab",
        f"https://rutube.ru/video/embed/{HEX}",
        "https://player.vimeo.com/video/12345?h=1",
        "https://kinescope.io/embed/abc",
        "https://example.org/watch?v=1",
        "https://notyoutube.com/watch?v=dQw4w9WgXcQ",
        "http://127.0.0.1:8000/demo/player",
        "https://[::1]/player",
    ],
)
def test_every_other_address_may_be_a_player(player: str) -> None:
    check_player(player)


def test_planning_refuses_a_page_to_watch_on_and_leaves_rooms_that_have_one_alone() -> None:
    page = "https://youtu.be/dQw4w9WgXcQ"
    with pytest.raises(BadInput, match=r"youtube\.com/embed/dQw4w9WgXcQ"):
        new_room(WEBINAR, "e1", Plan(title="T", scheduled_at=at(0), player_url=page), draft=False)
    with pytest.raises(BadInput, match=r"youtube\.com/embed/dQw4w9WgXcQ"):
        amend(room("scheduled"), Plan(player_url=page))
    assert amend(room("scheduled", player_url=page), Plan(title="Другое")).player_url == page


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://Player.Example.org/x", "https://player.example.org"),
        ("http://127.0.0.1:8000/demo/player", "http://127.0.0.1:8000"),
        ("https://user:word@example.org/", "https://example.org"),
        ("https://пример.рф/эфир", "https://xn--e1afmkfd.xn--p1ai"),
        ("http://плеер.рф:8080/", "http://xn--e1aaqpi.xn--p1ai:8080"),
        ("https://a:b/", None),
        ("https://[::1]:8000/", None),
        ("https://a;script-src%20*/", None),
        ("https://a,b/", None),
        ("https://[/", None),
        ("https://" + "a" * 70 + ".example/", None),
    ],
)
def test_an_origin_is_written_so_that_it_ends_no_directive(address: str, expected: str | None) -> None:
    assert expected == origin(address)


@pytest.mark.parametrize(
    "address", ["http://h\nx", "http://h\tx", "http://h:0", "http://[", "http://u@h", "ftp://h", "http://h/x"]
)
def test_what_is_more_or_less_than_an_origin_is_none(address: str) -> None:
    assert frame_origin(address) is None
