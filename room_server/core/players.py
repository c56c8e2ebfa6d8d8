"""Addresses: whether they name a host; a player's origin for a Content-Security-Policy; pages that cannot be framed."""

import re
from urllib.parse import SplitResult, urlsplit

from room_server.errors import BadInput

_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_WATCH_PAGES = [
    (re.compile(r"(?:(?:www|m|music)\.)?youtube\.com/watch\?(?:.*&)?v=([\w-]+)"), "https://www.youtube.com/embed/{1}"),
    (re.compile(r"(?:(?:www|m)\.)?youtube\.com/(?:live|shorts|v)/([\w-]+)"), "https://www.youtube.com/embed/{1}"),
    (
        re.compile(r"(?:(?:www|m)\.)?youtube\.com/channel/([\w-]+)/live"),
        "https://www.youtube.com/embed/live_stream?channel={1}",
    ),
    (re.compile(r"youtu\.be/([\w-]+)"), "https://www.youtube.com/embed/{1}"),
    (
        re.compile(r"(?:(?:www|m)\.)?(vk\.com|vk\.ru|vkvideo\.ru)/(?:.*[/?=&])?(?:video|clip)(-?\d+)_(\d+)"),
        "https://{1}/video_ext.php?oid={2}&id={3}",
    ),
    (
        re.compile(r"(?:www\.|m\.)?rutube\.ru/(?:live/)?video/private/(\w+)/?\?(?:.*&)?p=([\w-]+)"),
        "https://rutube.ru/play/embed/{1}/?p={2}",
    ),
    (
        re.compile(r"(?:www\.|m\.)?rutube\.ru/(?:live/)?(?:video|shorts)/(?!embed/|private/)(\w+)"),
        "https://rutube.ru/play/embed/{1}",
    ),
    (re.compile(r"(?:www\.)?vimeo\.com/(\d+)"), "https://player.vimeo.com/video/{1}"),
    (re.compile(r"(?:(?:www|m)\.)?ok\.ru/(?:video|live)/(\d+)"), "https://ok.ru/videoembed/{1}"),
]
"""Pages of a video, and the address of its player, which other pages may frame."""
_NO_PLAYERS = re.compile(
    r"(?:(?:www|m|music)\.)?youtube\.com/(?!embed/)|youtu\.be/|(?:(?:www|m)\.)?(?:vk\.com|vk\.ru|vkvideo\.ru)/(?!video_ext\.php)"
    r"|(?:www\.|m\.)?rutube\.ru/(?:live/)?(?:video/(?!embed/)|channel|u/|$)"
)
"""Other pages of those sites, such as channels, playlists and front pages, which have no player."""


def check_address(field: str, address: str) -> None:
    """Raises BadInput, which names the field, for an address without a host, or with a host or port that is none."""
    try:
        parts = urlsplit(address)
        is_right = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        refusal = f"{field}: {address[:80]} names no host; write https://example.org/page"
        raise BadInput("invalid_payload", refusal, field=field)


def check_player(address: str) -> None:
    """Raises BadInput for a page that other pages may not frame; the error names its player where that is known."""
    parts = urlsplit(address)
    page = f"{(parts.hostname or '')}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    for pattern, player in _WATCH_PAGES:
        if found := pattern.match(page):
            raise _refused(address, f"its player is {player.format(None, *found.groups())}")
    if _NO_PLAYERS.match(page):
        raise _refused(address, "take the address after src= in the code that the site gives for embedding")


def _refused(address: str, instead: str) -> BadInput:
    refusal = BadInput(
        "invalid_payload", f"player_url: {address} is a page to watch on, which no other page may frame; {instead}"
    )
    refusal.field = "player_url"
    return refusal


def origin(address: str) -> str | None:
    """The origin of an http(s) address in the form of a Content-Security-Policy (lower case, ASCII); else None.

    It contains no character that could end a directive. A policy cannot name an IPv6 host (CSP 3, 2.3.1).
    """
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").encode("idna").decode()
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:  # UnicodeError is one
        return None
    return f"{parts.scheme}://{host}{port}" if _HOST.fullmatch(host) else None


def frame_origin(address: str) -> str | None:
    """The same for an address that has a scheme, a host and perhaps a port, and nothing else; None for any other."""
    try:
        is_origin = address.isprintable() and _is_origin(urlsplit(address))
    except ValueError:
        return None
    return origin(address) if is_origin else None


def _is_origin(parts: SplitResult) -> bool:
    is_page = parts.scheme in {"http", "https"} and parts.path in {"", "/"}
    return is_page and parts.port != 0 and not (parts.query or parts.fragment or "@" in parts.netloc)
