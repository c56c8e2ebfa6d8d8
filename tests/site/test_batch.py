"""A request: which events it holds, its id, and its signatures as the standard's own library checks them."""

import base64
import logging
import time
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from room_server.core.site_delivery import Receiver, Tried
from room_server.site.batch import MAX_BYTES, Batch, batch_of, headers
from room_server.state.site_events import StreamEntry

RECEIVER = Receiver.of("https://site.example/events")
KEYS = [b"a" * 32, b"b" * 24, b"c" * 64]


def entry(number: int, size: int = 0) -> StreamEntry:
    """An entry; its payload has so many bytes more."""
    payload = msgspec.json.encode({"webinar_id": "w", "lead_id": number, "x": "x" * size})
    fields = {b"hook": b"client_webinar_entered", b"payload": payload, b"actor": b"", b"id": b"e:w:%d" % number}
    return StreamEntry(f"{number}-0", fields)


def erased(number: int) -> StreamEntry:
    return StreamEntry(f"{number}-0", None)


def batch(*numbers: int, most: int = 100) -> Batch:
    """Of entries with these numbers."""
    return batch_of(RECEIVER, [entry(number) for number in numbers], most)


def events(made: Batch) -> list[dict[str, Any]]:
    """What the site reads."""
    found: list[dict[str, Any]] = msgspec.json.decode(made.body)["data"]["events"]
    return found


def test_a_request_is_an_envelope_of_the_standard() -> None:
    made = batch(1000, 2000)
    envelope = msgspec.json.decode(made.body)

    assert list(envelope) == ["type", "timestamp", "data"]
    assert (envelope["type"], envelope["timestamp"]) == ("room_server.events", "1970-01-01T00:00:02Z")
    assert [event["id"] for event in events(made)] == ["e:w:1000", "e:w:2000"]
    assert (made.ids, made.tried) == (("1000-0", "2000-0"), Tried(2, "1000-0", "2000-0"))


def test_no_more_events_than_asked_for() -> None:
    assert batch(1, 2, 3, most=2).ids == ("1-0", "2-0")


def test_no_more_bytes_than_the_bound_and_at_least_one_event() -> None:
    third = MAX_BYTES // 3
    made = batch_of(RECEIVER, [entry(number, third) for number in range(1, 6)], 100)
    alone = batch_of(RECEIVER, [entry(1, 2 * MAX_BYTES), entry(2)], 100)

    assert made.ids == ("1-0", "2-0")
    assert len(made.body) <= MAX_BYTES + 100
    assert alone.ids == ("1-0",)


def test_the_same_batch_keeps_its_id_and_one_cut_anew_has_another() -> None:
    again, shorter, later = batch(1, 2, 3), batch(1, 2), batch(2, 3)
    elsewhere = batch_of(Receiver.of("https://other.example"), [entry(1), entry(2), entry(3)], 100)

    assert again.webhook_id == batch(1, 2, 3).webhook_id
    assert len({again.webhook_id, shorter.webhook_id, later.webhook_id, elsewhere.webhook_id}) == 4


def test_erased_entries_are_left_out_and_named() -> None:
    made = batch_of(RECEIVER, [erased(1), entry(2), erased(3), entry(4), entry(5), erased(6)], 2)

    assert (made.ids, made.gone) == (("2-0", "4-0"), ("1-0", "3-0"))


def test_nothing_but_erased_entries_makes_no_request() -> None:
    assert batch_of(RECEIVER, [erased(1), erased(2)], 100) == Batch("", b"", (), ("1-0", "2-0"))


def test_an_entry_that_is_none_of_ours_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    made = batch_of(RECEIVER, [StreamEntry("1-0", {b"x": b"y"}), entry(2)], 100)

    assert (made.ids, made.gone) == (("2-0",), ("1-0",))
    assert "1-0" in caplog.text


@pytest.mark.parametrize("key", KEYS)
def test_every_secret_signs(key: bytes) -> None:
    made = batch(1)
    secret = "whsec_" + base64.b64encode(key).decode()

    assert Webhook(secret).verify(made.body, headers(made, KEYS, int(time.time())))


def test_another_secret_another_body_and_an_old_time_are_refused() -> None:
    made, now = batch(1), int(time.time())
    right = "whsec_" + base64.b64encode(KEYS[0]).decode()
    wrong = "whsec_" + base64.b64encode(b"z" * 32).decode()

    for secret, body, stamp in (
        (wrong, made.body, now),
        (right, made.body + b" ", now),
        (right, made.body, now - 3600),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers(made, KEYS, stamp))
