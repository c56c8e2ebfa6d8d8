"""The generic cell rate algorithm: a rate, a burst, and nobody else's business."""

import asyncio

import pytest

from room_server import limits
from room_server.errors import TooManyRequests
from room_server.limits import Throttle
from tests.conftest import settings_for
from tests.support import eventually, serving


def passes(throttle: Throttle, who: str = "anna") -> bool:
    """Whether one more is let through."""
    try:
        throttle.check(who)
    except TooManyRequests:
        return False
    return True


@pytest.mark.parametrize("burst", [1, 2, 20, 100])
def test_a_burst_is_let_through_and_no_more(burst: int) -> None:
    throttle = Throttle(0.001, burst)
    assert [passes(throttle) for _ in range(burst + 2)] == [True] * burst + [False] * 2


def test_callers_do_not_share_a_limit() -> None:
    throttle = Throttle(0.001, 1)
    assert [passes(throttle, who) for who in ("anna", "boris", "anna", "boris")] == [True, True, False, False]


def test_a_rate_of_zero_is_no_limit() -> None:
    throttle = Throttle(0, 0)
    assert all(passes(throttle) for _ in range(1000))


@pytest.mark.parametrize(("rate", "seconds"), [(1, "1"), (0.5, "2"), (0.1, "10"), (100, "1")])
def test_who_is_refused_hears_when_to_come_back(rate: float, seconds: str) -> None:
    throttle = Throttle(rate, 1)
    throttle.check("anna")
    with pytest.raises(TooManyRequests) as refusal:
        throttle.check("anna")
    assert refusal.value.headers == {"Retry-After": seconds}


async def test_what_is_refused_is_not_counted() -> None:
    throttle = Throttle(20, 1)
    throttle.check("anna")

    async def free() -> bool:
        return passes(throttle)

    began = asyncio.get_running_loop().time()
    await eventually(free, "the caller may come again, however often it was refused meanwhile", 1)
    assert 0.04 < asyncio.get_running_loop().time() - began < 0.5


def test_who_was_seen_longest_ago_is_forgotten_first() -> None:
    throttle = Throttle(0.001, 1)
    for number in range(limits.KNOWN + 1):
        throttle.check(f"caller {number}")
    assert [passes(throttle, f"caller {number}") for number in (1, limits.KNOWN)] == [False, False]
    assert passes(throttle, "caller 0")


async def test_an_address_may_ask_so_often_whoever_asks_there(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_requests_per_address=1)) as site:
        answers = [
            await site.http.get("/webinars", headers=site.bearer(role)) for role in ("speaker", "guest", "system")
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused = answers[-1]
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("too_many_requests", "1")
    assert refused.headers["content-type"] == "application/problem+json"
