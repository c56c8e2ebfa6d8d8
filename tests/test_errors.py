"""The error tree, the table of codes and the table of close codes, as the documents list them."""

import re
from http import HTTPStatus

import pytest

from room_server import errors
from room_server.errors import (
    CLOSE_CODES,
    PROBLEMS,
    BadInput,
    CloseCode,
    ConfigurationError,
    Conflict,
    Forbidden,
    InputFileError,
    Refusal,
    RoomServerError,
    StateUnavailable,
    TooManyRequests,
    Unauthenticated,
    Unknown,
    Verdict,
)

STATUS: dict[str, int] = {
    "malformed_body": 400,
    "unauthenticated": 401,
    "forbidden_role": 403,
    "forbidden_webinar": 403,
    "forbidden_lead": 403,
    "hook_internal": 403,
    "hook_unknown": 404,
    "webinar_unknown": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "webinar_state_invalid_start": 409,
    "webinar_state_invalid_archive": 409,
    "webinar_state_invalid_rewind": 409,
    "webinar_state_invalid_restart": 409,
    "webinar_state_invalid_stop": 409,
    "webinar_state_invalid_pause": 409,
    "webinar_state_invalid_resume": 409,
    "webinar_state_invalid_cta": 409,
    "webinar_state_locked": 409,
    "webinar_not_live": 409,
    "webinar_not_finished": 409,
    "lead_not_entered": 409,
    "body_too_large": 413,
    "invalid_payload": 422,
    "webinar_status_mutation_forbidden": 422,
    "too_many_requests": 429,
    "state_unavailable": 503,
}
"""The codes that the canon and the table of answers name, with their HTTP status."""

FAMILIES = [
    (Unauthenticated("no token"), 401),
    (Forbidden("forbidden_role", "no"), 403),
    (Unknown("webinar_unknown", "no"), 404),
    (Conflict("webinar_not_live", "no"), 409),
    (BadInput("invalid_payload", "no"), 422),
    (TooManyRequests("no", 1), 429),
    (StateUnavailable(), 503),
]


@pytest.mark.parametrize(("code", "status"), STATUS.items())
def test_a_code_has_the_status_that_the_documents_promise(code: str, status: int) -> None:
    assert status == PROBLEMS[code].status


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_code_is_one_word_and_its_title_one_sentence(code: str) -> None:
    problem = PROBLEMS[code]

    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
    assert re.fullmatch(r"[A-Z].*[^.]", problem.title)
    assert HTTPStatus(problem.status) >= HTTPStatus.BAD_REQUEST


def test_every_title_is_its_codes_own() -> None:
    titles = [problem.title for problem in PROBLEMS.values()]

    assert sorted(set(titles)) == sorted(titles)


@pytest.mark.parametrize(("refusal", "status"), FAMILIES)
def test_a_refusal_has_the_status_of_its_code_and_its_detail(refusal: Refusal, status: int) -> None:
    assert status == refusal.status
    assert refusal.detail == str(refusal)
    assert refusal.code in PROBLEMS


def test_a_refusal_may_be_answered_with_another_status() -> None:
    """The REST resource answers a forbidden verb 405, the hook a forbidden word 422, with the one code."""
    refusal = BadInput("webinar_status_mutation_forbidden", "read only", status=405)

    expected = (405, "webinar_status_mutation_forbidden")
    assert expected == (refusal.status, refusal.code)


def test_a_code_that_is_not_in_the_table_cannot_be_answered() -> None:
    with pytest.raises(KeyError, match="no_such_code"):
        Refusal("no_such_code", "never told")


def test_a_refusal_blames_no_field_until_one_is_named() -> None:
    assert BadInput("invalid_payload", "no").field is None


def test_headers_are_each_refusals_own() -> None:
    first, second = Forbidden("forbidden_role", "no"), Forbidden("forbidden_role", "no")
    first.headers["X-Once"] = "1"

    untouched: dict[str, str] = {}
    assert untouched == second.headers


def test_an_unknown_caller_gets_www_authenticate() -> None:
    expected = {"WWW-Authenticate": 'Bearer realm="room"'}
    assert expected == Unauthenticated("no token").headers


@pytest.mark.parametrize(
    ("seconds", "header"), [(0, "1"), (0.01, "1"), (1, "1"), (1.01, "2"), (2.5, "3"), (59, "59"), (-3, "1")]
)
def test_retry_after_is_in_whole_seconds_rounded_up(seconds: float, header: str) -> None:
    assert {"Retry-After": header} == TooManyRequests("slow down", seconds).headers


def test_a_state_that_cannot_be_reached_invites_a_repeat() -> None:
    refusal = StateUnavailable()

    expected = {"Retry-After": "1"}
    assert expected == refusal.headers
    assert "repeat" in refusal.detail


def test_a_file_with_wrong_lines_names_them_all() -> None:
    lines = ["line 2: no lead_id", "line 5: no such locale"]
    error = InputFileError(lines)

    assert lines == error.problems
    assert "\n".join(lines) == str(error)


@pytest.mark.parametrize("error", [ConfigurationError("PORT is not a number"), InputFileError([]), StateUnavailable()])
def test_everything_that_may_go_wrong_is_in_one_tree(error: Exception) -> None:
    assert isinstance(error, RoomServerError)


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = set(re.findall(r"^ {4}(?:[│ ]   )*(?:[├└]── )?(\w+)", errors.__doc__ or "", re.MULTILINE))

    classes = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert drawn == classes


@pytest.mark.parametrize(
    ("code", "number", "verdict"),
    [
        (CloseCode.PROTOCOL_ERROR, 1002, Verdict.LATER),
        (CloseCode.READ_ONLY, 1008, Verdict.NEVER),
        (CloseCode.TOO_BIG, 1009, Verdict.LATER),
        (CloseCode.RESTART, 1012, Verdict.NOW),
        (CloseCode.STALLED, 4408, Verdict.LATER),
        (CloseCode.TOKEN_EXPIRED, 4501, Verdict.NEVER),
        (CloseCode.WEBINAR_GONE, 4504, Verdict.NEVER),
    ],
)
def test_a_close_code_has_a_verdict(code: CloseCode, number: int, verdict: Verdict) -> None:
    assert (number, verdict) == (code.value, CLOSE_CODES[code][0])


def test_every_close_code_is_in_the_table() -> None:
    assert set(CloseCode) == CLOSE_CODES.keys()


@pytest.mark.parametrize("code", [code for code in CloseCode if code >= 4000])
def test_our_own_close_codes_below_4500_come_back_and_the_others_do_not(code: CloseCode) -> None:
    assert (code >= 4500) == (CLOSE_CODES[code][0] is Verdict.NEVER)


@pytest.mark.parametrize("code", CloseCode)
def test_a_reason_fits_into_a_close_frame(code: CloseCode) -> None:
    """RFC 6455, 5.5: 125 bytes, two of which are the code."""
    assert len(CLOSE_CODES[code][1].encode()) <= 123


def test_a_data_frame_on_a_socket_is_closed_with_the_canons_code() -> None:
    code = "webinar_status_mutation_forbidden"
    assert code == CLOSE_CODES[CloseCode.READ_ONLY][1]
