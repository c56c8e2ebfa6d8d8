"""Proxies by the variables of the environment: which one is taken, and that no value of them ends anything."""

from collections.abc import Callable

import pytest

from room_server.proxy import UnusableProxy, proxy_to

API = "https://api.telegram.org"
Environment = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Set these variables, and no other variable of proxies."""

    def set_only(**variables: str) -> None:
        for scheme in ("http", "https", "all", "no"):
            monkeypatch.delenv(f"{scheme}_proxy", raising=False)
            monkeypatch.delenv(f"{scheme}_PROXY".upper(), raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_only


def test_without_a_variable_there_is_no_proxy(environment: Environment) -> None:
    environment()

    assert proxy_to(API) is None


@pytest.mark.parametrize(
    ("variables", "address", "variable", "proxy"),
    [
        ({"ALL_PROXY": "socks5://p:1080"}, API, "ALL_PROXY", "socks5://p:1080"),
        ({"all_proxy": "socks5h://p:1080"}, "http://127.0.0.1:8081", "all_proxy", "socks5h://p:1080"),
        ({"HTTPS_PROXY": "http://p:3128", "ALL_PROXY": "garbage://"}, API, "HTTPS_PROXY", "http://p:3128"),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://p"}, API, "ALL_PROXY", "http://p"),
        ({"HTTP_PROXY": "http://p:1", "https_proxy": "p:2"}, API, "https_proxy", "http://p:2"),
        ({"HTTPS_PROXY": "http://user:secret@[::1]:3128/"}, API, "HTTPS_PROXY", "http://[::1]:3128/"),
    ],
)
def test_the_proxy_is_that_of_the_addresss_scheme_else_that_of_all(
    environment: Environment, variables: dict[str, str], address: str, variable: str, proxy: str
) -> None:
    environment(**variables)

    found = proxy_to(address)

    assert found is not None
    assert (found.variable, str(found.proxy.url)) == (variable, proxy)


def test_a_proxys_user_and_password_are_kept(environment: Environment) -> None:
    environment(ALL_PROXY="socks5://user:se%40cret@p:1080")

    found = proxy_to(API)

    assert found is not None
    assert found.proxy.auth == ("user", "se@cret")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    ["socks://p:secret", "socks4://u:secret@p:1080", "http://", "http://:80", "http://p:99999", "http://p:0",
     "http://p:secret", "%%%", "se cret", "http://[::1", "\x01", "ftp://p", "://", "http://xn--"],
)  # fmt: skip
def test_a_value_that_names_no_proxy_is_one_error_with_the_variables_name_and_nothing_of_its_value(
    environment: Environment, variable: str, value: str
) -> None:
    environment(**{variable: value})

    with pytest.raises(UnusableProxy) as error:
        proxy_to(API)

    assert str(error.value) == (
        f"{variable} names no proxy: expected http, https, socks5, socks5h, as in socks5://host:1080"
    )


@pytest.mark.parametrize(
    ("no_proxy", "address"),
    [
        ("*", API),
        ("localhost,*", API),
        ("api.telegram.org", API),
        ("localhost, .telegram.org", API),
        ("*.telegram.org", API),
        ("TELEGRAM.org", API),
        ("api.telegram.org:443", API),
        ("https://api.telegram.org/", API),
        ("::1", "http://[::1]:8081"),
        ("[::1]", "http://[::1]:8081"),
        ("[::1]:8081", "http://[::1]:8081"),
        ("::1/128", "http://[::1]:8081"),
        ("10.0.0.0/8", "http://10.1.2.3:8081"),
        ("10.1.2.3/8", "http://10.1.2.3:8081"),
        ("127.0.0.1", "http://127.0.0.1:8081"),
    ],
)
def test_no_proxy_exempts_names_addresses_and_networks(environment: Environment, no_proxy: str, address: str) -> None:
    environment(ALL_PROXY="garbage://", no_proxy=no_proxy)

    assert proxy_to(address) is None


@pytest.mark.parametrize(
    "no_proxy",
    ["", ",", "::1/128", "::1/129", "127.0.0.0/8,::1/128", "legram.org", "api.telegram.org:80", "[", "%", "://", "."],
)
def test_an_entry_of_no_proxy_that_means_another_host_or_nothing_is_passed_over(
    environment: Environment, no_proxy: str
) -> None:
    environment(ALL_PROXY="http://p:1", NO_PROXY=no_proxy)

    assert proxy_to(API) is not None
