"""The records, and the one text that the public reads of a room."""

import json
from typing import Any

import msgspec
import pytest

from room_server.core.room import (
    Description,
    Label,
    Locale,
    Participation,
    PublicCta,
    PublicRoom,
    Room,
    RosterEntry,
    Status,
    Title,
    Url,
    Visibility,
)
from room_server.core.room import public_text as text_of
from tests.core.builders import LEAD, STATUSES, at, attended, entry, missed, room, visible

FIELDS = [
    "type",
    "webinar_id",
    "epoch",
    "version",
    "status",
    "title",
    "description",
    "scheduled_at",
    "started_at",
    "finished_at",
    "on_air_ms",
    "on_air_since",
    "cta",
    "player_url",
    "recording_url",
    "cancelled_at",
]

WHOLE = (
    '{"type":"state","webinar_id":"demo","epoch":"k3v9","version":7,"status":"live",'
    '"title":"Как устроены комнаты","description":"О сокетах",'
    '"scheduled_at":"2026-11-22T18:00:00Z","started_at":"2026-11-22T18:30:00Z","finished_at":null,'
    '"on_air_ms":600000,"on_air_since":"2026-11-22T18:40:00Z",'
    '"cta":{"visibility":"visible","label":"Записаться","url":"https://example.org/offer"},'
    '"player_url":"https://example.org/player","recording_url":null,"cancelled_at":null}'
)


def public_dict(state: Room) -> dict[str, Any]:
    """The public text, as a reader finds it."""
    decoded: dict[str, Any] = json.loads(text_of(state))
    return decoded


def full(status: str) -> Room:
    """A room in which every field holds something that can be recognised."""
    return room(
        status,
        recording_url="https://example.org/recording",
        no_recording=True,
        texts={"ru": {"attended": "private words"}},
    )


def test_the_public_text_is_the_one_of_the_design() -> None:
    state = room("live", description="О сокетах", cta_visibility=Visibility.VISIBLE)

    assert WHOLE.encode() == text_of(state)


def test_the_public_text_of_a_finished_webinar_has_its_end() -> None:
    state = public_dict(room("finished"))

    times = ("2026-11-22T18:30:00Z", "2026-11-22T18:59:00Z", 600_000, None)
    assert times == tuple(state[name] for name in ("started_at", "finished_at", "on_air_ms", "on_air_since"))


def test_the_public_text_says_when_a_webinar_was_cancelled() -> None:
    assert public_dict(room("scheduled", cancelled_at=at(-60)))["cancelled_at"] == "2026-11-22T18:59:00Z"


def test_a_public_text_from_before_there_was_that_field_can_be_read() -> None:
    old = WHOLE.replace(',"cancelled_at":null', "")

    assert msgspec.json.decode(old, type=PublicRoom) == msgspec.json.decode(WHOLE, type=PublicRoom)


@pytest.mark.parametrize("status", STATUSES)
def test_the_public_text_has_the_same_fields_in_the_same_order_in_every_status(status: str) -> None:
    state = public_dict(full(status))

    for fields, part in ((FIELDS, state), (["visibility", "label", "url"], state["cta"])):
        assert fields == list(part)


@pytest.mark.parametrize("status", STATUSES)
def test_the_public_text_names_the_status(status: str) -> None:
    assert status == public_dict(room(status))["status"]


@pytest.mark.parametrize("status", STATUSES)
def test_a_hidden_cta_has_no_label_and_no_address(status: str) -> None:
    expected = {"visibility": "hidden", "label": None, "url": None}
    assert expected == public_dict(room(status))["cta"]
    assert b"example.org/offer" not in text_of(room(status))


@pytest.mark.parametrize("status", STATUSES)
def test_a_visible_cta_has_its_label_and_url(status: str) -> None:
    expected = {"visibility": "visible", "label": "Записаться", "url": "https://example.org/offer"}
    assert expected == public_dict(visible(status))["cta"]


def test_a_visible_cta_without_label_and_url_has_null_in_their_place() -> None:
    state = room("live", cta_visibility=Visibility.VISIBLE, cta_label=None, cta_url=None)

    expected = {"visibility": "visible", "label": None, "url": None}
    assert expected == public_dict(state)["cta"]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("draft", None),
        ("scheduled", None),
        ("live", None),
        ("paused", None),
        ("finished", "https://example.org/recording"),
        ("archived", "https://example.org/recording"),
    ],
)
def test_the_recording_is_shown_from_finished_on(status: str, shown: str | None) -> None:
    assert shown == public_dict(full(status))["recording_url"]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("draft", None),
        ("scheduled", None),
        ("live", "https://example.org/player"),
        ("paused", "https://example.org/player"),
        ("finished", None),
        ("archived", None),
    ],
)
def test_the_player_is_shown_in_live_and_paused_only(status: str, shown: str | None) -> None:
    assert shown == public_dict(room(status))["player_url"]


@pytest.mark.parametrize("status", STATUSES)
def test_no_private_field_is_ever_public(status: str) -> None:
    """The fields are counted above; here, that none of them carries a private value along."""
    text = text_of(full(status)).decode()

    for word in ("private words", "texts", "no_recording", "chat", "lead", "name"):
        assert word not in text


@pytest.mark.parametrize("status", STATUSES)
def test_equal_rooms_have_equal_bytes(status: str) -> None:
    assert text_of(full(status)) == text_of(full(status))


@pytest.mark.parametrize(
    "record", [full("finished"), room("draft"), attended(), missed(), Participation(lead_id=LEAD), entry()]
)
def test_a_record_survives_being_stored(record: msgspec.Struct) -> None:
    assert record == msgspec.json.decode(msgspec.json.encode(record), type=type(record))


def test_a_record_is_stored_without_its_default_values() -> None:
    expected = b'{"lead_id":101}'
    assert expected == msgspec.json.encode(Participation(lead_id=LEAD))
    assert b"texts" not in msgspec.json.encode(room("draft"))


def test_a_room_that_is_new_was_never_on_air_and_shares_its_texts_with_no_other() -> None:
    first, second = (
        Room(webinar_id=name, epoch="e", version=1, status=Status.DRAFT, title=name, scheduled_at=at(0))
        for name in ("a", "b")
    )
    assert (first.on_air_ms, first.on_air_since, first.started_at) == (0, None, None)
    assert first.texts is not second.texts


@pytest.mark.parametrize(
    "url", ["https://example.org", "http://127.0.0.1:8000/player?x=1#t", "https://пример.рф/я", "https://" + "a" * 1992]
)
def test_a_url_is_an_absolute_http_address(url: str) -> None:
    assert url == msgspec.convert(url, Url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "/player",
        "//example.org",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://example.org",
        "https://",
        "https://a b",
        "https://a\n",
        "https://a\n.org",
        " https://a",
        "https://a\0",
        "x https://a",
        "https://" + "a" * 1993,
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(url, Url)


@pytest.mark.parametrize(("kind", "shortest", "longest"), [(Title, 1, 200), (Label, 1, 80), (Description, 0, 4000)])
def test_texts_are_bounded_and_only_a_description_may_be_empty(kind: type[str], shortest: int, longest: int) -> None:
    for size in (shortest, longest):
        assert "я" * size == msgspec.convert("я" * size, kind)
    for size in {0, longest + 1} - {shortest}:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert("я" * size, kind)


@pytest.mark.parametrize("chat_id", [1, -1001234567890, 2**52, -(2**52)])
def test_a_chat_id_has_at_most_fifty_two_significant_bits(chat_id: int) -> None:
    decoded = msgspec.convert({"lead_id": LEAD, "partner_chat_id": chat_id}, RosterEntry)

    assert chat_id == decoded.partner_chat_id


@pytest.mark.parametrize("chat_id", [2**52 + 1, -(2**52) - 1, "7001", True, 1.5])
def test_any_other_chat_id_is_refused(chat_id: object) -> None:
    with pytest.raises(msgspec.ValidationError, match="candidate_chat_id"):
        msgspec.convert({"lead_id": LEAD, "candidate_chat_id": chat_id}, RosterEntry)


def test_a_name_on_the_roster_is_bounded() -> None:
    longest = "я" * 200

    assert longest == msgspec.convert({"lead_id": LEAD, "name": longest}, RosterEntry).name
    with pytest.raises(msgspec.ValidationError, match="name"):
        msgspec.convert({"lead_id": LEAD, "name": longest + "я"}, RosterEntry)


@pytest.mark.parametrize("kind", [Room, Participation, RosterEntry, PublicRoom, PublicCta])
def test_a_record_is_never_changed_after_it_was_made(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


@pytest.mark.parametrize(("line", "language"), [({}, "ru"), ({"locale": "ru"}, "ru"), ({"locale": "en"}, "en")])
def test_people_read_russian_unless_their_roster_entry_says_otherwise(line: dict[str, str], language: str) -> None:
    assert language == msgspec.convert(line | {"lead_id": LEAD}, RosterEntry).language


@pytest.mark.parametrize(
    "locale",
    [
        "",
        "RU",
        "de",
        "ru-RU",
        "\nru",
        "ru\n",
    ],
)
def test_any_other_locale_is_refused(locale: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(locale, Locale)
