"""What an answer of the site means, and when the next try comes: hours and days pass as numbers."""

import time

import pytest
from msgspec.structs import replace

from room_server.core.site_delivery import (
    GIVE_UP_MS,
    MOST,
    SPREAD,
    Answer,
    AnswerKind,
    Moment,
    Outcome,
    Progress,
    Receiver,
    Tried,
    after,
    idle,
    is_html,
    kind_of,
    restarted,
)

NEW = Progress(url="https://site.example/events", label="site.example-abc", seen_at=0)
FAILED = Answer(AnswerKind.FAILED, "HTTP 503")
REFUSED = Answer(AnswerKind.REFUSED, "HTTP 422")
TAKEN = Answer(AnswerKind.TAKEN, "HTTP 200")
MINUTE, HOUR = 60, 3600
START = 1_000_000


def batch(first: int, last: int) -> Tried:
    """The events of these numbers, which are their stream ids."""
    return Tried(last - first + 1, f"{first}-0", f"{last}-0")


def at(now: int, spread: float = 0.0) -> Moment:
    return Moment(now, spread)


def waits(spread: float, tries: int) -> list[float]:
    """The pauses in seconds while every try fails, each made when it is due."""
    progress, now, pauses = NEW, START, []
    for _ in range(tries):
        progress = after(progress, batch(1, 3), FAILED, at(now, spread)).progress
        if progress.off_since is not None:
            break
        pauses.append((progress.due - now) / 1000)
        now = progress.due
    return pauses


def test_the_pauses_grow_as_the_contract_says() -> None:
    expected = [5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR]

    assert waits(0.0, 9) == expected
    assert waits(SPREAD, 9) == pytest.approx([1.2 * pause for pause in expected])
    assert waits(-SPREAD, 9) == pytest.approx([0.8 * pause for pause in expected])


@pytest.mark.parametrize("spread", [-SPREAD, 0.0, SPREAD])
def test_after_three_days_without_a_yes_the_receiver_is_off(spread: float) -> None:
    """The last try is made when they are over."""
    assert sum(waits(spread, 1000)) * 1000 == GIVE_UP_MS


def test_a_yes_in_between_begins_the_three_days_anew() -> None:
    failing = after(NEW, batch(1, 1), FAILED, at(START)).progress
    taken = after(failing, batch(1, 1), TAKEN, at(START + GIVE_UP_MS - 1)).progress
    again = after(taken, batch(2, 2), FAILED, at(START + GIVE_UP_MS + 1)).progress

    assert (taken.state, again.state, again.failures) == ("ok", "waiting", 1)
    assert again.failing_since == START + GIVE_UP_MS + 1


def test_retry_after_is_heeded_and_bounded() -> None:
    asked = Answer(AnswerKind.FAILED, "HTTP 429", retry_after=90.0)
    too_long = Answer(AnswerKind.FAILED, "HTTP 503", retry_after=1e9)

    assert after(NEW, batch(1, 1), asked, at(START)).progress.due == START + 90_000
    assert after(NEW, batch(1, 1), too_long, at(START)).progress.due == START + 24 * HOUR * 1000
    assert after(NEW, batch(1, 1), replace(asked, retry_after=1.0), at(START)).progress.due == START + 5_000


def test_a_receiver_that_is_gone_is_off_at_once() -> None:
    outcome = after(NEW, batch(1, 1), Answer(AnswerKind.GONE, "HTTP 410"), at(START))

    assert (outcome.progress.state, outcome.progress.off_since, outcome.is_done) == ("off", START, False)


def test_the_operator_switches_it_on_again() -> None:
    off = after(NEW, batch(1, 1), Answer(AnswerKind.GONE, "HTTP 410"), at(START)).progress

    assert restarted(off) == replace(NEW, answer="HTTP 410", answered_at=START, answers={"gone": 1})


def delivered(total: int, refused: set[int]) -> tuple[list[int], list[int], int]:
    """Events 1 to `total` to a site that refuses some: what it took, what was parked, and the number of requests."""
    progress, now, waiting = NEW, START, list(range(1, total + 1))
    taken: list[int] = []
    parked: list[int] = []
    requests = 0
    while waiting:
        sent = waiting[: progress.most]
        answer = REFUSED if refused & set(sent) else TAKEN
        outcome = after(progress, Tried(len(sent), f"{sent[0]}-0", f"{sent[-1]}-0"), answer, at(now))
        requests += 1
        if outcome.is_done:
            (parked if outcome.is_parked else taken).extend(sent)
            waiting = waiting[len(sent) :]
        progress, now = outcome.progress, max(now, outcome.progress.due)
        assert requests < 10_000
    return taken, parked, requests


@pytest.mark.parametrize("refused", [set(), {1}, {100}, {37}, {1, 2, 3}, {50, 51, 199}, {200}])
def test_the_refused_event_is_found_by_halves_and_every_other_one_is_taken_in_order(refused: set[int]) -> None:
    taken, parked, requests = delivered(200, refused)

    assert taken == [number for number in range(1, 201) if number not in refused]
    assert parked == sorted(refused)
    assert requests <= 2 + 45 * len(refused)


def test_a_refused_event_is_tried_ten_times_within_an_hour() -> None:
    for spread in (-SPREAD, 0.0, SPREAD):
        progress, now, tries = NEW, START, 0
        outcome = Outcome(progress, is_done=False)
        while not outcome.is_parked:
            outcome = after(outcome.progress, batch(7, 7), REFUSED, at(now, spread))
            now, tries = max(now, outcome.progress.due), tries + 1
        assert (tries, outcome.is_done, outcome.progress.state) == (10, True, "ok")
        assert 30 * MINUTE * 1000 < now - START < HOUR * 1000


def test_another_event_has_its_own_ten_tries() -> None:
    progress = after(NEW, batch(7, 7), REFUSED, at(START)).progress

    assert after(progress, batch(8, 8), REFUSED, at(START)).progress.refusals == 1


def test_a_site_that_refuses_everything_for_three_days_is_off() -> None:
    progress, now, number = NEW, START, 1
    while progress.state != "off":
        outcome = after(progress, batch(number, number), REFUSED, at(now))
        progress, now = outcome.progress, max(now, outcome.progress.due)
        number += outcome.is_done
    assert GIVE_UP_MS <= now - START < GIVE_UP_MS + HOUR * 1000
    assert 3 * 24 <= number <= 4 * 24


def test_a_site_that_takes_small_requests_only_gets_more_again_step_by_step() -> None:
    progress = after(NEW, batch(1, 100), REFUSED, at(START)).progress
    first = after(progress, batch(1, 50), TAKEN, at(START)).progress
    second = after(first, batch(51, 100), TAKEN, at(START)).progress

    assert (progress.most, first.most, second.most, second.suspect) == (50, 50, MOST, "")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, "taken") for status in (200, 201, 202, 204, 299)),
        *((status, "refused") for status in (400, 409, 413, 422)),
        (410, "gone"),
        *((status, "failed") for status in (199, 300, 301, 302, 304, 307, 401, 403, 404, 405, 408, 415, 421, 425, 429)),
        *((status, "failed") for status in (431, 451, 500, 501, 502, 503, 504, 520, 599)),
    ],
)
def test_a_status_means_what_the_contract_says(status: int, kind: str) -> None:
    assert kind_of(status, b"{}") == kind


HTML = [
    b"<!doctype html><title>x",
    b"<!DOCTYPE HTML PUBLIC>",
    b"<html>",
    b"<HTML lang=ru>",
    b"  \r\n\t<Html>",
    b"\xef\xbb\xbf<!DOCTYPE html>",
    b"\xef\xbb\xbf \n<html>",
    b"<!-- cached --><!doctype html>",
    b"<!-- a --> <!--b-->\n<html/>",
    b'<?xml version="1.0"?>\n<html xmlns="x">',
    b"<head>",
    b"<body class=x>",
    b"<title>Maintenance</title>",
    b"<meta charset=utf-8>",
    "\ufeff<html>".encode("utf-16-le"),
    "\ufeff<!doctype html>".encode("utf-16-be"),
    b"<!-- <html> never ends",
    b"<html",
]
OTHER = [
    b"",
    b"{}",
    b"ok",
    b'{"html": "<html>"}',
    b"<htmlx>",
    b"<xml/>",
    b"<br />\n<b>Deprecated</b>: x",
    b"<!-- done --> {}",
    b"<?php echo 1;",
    b"<",
    b"\xff\xfe",
    b"\xff",
    b"<!doctype json>",
    b"1<html>",
    b"<p>ok</p>",
]


@pytest.mark.parametrize("body", HTML)
def test_a_page_of_html_is_no_yes(body: bytes) -> None:
    assert is_html(body)
    assert kind_of(200, body) == AnswerKind.FAILED


@pytest.mark.parametrize("body", OTHER)
def test_any_other_body_is_of_no_interest(body: bytes) -> None:
    assert kind_of(200, body) == AnswerKind.TAKEN


@pytest.mark.parametrize("part", [b"<!---->", b"<!--", b" ", b"<?x?>", b"<!-- a", b"<?"])
def test_no_body_takes_longer_than_its_length(part: bytes) -> None:
    """A second for what takes milliseconds; an expression that tries every way would need longer than the test."""
    began = time.process_time()

    is_html(part * 9000 + b"x")

    assert time.process_time() - began < 10


def test_a_receiver_is_named_without_what_may_be_secret() -> None:
    made = Receiver.of("https://me:hunter2@Site.example:8443/wp?rest_route=/events&key=hunter3")

    assert made.url == "https://Site.example:8443/wp?…"
    assert made.label == f"Site.example:8443-{made.id[:6]}"
    assert made.id == Receiver.of("https://Site.example:8443/wp?rest_route=/events&key=hunter3").id
    assert made.id != Receiver.of("https://Site.example:8443/wp").id


def test_when_nothing_waits_any_more_nothing_has_failed() -> None:
    """What failed was erased, or left out by the operator."""
    failing = after(NEW, batch(1, 1), FAILED, at(START)).progress
    refusing = after(failing, batch(1, 1), REFUSED, at(START)).progress

    assert [idle(one).state for one in (failing, refusing, NEW)] == ["ok"] * 3
    assert idle(failing).failing_since is None
    assert idle(NEW) == NEW


def test_an_event_waits_for_no_failure_of_the_past() -> None:
    """The site was down, then refused one event: the tries of each kind are counted apart."""
    failing = after(NEW, batch(1, 1), FAILED, at(START)).progress
    refusing = after(failing, batch(1, 1), REFUSED, at(START)).progress

    assert (refusing.failures, refusing.refusals, refusing.failing_since) == (0, 1, START)
