"""Random heads and paths, the same in each run, sent to a real process: no 500, no hang, no line in the log."""

import asyncio
import random
import re
from collections import Counter

import pytest

from room_server import auth
from room_server.protocols.bounded_http import BoundedHttp
from room_server.state.startup import open_state
from tests.support import TOKEN_SECRET, room, settings_for, transactions
from tests.terminal import running

SEED = 7
AT_ONCE = 50
PATHS = ["/hooks/{}", "/rooms/{}/state", "/rooms/{}/socket", "/room/{}", "/speaker/{}", "/static/{}", "/{}", "{}",
         "/{}/{}", "/monitor/{}", "/webinars?{}", "http://x/{}", "/rooms/w/{}", "/static/%2e%2e/{}", "//{}",
         "/demo/{}"]  # fmt: skip
WORDS = [b"w", b"..", b"%00", b"%2f", b"%ff", b"%ED%A0%80", b"%", b"%zz", b"\xc3\xa9", b"a" * 300,
         b"core_webinar_set_status", b";", b"#", b"?", b"@", b"*", b"\\", b"'", b'"', b"<", b"%0d%0aX:", b".",
         b"api.js", b"{", b"\x7f", b"~", b"%F0%9F%98%80", b"0"]  # fmt: skip
METHODS = [b"GET", b"GET", b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PROPFIND", b"get",
           b"G\xc3\x84T"]  # fmt: skip
NAMES = [b"Accept", b"Accept-Encoding", b"Authorization", b"If-None-Match", b"If-Modified-Since", b"Range", b"Origin",
         b"Host", b"Connection", b"Upgrade", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Key",
         b"Sec-WebSocket-Version", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Request-ID", b"traceparent",
         b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"Content-Type", b"Cookie", b"Expect", b"TE",
         b"Trailer", b"Via", b"Date", b"Access-Control-Request-Method",
         b"Access-Control-Request-Headers"]  # fmt: skip
VALUES = [b"", b" ", b",", b"*", b"W/\"x\"", b"bytes=0-0,-1", b"bytes=9-1", b"gzip;q=nan", b"Bearer", b"Basic !!",
          b"null", b"https://[", b"[::1", b"127.0.0.1:x", b"1" * 400, b"v1,", b"v1,\xff", b"\x80\xff",
          b"room.v1, room.bearer.", b"websocket", b"Upgrade", b"h2c", b"close", b"keep-alive", b"100-continue",
          b"00-" + b"0" * 32 + b"-0-0", b"Thu, 99 Xxx 0000 99:99:99 GMT", b"=?utf-8?q?x?=", b"(((", b"a\tb",
          b"application/json; charset=nope"]  # fmt: skip
FRAMINGS = [b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 5, 5",
            b"Content-Length: x", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip",
            b"Transfer-Encoding : chunked"]  # fmt: skip
TAIL = b"0\r\n\r\n"
"""Five bytes that end every body, and are no request."""
END = b"\0\r\n\r\n"
"""What every connection ends on: no request either."""


def nonsense(chance: random.Random, token: bytes) -> bytes:
    """A head whose body, if it has one, is TAIL."""
    path = chance.choice(PATHS).encode()
    while b"{}" in path:
        path = path.replace(b"{}", b"".join(chance.choices(WORDS, k=chance.randint(0, 4))), 1)
    lines = [b" ".join([chance.choice(METHODS), path, chance.choice([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/3"])])]
    lines += [b"Host: x"] * (chance.random() < 0.9)
    lines += [b"Authorization: Bearer " + token] * (chance.random() < 0.5)
    for _ in range(chance.randint(0, 6)):
        value = chance.choice([*VALUES, chance.randbytes(chance.randint(0, 30))])
        lines.append(chance.choice(NAMES) + b": " + value)
    if chance.random() < 0.1:
        lines += [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Protocol: room.v1"]
    text = bytearray(b"\r\n".join(lines))
    for _ in range(chance.choice([0, 0, 1, 3])):
        at = chance.randrange(len(text))
        text[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
    framing = b"\r\n" + chance.choice(FRAMINGS) if chance.random() < 0.3 else b""
    return bytes(text) + framing + b"\r\n\r\n" + TAIL + END


async def statuses(address: str, data: bytes) -> list[int]:
    """The status of each answer until the server closes the connection, on END at the latest."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        received = b""
        async with asyncio.timeout(BoundedHttp.request_seconds - 1):
            while chunk := await reader.read(2**16):
                received += chunk
    except ConnectionError:
        pass  # it hung up on what it did not read
    except TimeoutError:
        pytest.fail(f"{data!r} hangs after {received[:200]!r}")
    finally:
        writer.transport.abort()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


async def test_no_head_is_our_fault(valkey_url: str, soak: bool) -> None:
    heads = 30_000 if soak else 1000
    settings = settings_for(valkey_url)
    async with open_state(settings) as state:
        await transactions(state.store).create(room())
    token = auth.issue(settings, {"sub": "speaker", "role": "speaker", "webinar_id": "*"}, 600).encode()
    chance, seen = random.Random(SEED), Counter[int]()
    given = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    limits = {"ROOM_SERVER_MAX_HOOKS_PER_PERSON": "0", "ROOM_SERVER_MAX_READS_PER_PERSON": "0"}
    limits["ROOM_SERVER_MAX_SOCKETS"] = "500"  # so few that no machine lets too few files be open
    async with running("web", "--port", "0", **given, **limits) as web:
        for _ in range(heads // AT_ONCE):
            sent = [nonsense(chance, token) for _ in range(AT_ONCE)]
            for data, answered in zip(
                sent, await asyncio.gather(*(statuses(web.address, one) for one in sent)), strict=True
            ):
                seen.update(answered)
                assert max(answered, default=0) < 500, data
        assert await statuses(web.address, b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == [200]
        assert await web.end() == (0, "")
    assert {200, 400, 401, 404, 405} <= seen.keys(), seen
    assert seen.total() >= heads * 0.9, "nearly all were answered"
