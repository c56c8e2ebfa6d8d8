import logging

import pytest

from room_server.channels.receipts import PONG_SIZE, BroadcastStats, Receipts, payload, ping, pong
from room_server.core.receipt_stats import Reach, merge
from tests.api.test_counts import counts
from tests.support import Site, eventually, next_state, room, serving, state_where


def answer_to(asked: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A client's masked pong to a ping of ours."""
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(asked[2:]))
    return bytes((0x8A, 0x88)) + mask + masked


def test_a_ping_carries_the_version_and_the_epoch() -> None:
    assert ping("e", 7) == b"\x89\x08" + payload("e", 7)
    assert len({payload("e", 7), payload("e", 8), payload("f", 7)}) == 3


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\x01\x02\x03\x04", b"\xff\xfe\x80\x7f"])
def test_the_pong_gives_back_what_the_ping_carried(mask: bytes) -> None:
    answer = answer_to(ping("e", 7), mask)
    assert len(answer) == PONG_SIZE
    assert pong(answer) == payload("e", 7)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x8a\x80\x01\x02\x03\x04", b"\x89" + answer_to(ping("e", 7))[1:], answer_to(ping("e", 7)) + b"\x8a"],
)
def test_anything_else_is_no_receipt(data: bytes) -> None:
    assert pong(data) is None


def test_answers_are_counted_by_their_time() -> None:
    receipts = Receipts("e", 7, of=4, started=0.0)
    for seconds in (0.001, 0.001, 0.1):
        receipts.count(seconds)
    assert merge([receipts.told()]) == Reach(version=7, of=4, reached=3, p50_ms=1, p99_ms=100)


async def reach(site: Site) -> dict[str, int] | None:
    rooms = (await counts(site))["rooms"]
    found: dict[str, int] | None = next((one["reach"] for one in rooms), None)
    return found


async def test_every_browser_that_answers_is_counted_across_processes(site: Site) -> None:
    await site.transactions.create(room())
    async with serving(site.settings) as other, site.socket() as one, other.socket(claims={"sub": "43"}) as two:
        await next_state(one)
        await next_state(two)
        await site.status("start")
        await state_where(one, status="live")
        await state_where(two, status="live")

        async def reached() -> bool:
            found = await reach(site)
            return found is not None and (found["version"], found["of"], found["reached"]) == (2, 2, 2)

        await eventually(reached, "both browsers have answered for version 2")


async def test_a_snapshot_is_no_change_that_reached_anybody(site: Site) -> None:
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)

        async def counted() -> bool:
            return bool((await counts(site))["total"] == 1)

        await eventually(counted, "the socket is counted")
        assert await reach(site) is None


def test_the_answers_to_a_change_are_kept_when_another_takes_its_place() -> None:
    tally, first, second = BroadcastStats(), Receipts("e", 1, 2, 0.0), Receipts("e", 2, 2, 0.0)
    for receipts, seconds in ((first, 0.001), (first, 0.5), (second, 0.001)):
        receipts.count(seconds)
    tally.keep(None)
    tally.keep(first)
    answers = tally.answers([second, None])

    assert answers == [one + other for one, other in zip(first.buckets, second.buckets, strict=True)]
    assert (sum(answers), sum(tally.answers([]))) == (3, 2)

    tally.keep(second)
    assert tally.answers([]) == answers


def test_nothing_was_told_before_the_first_change() -> None:
    tally = BroadcastStats()
    assert (tally.frames, tally.healed, sum(tally.answers([])), sum(tally.writing.counts)) == (0, 0, 0, 0)


def test_a_change_is_told_once_with_what_joins_it_to_its_commit(caplog: pytest.LogCaptureFixture) -> None:
    tally = BroadcastStats()
    told = Receipts("e", 7, 3, 0.0)
    told.heard_at -= 2
    with caplog.at_level(logging.INFO):
        tally.note("w", told)
        tally.note("w", told)
        tally.note("w", None)
    ((line,), facts) = caplog.records, vars(caplog.records[0])["facts"]

    assert line.getMessage() == "room told"
    assert facts.pop("ms") >= 2000
    assert facts == {"webinar": "w", "epoch": "e", "version": 7, "sockets": 3}
    assert (sum(tally.writing.counts), tally.writing.seconds >= 2) == (1, True)
