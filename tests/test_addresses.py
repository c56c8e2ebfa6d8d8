"""Addresses of settings: odd but lawful ones are taken, others are refused without showing a password."""

import pytest

from room_server.addresses import SHOWN, check_address, check_redis_url, check_root, origin_of, shown


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
