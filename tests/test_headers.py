"""Every header that the server reads, given what is odd or unlawful: no failure, no line in the log, no secret back.

`test_heads.py` sends heads that are random as a whole; here each header meets each value, where it counts.
"""

import asyncio
import re
from itertools import product
from pathlib import Path

from room_server import auth
from room_server.protocols.upgrade import MAX_REQUEST_HEAD
from room_server.state.startup import open_state
from tests.support import HOOK_SECRET, TOKEN_SECRET, room, settings_for, transactions
from tests.terminal import Running, running
from tests.test_signed import ENTERING, webhook

SOURCE = Path(__file__).parents[1] / "room_server"
SERVING = ("api", "channels", "protocols", "auth.py", "rate_limit.py")
"""The places that read headers of requests."""
HEADERS = [
    *("authorization", "origin", "host", "accept", "if-none-match", "x-request-id", "link-code", "sec-fetch-mode"),
    *("webhook-id", "webhook-timestamp", "webhook-signature", "traceparent", "tracestate", "accept-encoding"),
    *("x-forwarded-for", "x-forwarded-proto", "forwarded", "x-real-ip", "via", "content-length", "content-type"),
    *("sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions", "upgrade"),
    *("connection", "transfer-encoding", "expect", "if-modified-since", "range", "cookie"),
    *("access-control-request-method", "access-control-request-headers"),
]
SECRET = b"eyJhbGciOiJIUzI1NiJ9.Pa55word-of-nobody"
ODD = [
    *(b"", b" ", b"\t", b",", b";", b"*", b'"', b"\xff\xfe", b"\xc3\xa9", b"%00", b"-1", b"+1", b"0", b"1e3", b"nan"),
    *(b"9" * 400, b"x" * (MAX_REQUEST_HEAD - 1000), b",".join([b"a"] * 3000), b";q=1" * 1000, b"(" * 2000),
    *(b"null", b"https://[", b"http://a:99999", b"[::1", b"::1", b"127.0.0.1:x", b"unknown", b'for=_x;by="[::1]"'),
    *(b"Bearer", b"Bearer  ", b"bearer " + SECRET, b"Bearer " + SECRET * 20, b"Basic " + SECRET, SECRET),
    *(b"Bearer a.b.c", b"Bearer ..", b"Bearer " + b"." * 5000, b"v1,", b"v1," + SECRET, b"v1, v1, v2,x", b"v1,\xff"),
    *(b"text/csv;q=", b"text/csv;q=9, */*", b"text/csv;q=0.5;q=1, text/html", b'W/"', b'"a", *, W/"b"', b"bytes=9-1"),
    *(b"room.v1", b"room.v1,room.v1", b"room.bearer." + SECRET, b"websocket, h2c", b"13, 8", b"upgrade, close"),
    *(b"00-" + b"f" * 32 + b"-" + b"0" * 16 + b"-ff", b"\x01", b"a\x7fb", b"chunked, chunked", b"100-continue, x"),
]


def request(method: bytes, path: bytes, *lines: tuple[bytes, bytes]) -> bytes:
    """A request with these headers."""
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", *(b"%b: %b" % line for line in lines), b"", b""])


def requests(token: str, name: bytes, values: tuple[bytes, ...]) -> dict[str, bytes]:
    """Requests that would be answered well, but for the header `name`; by what they are."""
    ours = {b"host": b"x", b"connection": b"close"}
    bearer = {b"authorization": b"Bearer " + token.encode()}
    signed = {key.encode(): value.encode() for key, value in webhook(ENTERING).items()}
    reading = {key.encode(): value.encode() for key, value in webhook(b"").items()}
    length = {b"content-length": b"%d" % len(ENTERING), b"content-type": b"application/json"}
    opening = {b"connection": b"Upgrade", b"upgrade": b"websocket", b"sec-websocket-version": b"13",
               b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==", b"sec-websocket-protocol": b"room.v1"}  # fmt: skip
    shapes = {
        "state": (b"GET", b"/rooms/w/state", bearer, b""),
        "attendance": (b"GET", b"/webinars/w/attendance", bearer, b""),
        "signed attendance": (b"GET", b"/webinars/w/attendance", reading, b""),
        "signed hook": (b"POST", b"/hooks/client_webinar_entered", {**signed, **length}, ENTERING),
        "hook": (b"POST", b"/hooks/client_webinar_entered", {**bearer, **length}, ENTERING),
        "socket": (b"GET", b"/rooms/w/socket", {**bearer, **opening}, b""),
        "metrics": (b"GET", b"/metrics", {}, b""),
        "link": (b"GET", b"/links", {}, b""),
        "page": (b"GET", b"/room/w", {b"accept": b"text/html"}, b""),
        "file": (b"GET", b"/static/app.css", {}, b""),
        "preflight": (b"OPTIONS", b"/webinars", {b"origin": b"https://site.example",
                                                 b"access-control-request-method": b"GET"}, b""),
    }  # fmt: skip
    return {
        what: request(method, path, *(line for line in {**ours, **more}.items() if line[0] != name),
                      *((name, value) for value in values)) + body
        for what, (method, path, more, body) in shapes.items()
    }  # fmt: skip


async def answered(web: Running, data: bytes) -> bytes:
    """What comes back until the server closes, says a whole answer, or waits for the rest of the body."""
    host, _, port = web.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(60):
            return await reader.read(2**16)
    except ConnectionError:
        return b""  # it hung up on what it did not read
    finally:
        writer.transport.abort()


def test_every_header_that_is_read_is_tried() -> None:
    files = [file for place in SERVING for file in ([SOURCE / place] if place.endswith(".py") else
             sorted((SOURCE / place).rglob("*.py")))]  # fmt: skip
    reads = re.compile(r"headers(?:\.get|\.getlist)?[(\[]\"([a-z-]+)\"")
    found = {name for file in files for name in reads.findall(file.read_text("utf-8"))}

    assert {"authorization", "accept", "x-forwarded-for", "sec-websocket-key"} <= found
    assert found <= set(HEADERS)


async def test_no_header_is_our_fault(valkey_url: str, soak: bool) -> None:
    settings = settings_for(valkey_url)
    async with open_state(settings) as state:
        await transactions(state.store).create(room())
    token = auth.issue(settings, {"sub": "site", "role": "system", "webinar_id": "*"}, 600)
    given = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    given |= {"ROOM_SERVER_HOOK_SECRET": HOOK_SECRET, "ROOM_SERVER_ALLOWED_ORIGINS": "https://site.example"}
    limits = {"ROOM_SERVER_MAX_READS_PER_PERSON": "0", "ROOM_SERVER_MAX_SOCKETS": "500"}
    wrong, met = {}, set()
    async with running("web", "--port", "0", **given, **limits) as web:
        for number, (name, value) in enumerate(product(HEADERS, ODD)):
            values = (value, value) if number % 3 == 0 else (value,)
            asked = list(requests(token, name.encode(), values).items())
            asked = asked if soak else [asked[number % len(asked)], asked[number * 7 % len(asked)]]
            answers = await asyncio.gather(*(answered(web, data) for _, data in asked))
            for (what, _), answer in zip(asked, answers, strict=True):
                status = int(answer[9:12] or 0)
                met.add(status)
                is_repeated = SECRET in answer and name != "origin"  # a refusal names the site that is refused
                if status >= 500 or is_repeated:
                    wrong[what, name, value[:40]] = answer[:300]
        assert await web.end() == (0, "")

    assert wrong == {}
    assert {101, 200, 400, 401} <= met
