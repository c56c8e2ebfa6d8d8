"""Logging: for people or machines, on stderr."""

import logging
import sys
from collections.abc import Iterator
from datetime import datetime

import msgspec
import pytest

from room_server.telemetry import logs
from room_server.telemetry.tracing import working_for


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """The root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str, *arguments: object, failed: bool = False) -> logging.LogRecord:
    """A record of the logger `room`, with the error under way when something failed."""
    about = sys.exc_info() if failed else None
    return logging.LogRecord("room", logging.WARNING, __file__, 1, message, arguments, about)


def decoded(line: str) -> dict[str, str]:
    """A line of JSON, which it must be alone."""
    assert "\n" not in line
    return msgspec.json.decode(line, type=dict[str, str])


def test_a_json_line_has_time_level_logger_and_message() -> None:
    line = decoded(logs.Json().format(record("room %s\nis %s", "w", "live")))

    assert datetime.fromisoformat(line.pop("at")).tzinfo is not None
    assert line == {"level": "warning", "logger": "room", "message": "room w\nis live"}


def test_a_line_has_the_request_id_and_its_facts() -> None:
    told = record("room changed")
    told.facts = {"webinar": "w", "version": "2"}
    with working_for("a-request"):
        line = decoded(logs.Json().format(told))
        shown = logs.Console("%(levelname)s %(message)s").format(told)

    assert line.pop("at")
    assert line == {
        "level": "warning",
        "logger": "room",
        "message": "room changed",
        "request_id": "a-request",
        "webinar": "w",
        "version": "2",
    }
    assert shown == "WARNING room changed request_id=a-request webinar=w version=2"


def test_facts_stand_before_a_traceback() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        with working_for("a-request"):
            first, *others = logs.Console("%(message)s").format(record("failed", failed=True)).splitlines()

    assert (first, others[-1]) == ("failed request_id=a-request", "ValueError: why")


def test_an_error_brings_its_traceback_on_the_same_line() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        line = decoded(logs.Json().format(record("failed", failed=True)))

    assert line["traceback"].splitlines()[-1] == "ValueError: why"


def test_bytes_that_are_no_utf_8_do_not_cost_the_line() -> None:
    assert decoded(logs.Json().format(record("no file %s", "\udcff")))["message"] == r"no file \udcff"


@pytest.mark.parametrize("form", ["console", "json"])
def test_our_own_lines_are_logged_and_those_of_libraries_from_warning_on(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json" if form == "json" else "console")
    logging.getLogger("room_server").info("we are ready")
    logging.getLogger("httpx").info("a request with a token in its address")

    heard = capsys.readouterr()
    assert heard.out == ""
    assert "we are ready" in heard.err
    assert "a request" not in heard.err
