"""An entry of the event stream as the site gets it."""

import msgspec
import pytest

from room_server.core.site_event import event_of

ENTERED = {
    b"hook": b"client_webinar_entered",
    b"payload": b'{"webinar_id":"launch","lead_id":42,"timestamp":1}',
    b"request_id": b"r",
    b"actor": b'{"role":"attendee","subject":"42"}',
    b"id": b"client_webinar_entered:launch:42",
}
STOPPED = {b"hook": b"core_webinar_set_status", b"payload": b'{"webinar_id":"launch","status":"stop"}', b"actor": b""}


def test_an_event_is_what_the_contract_shows() -> None:
    made = msgspec.json.decode(msgspec.json.encode(event_of("1795374000250-7", ENTERED)))

    assert made == {
        "id": "client_webinar_entered:launch:42",
        "type": "client_webinar_entered",
        "timestamp": "2026-11-22T19:00:00.250000Z",
        "webinar_id": "launch",
        "actor": {"role": "attendee", "subject": "42"},
        "data": {"webinar_id": "launch", "lead_id": 42, "timestamp": 1},
    }


def test_what_the_server_itself_emits_has_no_actor_and_what_is_about_no_webinar_has_none() -> None:
    check = {b"hook": b"core_site_checked", b"payload": b'{"nonce":"n"}', b"actor": b"", b"id": b"core_site_checked:n"}
    made = event_of("1-0", check)

    assert (made.id, made.webinar_id, made.actor) == ("core_site_checked:n", None, None)


def test_an_entry_from_before_gets_the_id_that_it_would_have_today_as_far_as_it_can() -> None:
    old = {name: value for name, value in ENTERED.items() if name != b"id"}

    assert event_of("5-1", old).id == "client_webinar_entered:launch:42"
    assert event_of("5-1", STOPPED).id == "core_webinar_set_status:launch:5-1"


@pytest.mark.parametrize(
    "fields",
    [{}, {b"hook": b"x"}, {**ENTERED, b"payload": b"[]"}, {**ENTERED, b"actor": b"{"}, {**ENTERED, b"hook": b"\xff"},
     {**ENTERED, b"hook": b""}, {**ENTERED, b"payload": b'{"webinar_id": 7}'},
     {**ENTERED, b"payload": b'{"webinar_id": "launch", "more": "\xff"}'}],
)  # fmt: skip
def test_an_entry_that_is_none_of_ours_is_refused(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        event_of("1-0", fields)
