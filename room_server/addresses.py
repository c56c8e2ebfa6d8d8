"""Addresses that settings give: of Redis, of this server, of others, and the origins of sites.

Errors say what would be right, and show no password.
"""

import re
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

REDIS_SCHEMES = {"redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"}
ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.IGNORECASE)
HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?")
"""A name, with letters of any language, or an IPv4 address."""
SHOWN = 80
"""Most characters that an error shows of a wrong value."""
_USERINFO = re.compile("//[^@]*@", re.DOTALL)


def shown(value: Any) -> str:
    """A wrong value as an error shows it: without what may be a password, and not a megabyte of it."""
    if not isinstance(value, str):
        return repr(value)
    text = _USERINFO.sub("//…@", value)
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def _parts(url: str) -> SplitResult:
    """The parts of an address. Raises ValueError; Python's own error may show a password."""
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("this is no address: brackets stand around an IPv6 address alone") from None


def _split(url: str) -> SplitResult:
    """The same of an address with one host, its port in range. Raises ValueError."""
    parts = _parts(url)
    try:
        is_sound = parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound:
        raise ValueError("a port is a number from 1 to 65535; in a password, / ? # @ and : are percent-encoded")
    return parts


def check_redis_url(url: str) -> None:
    """An address of Redis, with one host or several. Raises ValueError."""
    parts = _parts(url)
    if parts.scheme not in REDIS_SCHEMES:
        raise ValueError(f"the scheme {shown(parts.scheme)} is none of {', '.join(sorted(REDIS_SCHEMES))}")
    for place in parts.netloc.rpartition("@")[2].split(","):
        _split(f"//{place}")


def check_address(url: str) -> None:
    """Raises ValueError, also for a port out of range."""
    parts = _split(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address like https://example.org has no user and no password")
    is_named = HOST.fullmatch(parts.hostname or "") or parts.netloc.startswith("[")
    if parts.scheme not in {"http", "https"} or not is_named or set("?#") & set(url) or re.search(r"\s", url):
        raise ValueError(f"expected an address like https://example.org, not {shown(url)}")


def check_bot_api(url: str) -> None:
    """The root of a Bot API, to which `/bot` and the token are added. Raises ValueError."""
    check_address(url)
    if url.rstrip("/").endswith("/bot"):
        raise ValueError(f"expected the root of the Bot API, without /bot at its end, not {shown(url)}")


def check_receiver(url: str) -> str:
    """An address that gets requests; it may have a user, a password and a query. Raises ValueError, also for a port.

    Gives what is asked for there, without user and password: the same for two spellings of one address.
    """
    parts = _split(url)
    is_named = HOST.fullmatch(parts.hostname or "") or parts.netloc.rpartition("@")[2].startswith("[")
    refusal = f"expected an address like https://example.org/events, not {shown(url)}"
    if parts.scheme not in {"http", "https"} or not is_named or "#" in url or re.search(r"\s|\\", url):
        raise ValueError(refusal)
    try:
        asked = httpx.URL(url)
    except httpx.InvalidURL:  # its text may show a password
        raise ValueError(refusal) from None
    port = asked.port or (443 if asked.scheme == "https" else 80)
    return f"{asked.scheme}://{asked.raw_host.decode()}:{port}{asked.raw_path.decode()}"


def check_root(url: str) -> None:
    """Pages and addresses stand at the root of their host. Raises ValueError."""
    check_address(url)
    if urlsplit(url).path not in {"", "/"}:
        raise ValueError(f"the server has its host to itself, without a path: expected https://host, not {shown(url)}")


def origin_of(given: str) -> str:
    """An origin as browsers send it (RFC 6454, 6.2): lower case, without the scheme's own port. Raises ValueError."""
    origin = given.rstrip("/").lower()
    if not origin.isascii():  # browsers send the form of RFC 3490
        with suppress(UnicodeError):
            origin = re.sub(r"(?<=://)[^:]+", lambda host: host[0].encode("idna").decode(), origin)
    if not ORIGIN.fullmatch(origin):
        raise ValueError(f"expected origins like https://example.org, not {shown(given)}")
    _split(origin)
    return origin.removesuffix(":443" if origin.startswith("https:") else ":80")
