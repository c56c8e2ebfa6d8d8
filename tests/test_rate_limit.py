"""The generic cell rate algorithm: a rate and a burst for each caller of its own."""

import time
from typing import Any

import pytest

from room_server import rate_limit
from room_server.errors import TooManyRequests
from room_server.rate_limit import Throttle
from tests.raw import connecting, handshake, upgrade
from tests.support import Site, next_state, room, serving, settings_for, transactions, wait_until


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
    throttle.check_without_counting("anna")


def test_a_caller_can_be_looked_at_without_being_counted() -> None:
    throttle = Throttle(0.001, 2)
    for _ in range(5):
        throttle.check_without_counting("anna")
    assert [passes(throttle), passes(throttle)] == [True, True]
    with pytest.raises(TooManyRequests) as looked:
        throttle.check_without_counting("anna")
    with pytest.raises(TooManyRequests) as asked:
        throttle.check("anna")
    assert looked.value.headers == asked.value.headers
    throttle.check_without_counting("boris")


@pytest.mark.parametrize(("rate", "seconds"), [(1, "1"), (0.5, "2"), (0.1, "10"), (100, "1")])
def test_a_refusal_has_the_time_until_the_next_request(rate: float, seconds: str) -> None:
    throttle = Throttle(rate, 1)
    throttle.check("anna")
    with pytest.raises(TooManyRequests) as refusal:
        throttle.check("anna")
    assert refusal.value.headers == {"Retry-After": seconds}


async def test_what_is_refused_is_not_counted() -> None:
    began = time.monotonic()
    throttle = Throttle(20, 1)
    throttle.check("anna")
    await wait_until(lambda: passes(throttle), "the caller may come again, however often it was refused meanwhile")

    assert time.monotonic() - began > 0.04


def test_the_caller_that_asked_longest_ago_is_forgotten_first() -> None:
    throttle = Throttle(0.001, 1)
    for number in range(rate_limit.KNOWN + 1):
        throttle.check(f"caller {number}")
    assert [passes(throttle, f"caller {number}") for number in (1, rate_limit.KNOWN)] == [False, False]
    assert passes(throttle, "caller 0")


async def test_callers_who_are_within_their_rate_again_are_forgotten() -> None:
    """A crowd that has left leaves nothing: those who come later forget it, a few each."""
    throttle, later = Throttle(1000, 1), 10
    for number in range(later * rate_limit.FORGOTTEN):
        throttle.check(f"caller {number}")
    began = time.monotonic()
    await wait_until(lambda: time.monotonic() > began + 0.001, "the last of them is within its rate again")
    for number in range(later):
        throttle.check(f"later caller {number}")

    assert len(throttle) <= later


def test_a_caller_is_remembered_while_its_requests_count() -> None:
    throttle = Throttle(0.001, 2)
    for who in ("anna", "boris", "anna", "boris"):
        throttle.check(who)

    assert (len(throttle), passes(throttle, "anna"), passes(throttle, "boris")) == (2, False, False)


async def test_an_address_has_one_limit_for_all_callers_behind_it(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_requests_per_address=1)) as site:
        answers = [
            await site.http.get("/webinars", headers=site.bearer(role)) for role in ("speaker", "guest", "system")
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused = answers[-1]
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("too_many_requests", "1")
    assert refused.headers["content-type"] == "application/problem+json"


FORWARDED: dict[str, tuple[str, list[str], list[bool]]] = {
    "a peer that is no proxy is not believed": ("10.0.0.1", ["6.6.6.1", "6.6.6.2", "6.6.6.3"], [True, True, False]),
    "a proxy is believed": ("127.0.0.1", ["6.6.6.1", "6.6.6.2", "6.6.6.3"], [True, True, True]),
    "one caller behind a proxy": ("127.0.0.1", ["6.6.6.1"] * 3, [True, True, False]),
    "what a caller itself tells the proxy": (
        "127.0.0.0/8",
        [f"9.9.9.{n}, 6.6.6.1" for n in "123"],
        [True, True, False],
    ),
    "two proxies": ("127.0.0.1,10.0.0.1", [f"6.6.6.{n}, 10.0.0.1" for n in "123"], [True, True, True]),
    "a proxy that names nobody": ("127.0.0.1", [""] * 3, [True, True, False]),
}
"""FORWARDED_ALLOW_IPS, the X-Forwarded-For of each request, and which of the requests pass."""


async def let_through(site: Site, path: str, forwarded: str) -> bool:
    """Whether a request or a handshake from there is answered as such."""
    named = {"X-Forwarded-For": forwarded, **site.bearer("attendee")}
    async with connecting(site) as raw:
        if path == "/webinars":
            return (await site.http.get(path, headers=named)).status_code == 200
        await raw.send(upgrade(site, path, named))
        answer = await raw.answer()
    if answer.status != 101:
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "too_many_sockets", "1")
    return answer.status == 101


@pytest.mark.parametrize("case", FORWARDED, ids=str)
async def test_requests_and_handshakes_are_counted_by_address(valkey_url: str, case: str) -> None:
    proxies, forwarded, expected = FORWARDED[case]
    settings = settings_for(valkey_url, max_requests_per_address=1)
    more: dict[str, Any] = {"forwarded_allow_ips": proxies}
    async with serving(settings, **more) as site:
        await site.transactions.create(room())
        for path in ("/webinars", "/rooms/w/socket"):
            assert [await let_through(site, path, address) for address in forwarded] == expected, path


@pytest.mark.parametrize("proxies", ["127.0.0.1", "127.0.0.0/8"])
async def test_a_proxy_is_trusted_on_an_address_of_ipv6_too(valkey_url: str, proxies: str) -> None:
    """`--host ::` takes callers of IPv4, whose addresses then are `::ffff:127.0.0.1` and the like."""
    settings, more = settings_for(valkey_url, max_requests_per_address=1), {"forwarded_allow_ips": proxies}
    async with serving(settings, host="::", **more) as site:
        await site.transactions.create(room())
        for path in ("/webinars", "/rooms/w/socket"):
            assert [await let_through(site, path, f"6.6.6.{n}") for n in range(4)] == [True] * 4, path


async def test_handshakes_that_are_refused_are_counted_too(valkey_url: str) -> None:
    """Guessing tokens is limited."""
    async with serving(settings_for(valkey_url, max_requests_per_address=1)) as site:
        statuses = []
        for _ in range(3):
            async with connecting(site) as raw:
                await raw.send(upgrade(site, "/rooms/w/socket", {"Authorization": "Bearer x"}))
                statuses.append((await raw.answer()).status)
    assert statuses == [401, 401, 503]


async def test_a_person_is_counted_wherever_it_calls_from(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_reads_per_person=1, max_hooks_per_person=1)) as site:
        await site.transactions.create(room())
        for read in (True, False):
            codes = []
            for address in range(6):
                headers = {**site.bearer(), "X-Forwarded-For": f"6.6.6.{address}"}
                call = site.http.get("/rooms/w/state", headers=headers) if read else site.http.post(
                    "/hooks/core_webinar_set_status", headers=headers, content=b"{}"
                )  # fmt: skip
                codes.append((await call).status_code)
            burst = 4 if read else 2
            assert (codes[burst - 1] == 429, codes[burst]) == (False, 429), codes


async def test_each_process_counts_for_itself(valkey_url: str) -> None:
    """As docs/operations.md explains: a caller that reaches two processes may do twice as much."""
    settings = settings_for(valkey_url, max_sockets_per_person=1)
    async with serving(settings) as one, serving(settings) as other:
        await transactions(one.store).create(room())
        for site in (one, other):
            async with site.socket() as socket, connecting(site) as raw:
                await next_state(socket)
                await raw.send(handshake(site))
                assert (answer := await raw.answer()).code == "too_many_sockets", answer
