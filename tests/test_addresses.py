"""Addresses of settings: odd but lawful ones are taken, others are refused without showing a password."""

import pytest

from room_server.addresses import (
    SHOWN,
    check_address,
    check_bot_api,
    check_receiver,
    check_redis_url,
    check_root,
    origin_of,
    shown,
)


@pytest.mark.parametrize(
    "address",
    [
        "https://[::1]",
        "https://пример.рф",
        "https://xn--e1afmkfd.xn--p1ai:65535",
        "HTTPS://H",
        "http://h./",
        "http://10.0.0.1:1",
    ],
)
def test_odd_but_lawful_addresses_of_a_server_are_taken(address: str) -> None:
    check_root(address)
    check_address(f"{address.rstrip('/')}/bot")


@pytest.mark.parametrize("address", ["https://h/bot", "https://h/bot/", "http://h:1/api/bot"])
def test_the_root_of_a_bot_api_ends_before_what_is_added_to_it(address: str) -> None:
    check_bot_api(address.rstrip("/").removesuffix("/bot"))
    check_bot_api(f"{address.rstrip('/')}s")
    with pytest.raises(ValueError, match="without /bot at its end"):
        check_bot_api(address)


@pytest.mark.parametrize(
    "url", ["redis://me:p%40%2Fss@[::1]:6379/2", "redis+cluster://a:1,[::1]:2,c", "unix:///run/a%20b", "REDIS://h"]
)
def test_odd_but_lawful_addresses_of_redis_are_taken(url: str) -> None:
    check_redis_url(url)


@pytest.mark.parametrize(
    "address",
    ["https://", "https://h?", "https://h#", "https://a b", "https://h\\x", "https://%68", "https://..", "h", "\0"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="expected an address like"):
        check_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "http://999.1.1.1/x",
        "http://[v1.x]/",
        "https://пример_тест.рф/x",
        "https://①.example/",
        "https://h/\x01",
        "https://h/\x7f",
        "https://me:hunter2\x01@h/",
        "https://h/" + "a" * 70_000,
    ],
)
def test_a_receiver_that_no_request_can_reach_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="expected an address like") as caught:
        check_receiver(address)

    assert "hunter2" not in str(caught.value)


def test_two_spellings_of_a_receiver_are_one() -> None:
    plain = check_receiver("https://example.org/events?a=b@c")

    assert check_receiver("HTTPS://me:p@Example.org:443/events?a=b@c") == plain
    assert check_receiver("https://example.com/events?a=b@c") != plain
    assert check_receiver("http://[::1]:80") == check_receiver("http://[::1]/")


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1"])
def test_a_port_is_in_range(port: str) -> None:
    for check, address in ((check_redis_url, f"redis+cluster://a,b:{port}"), (check_address, f"http://a:{port}")):
        with pytest.raises(ValueError, match="a port is a number from 1 to 65535"):
            check(address)


def test_an_origin_is_as_browsers_send_it() -> None:
    assert origin_of("https://Пример.рф:443/") == "https://xn--e1afmkfd.xn--p1ai"
    assert origin_of("http://[::1]:65535") == "http://[::1]:65535"


def test_what_is_shown_is_short_and_has_no_password() -> None:
    assert shown("https://me:hunter2@h") == "'https://…@h'"
    assert len(shown("x" * 10**6)) == SHOWN + 3
    assert shown(-1) == "-1"
