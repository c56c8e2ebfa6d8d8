"""Slow, incomplete, oversized and malformed requests get a clear answer or a closed connection, in time."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from room_server.protocols.bounded_http import MAX_REQUEST, BoundedHttp, bind, uvicorn_config
from room_server.protocols.upgrade import MAX_REQUEST_HEAD
from tests.proxy import proxy_to
from tests.raw import Raw, connecting, handshake, request
from tests.support import Site, eventually, room, serving, settings_for, wait_until

SECONDS = 0.5
HOOK, BODY = "/hooks/core_webinar_set_status", b'{"webinar_id":"w","status":"start"}'


class Hasty(BoundedHttp):
    """The same protocol with short timeouts."""

    request_seconds = SECONDS
    reading_seconds = SECONDS


@pytest.fixture
async def hasty(valkey_url: str) -> AsyncIterator[Site]:
    """A site that waits half a second for each request."""
    async with serving(settings_for(valkey_url), http=Hasty) as site:
        await site.transactions.create(room())
        yield site


@pytest.fixture
async def planned(site: Site) -> Site:
    """A site with a webinar, and the time that the product gives to a request."""
    await site.transactions.create(room())
    return site


def hook(site: Site, body: bytes = BODY, **headers: str) -> bytes:
    """A whole hook, as the speaker."""
    return request(site, HOOK, "POST", {**site.bearer(), **headers}, body)


async def served(site: Site) -> None:
    """Another caller is answered."""
    assert (await site.http.get("/healthz")).status_code == 200


async def ends(raw: Raw, code: str) -> None:
    """The answer has this code, and the connection is closed."""
    answer = await raw.answer()
    assert (answer.code, answer.headers["content-type"]) == (code, "application/problem+json")
    assert answer.headers["connection"] == "close"
    assert await raw.rest() == b""


async def test_a_connection_without_a_request_is_closed(hasty: Site) -> None:
    async with connecting(hasty) as silent, connecting(hasty) as ending_lines:
        await ending_lines.send(b"\r\n", b"\r\n\r\n")
        await served(hasty)
        assert [await silent.rest(), await ending_lines.rest()] == [b"", b""]


HALVES = {
    "a letter": slice(0, 1),
    "half a request line": slice(0, 20),
    "half a head": slice(0, 90),
    "a head without its last line": slice(0, -len(BODY) - 4),
    "a head without its body": slice(0, -len(BODY)),
    "half a body": slice(0, -1),
}


async def half_sent(site: Site, content: bytes) -> None:
    """A request that stops half-way is timed out."""
    async with connecting(site) as raw:
        await raw.send(content)
        await ends(raw, "request_timeout")


async def test_a_half_sent_request_or_handshake_is_timed_out(hasty: Site) -> None:
    before = await hasty.everything()
    async with asyncio.TaskGroup() as callers:
        for content in (*(hook(hasty)[half] for half in HALVES.values()), handshake(hasty)[:-3]):
            callers.create_task(half_sent(hasty, content))
        await served(hasty)
    assert await hasty.everything() == before


async def test_a_half_sent_request_has_no_effect_when_its_caller_leaves(planned: Site) -> None:
    before = await planned.everything()
    for cut in (30, 300, -3):
        async with connecting(planned) as raw:
            await raw.send(hook(planned)[:cut])
            raw.writer.write_eof()
            assert await raw.rest() == b""
    assert await planned.everything() == before


async def trickle(raw: Raw, content: bytes) -> None:
    """Send a byte at a time, each well before the deadline, until the server closes the connection."""
    pieces = iter(content)

    def done() -> bool:
        byte = next(pieces, None)
        if byte is not None:
            raw.writer.write(bytes([byte]))
        return byte is None or raw.reader.at_eof()

    await wait_until(done, "everything is sent")


async def trickled(site: Site, begun: bytes, content: bytes) -> None:
    """A request that comes byte by byte is timed out."""
    async with connecting(site) as raw, asyncio.TaskGroup() as tasks:
        await raw.send(begun)
        tasks.create_task(trickle(raw, content))
        await ends(raw, "request_timeout")


async def test_a_trickled_request_is_timed_out_however_steadily_it_comes(hasty: Site) -> None:
    length = {"Content-Length": "200", **hasty.bearer()}
    chunks = {"Transfer-Encoding": "chunked", **hasty.bearer()}
    async with asyncio.TaskGroup() as callers:
        callers.create_task(trickled(hasty, b"P", b"OST " + b"/a" * 100))
        callers.create_task(trickled(hasty, b"GET / HTTP/1.1\r\nX: ", b"a" * 200))
        callers.create_task(trickled(hasty, request(hasty, HOOK, "POST", length), b" " * 200))
        callers.create_task(trickled(hasty, request(hasty, HOOK, "POST", chunks), b"1\r\n \r\n" * 40))
        await served(hasty)


async def test_a_hundred_slow_callers_delay_no_other(hasty: Site) -> None:
    async with asyncio.TaskGroup() as callers:
        for number in range(100):
            callers.create_task(half_sent(hasty, hook(hasty)[: 1 + number]))
        await served(hasty)
    await served(hasty)


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xab" * 300,
    b"\0" * 100,
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"G\xc3\x84T / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET http:// HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost h\r\n\r\n",
    b"GET / HTTP/1.1\r\nA\0: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: \0\r\n\r\n",
    b"GET / HTTP/1.1\r\n: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
    b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /hooks/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b'{"webinar_id":"w"}',
]


async def test_garbage_is_answered_as_such(planned: Site, caplog: pytest.LogCaptureFixture) -> None:
    for garbage in GARBAGE:
        async with connecting(planned) as raw:
            await raw.send(garbage)
            answer = await raw.answer()
            assert answer.status in {400, 404}, garbage
            assert answer.code in {"malformed_request", "hook_unknown", "not_found"}, garbage
            await raw.rest()
    await served(planned)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_huge_head_is_refused_whole_or_not(planned: Site) -> None:
    for size in (MAX_REQUEST_HEAD + 1, 10 * MAX_REQUEST_HEAD):
        for head in (
            request(planned, "/healthz", "GET", {"X": "a" * size}),
            request(planned, "/healthz", "GET", {"X": "a" * size})[:-4],
            request(planned, "/" + "a" * size),
            request(planned, "/healthz", "GET", {f"X{number}": "a" for number in range(size // 4)}),
            handshake(planned, name="a" * size),
        ):
            async with connecting(planned) as raw:
                await raw.send(head)
                answer = await raw.answer()
                assert (answer.status, answer.code) == (431, "head_too_large")
                assert await raw.rest() == b""


async def test_a_head_may_have_16_kib(planned: Site) -> None:
    room_left = MAX_REQUEST_HEAD - len(request(planned, "/healthz", "GET", {"X": ""}))
    async with connecting(planned) as raw:
        await raw.send(request(planned, "/healthz", "GET", {"X": "a" * room_left}))
        assert (await raw.answer()).status == 200


async def test_a_head_that_never_ends_is_refused_while_it_comes(planned: Site) -> None:
    async with connecting(planned) as raw:
        await raw.send(b"GET / HTTP/1.1\r\n", *[b"X: " + b"a" * 1000 + b"\r\n"] * 17)
        await ends(raw, "head_too_large")


async def test_a_body_of_too_many_chunks_is_not_taken_for_a_head(planned: Site) -> None:
    """A lawful registration, each of its bytes in a chunk of its own."""
    headers = {"Transfer-Encoding": "chunked", **planned.bearer("system")}
    async with connecting(planned) as raw:
        await raw.send(request(planned, "/hooks/core_roster_register", "POST", headers))
        raw.writer.write(b"1\r\n \r\n" * (MAX_REQUEST // 6 + 1))
        await ends(raw, "body_too_large")


async def test_a_caller_that_sends_too_much_can_still_read_the_refusal(planned: Site) -> None:
    """A connection that is closed on unread bytes is reset, and the answer with it."""
    for head in (request(planned, "/" + "a" * 4 * MAX_REQUEST_HEAD), hook(planned, b" " * 10**6)):
        for _ in range(5):
            async with connecting(planned) as raw:
                raw.writer.write(head + b"a" * 10**6)
                assert (await raw.answer()).status in {413, 431}


async def test_a_refusal_before_the_body_was_read_is_the_only_answer(hasty: Site) -> None:
    """What still comes of the body is neither a head too large nor a request that is late."""
    body = b" " * 50_000
    async with connecting(hasty) as raw:
        await raw.send(request(hasty, HOOK, "POST", {}, body)[: -len(body)])
        assert (await raw.answer()).status == 401
        await raw.send(body[:20_000], body[20_000:-1])
        assert await raw.rest() == b""


async def test_after_an_early_refusal_the_connection_goes_on_when_the_body_comes(planned: Site) -> None:
    body = b" " * 50_000
    async with connecting(planned) as raw:
        await raw.send(request(planned, HOOK, "POST", {}, body)[: -len(body)])
        assert (await raw.answer()).status == 401
        await raw.send(body)
        await raw.send(hook(planned))
        assert (await raw.answer()).status == 200
        assert (await planned.state()).json()["status"] == "live"


async def test_after_an_early_refusal_an_idle_connection_is_closed(hasty: Site) -> None:
    body = b" " * 50_000
    async with connecting(hasty) as raw:
        await raw.send(request(hasty, HOOK, "POST", {}, body)[: -len(body)])
        assert (await raw.answer()).status == 401
        await raw.send(body)
        assert await raw.rest() == b""


async def test_lines_that_begin_no_request_keep_no_connection_open(hasty: Site) -> None:
    async with connecting(hasty) as raw:
        await raw.send(request(hasty, "/healthz"))
        assert (await raw.answer()).status == 200
        await raw.send(b"\r\n")
        assert await raw.rest() == b""


async def test_a_second_request_has_its_time_too(hasty: Site) -> None:
    async with connecting(hasty) as raw:
        await raw.send(request(hasty, "/healthz"))
        assert (await raw.answer()).status == 200
        await raw.send(b"GET ")
        await ends(raw, "request_timeout")
    async with connecting(hasty) as pipelined:
        await pipelined.send(request(hasty, "/healthz") + b"GET ")
        assert (await pipelined.answer()).status == 200
        await ends(pipelined, "request_timeout")


async def test_a_connection_takes_one_request_after_the_other(planned: Site) -> None:
    async with connecting(planned) as raw:
        for _ in range(3):
            await raw.send(request(planned, "/healthz") + b"\r\n")
            assert (await raw.answer()).status == 200


async def test_requests_in_one_segment_are_answered_in_their_order(planned: Site) -> None:
    async with connecting(planned) as raw:
        await raw.send(hook(planned) + request(planned, "/nothing") + hook(planned) + request(planned, "/healthz"))
        assert [(await raw.answer()).status for _ in range(4)] == [200, 404, 200, 200]


async def test_garbage_behind_a_request_does_not_cost_its_answer(planned: Site) -> None:
    for garbage in (b"\0garbage\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 2 * MAX_REQUEST_HEAD + b"\r\n\r\n"):
        async with connecting(planned) as raw:
            await raw.send(hook(planned) + garbage)
            answer = await raw.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await raw.rest() == b""


async def test_half_a_request_behind_a_whole_one_is_timed_out(hasty: Site) -> None:
    async with connecting(hasty) as raw:
        await raw.send(hook(hasty) + b"GET / HT")
        assert (await raw.answer()).status == 200
        await ends(raw, "request_timeout")


async def test_a_request_behind_one_that_was_refused_is_not_done(planned: Site) -> None:
    before = await planned.everything()
    async with connecting(planned) as raw:
        await raw.send(request(planned, "/" + "a" * MAX_REQUEST_HEAD) + hook(planned))
        await ends(raw, "head_too_large")
    assert await planned.everything() == before


async def test_a_handshake_waits_for_the_answer_before_it(planned: Site) -> None:
    async with connecting(planned) as raw:
        await raw.send(hook(planned) + handshake(planned))
        answer = await raw.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await raw.rest() == b""
    async with connecting(planned) as raw:
        await raw.send(hook(planned))
        assert (await raw.answer()).status == 200
        await raw.send(handshake(planned))
        assert (await raw.answer()).status == 101


async def test_an_upgrade_to_something_else_is_an_ordinary_request(planned: Site) -> None:
    async with connecting(planned) as raw:
        await raw.send(request(planned, "/healthz", "GET", {"Connection": "Upgrade", "Upgrade": "h2c"}))
        assert (await raw.answer()).status == 200


async def test_a_caller_that_does_not_read_its_answers_is_disconnected(hasty: Site) -> None:
    asked = request(hasty, "/static/app.css") * 100
    async with connecting(hasty, receive_buffer=4096) as raw:
        for _ in range(20):
            raw.writer.write(asked)

        async def gone() -> bool:
            raw.writer.write(b"x")
            return raw.writer.transport.is_closing()

        assert await eventually(gone, "the server hung up")
    await served(hasty)


async def test_a_caller_that_reads_slowly_gets_all_answers(planned: Site) -> None:
    async with connecting(planned, receive_buffer=4096) as raw:
        await raw.send(request(planned, "/static/app.css") * 50)
        sizes = {len((await raw.answer()).body) for _ in range(50)}
    assert sizes == {len((await planned.http.get("/static/app.css")).content)}


async def test_half_a_request_behind_one_that_takes_long_is_not_waited_for(valkey_url: str) -> None:
    async with proxy_to(valkey_url) as proxy, serving(settings_for(proxy.url), http=Hasty) as site:
        await site.transactions.create(room())
        async with connecting(site) as raw:
            proxy.delay = 0.7
            await raw.send(hook(site) + hook(site)[:-1])
            assert await raw.rest() == b""
            proxy.delay = 0.0


class Promptness(BoundedHttp):
    """Records of each connection whether Nagle's algorithm is on, by which small answers wait 40 ms for an ACK."""

    noted: ClassVar[list[int]] = []

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.noted.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def test_an_answer_does_not_wait_for_an_acknowledgement(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url), http=Promptness) as site:
        await served(site)
    assert [bool(noted) for noted in Promptness.noted] == [True]


def test_an_address_can_be_taken_again_at_once() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        first.listen()
        with socket.create_connection(("127.0.0.1", port)), first.accept()[0]:
            pass
    with bind("127.0.0.1", port) as second:
        assert second.getsockname() == ("127.0.0.1", port)


def test_an_address_that_somebody_has_cannot_be_taken() -> None:
    with bind("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", first.getsockname()[1])


def test_an_ipv6_address_can_be_taken() -> None:
    with bind("::1", 0) as listening:
        assert listening.family is socket.AF_INET6


def test_workers_may_be_given_the_name_of_a_factory() -> None:
    assert uvicorn_config("room_server.app:from_environment").factory
    assert uvicorn_config("room_server.app:from_environment", workers=3).workers == 3
