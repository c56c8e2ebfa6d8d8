"""An answer leaves in one packet; what uvicorn writes otherwise leaves as it comes."""

import socket
import struct

from room_server.protocols.one_write import CONTINUE, OneWrite
from tests.raw import Raw, connecting, request
from tests.support import Site, room

HEAD, BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", b"body"
DATA_SEGMENTS_IN = 152
"""Where Linux has the number of packets with data in `struct tcp_info`."""


class Recording:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def written(*writes: bytes, close: bool = False) -> list[bytes]:
    """What the transport is given when an answer is written so."""
    transport = Recording()
    answer = OneWrite(transport)
    for data in writes:
        answer.write(data)
    if close:
        answer.close()
    assert answer.is_closing() == transport.closed == close
    return transport.written


def test_the_head_goes_with_the_beginning_of_the_body() -> None:
    assert written(HEAD, BODY) == [HEAD + BODY]
    assert written(HEAD, b"bo", b"dy") == [HEAD + b"bo", b"dy"]
    assert written(HEAD, HEAD, HEAD) == [HEAD + HEAD, HEAD]


def test_an_answer_without_a_body_leaves() -> None:
    assert written(HEAD, b"") == [HEAD]


def test_the_caller_who_waits_with_its_body_is_told_to_go_on_at_once() -> None:
    assert written(CONTINUE) == [CONTINUE]
    assert written(CONTINUE, HEAD, BODY) == [CONTINUE, HEAD + BODY]


def test_what_was_begun_leaves_before_the_connection_is_closed() -> None:
    assert written(HEAD, close=True) == [HEAD]
    assert written(HEAD, BODY, close=True) == [HEAD + BODY]
    assert written(close=True) == []


def packets(raw: Raw) -> int:
    """How many packets with data have come."""
    info = raw.writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("I", info, DATA_SEGMENTS_IN)[0])


async def test_each_answer_is_one_packet(site: Site) -> None:
    await site.transactions.create(room())
    body = b'{"webinar_id":"w","status":"start"}'
    hook = request(site, "/hooks/core_webinar_set_status", "POST", site.bearer(), body)
    unchanged = {**site.bearer(), "If-None-Match": "*"}
    asked = [
        (hook, 200),
        (request(site, "/hooks/core_webinar_set_status", "POST", {}, body), 401),
        (request(site, "/hooks/none_such", "POST", {}, body), 404),
        (request(site, "/healthz"), 200),
        (request(site, "/rooms/w/state", headers=unchanged), 304),
    ]
    async with connecting(site) as raw:
        for number, (sent, status) in enumerate(asked, 1):
            await raw.send(sent)
            assert ((await raw.answer()).status, packets(raw)) == (status, number)
