"""Refusals as RFC 9457 problems, through Starlette and as raw bytes."""

import h11
import msgspec
import pytest

from room_server import problems
from room_server.errors import PROBLEMS, BadInput, Refusal, TooManyRequests, Unauthenticated
from tests.raw import Answer


def parsed(raw: bytes) -> Answer:
    """A raw answer as a client reads it."""
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return Answer(int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body)


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_code_is_answered_alike_in_both_ways(code: str) -> None:
    refusal = Refusal(code, "why")
    response, raw = problems.response(refusal), parsed(problems.raw(refusal))
    expected = {
        "type": f"urn:room-server:problem:{code}",
        "title": PROBLEMS[code].title,
        "status": PROBLEMS[code].status,
        "detail": "why",
        "code": code,
    }
    assert msgspec.json.decode(raw.body) == expected
    assert (response.status_code, response.body) == (raw.status, raw.body)
    assert response.headers["content-type"] == raw.headers["Content-Type"] == "application/problem+json"
    assert response.headers["cache-control"] == raw.headers["Cache-Control"] == "no-store"
    assert raw.headers["Content-Length"] == str(len(raw.body))
    assert raw.headers["Connection"] == "close"


def test_the_field_that_is_to_blame_is_named() -> None:
    refusal = BadInput("invalid_payload", "no", field="lead_id")
    assert msgspec.json.decode(problems.body(refusal))["field"] == "lead_id"
    assert "field" not in msgspec.json.decode(problems.body(BadInput("invalid_payload", "no")))


@pytest.mark.parametrize("refusal", [Unauthenticated("who?"), TooManyRequests("slower", 3)])
def test_a_refusals_headers_go_with_it(refusal: Refusal) -> None:
    ((name, value),) = refusal.headers.items()
    assert problems.response(refusal).headers[name] == value
    assert parsed(problems.raw(refusal)).headers[name] == value


@pytest.mark.parametrize("detail", ["\ud800", "a\r\nSet-Cookie: b", "</script>", "вебинар \0", 'quote " and \\'])
def test_whatever_a_detail_quotes_is_text_of_its_own(detail: str) -> None:
    answer = parsed(problems.raw(BadInput("malformed_request", detail)))
    assert msgspec.json.decode(answer.body)["detail"] == detail.replace("\ud800", "?")
    assert set(answer.headers) == {"Content-Type", "Content-Length", "Connection", "Cache-Control"}


def test_a_status_of_its_own_stands_in_line_and_body() -> None:
    answer = parsed(problems.raw(BadInput("malformed_request", "no", status=426)))
    assert (answer.status, msgspec.json.decode(answer.body)["status"]) == (426, 426)


def test_the_bytes_are_an_answer_to_an_independent_reader() -> None:
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(problems.raw(Unauthenticated("who?")))
    events = [reader.next_event() for _ in range(3)]
    assert isinstance(events[0], h11.Response)
    assert events[0].status_code == 401
    assert isinstance(events[2], h11.EndOfMessage)
