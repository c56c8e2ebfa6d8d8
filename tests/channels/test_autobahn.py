"""All of Autobahn's cases, as `kosoku` runs them: those that apply to a server that reads no data pass.

The cases know of no room, so they connect to a gateway, which adds a room and a token to each handshake and drops the
snapshot.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from typing import Any

import pytest
from kosoku import FailureError, run_fuzzingclient

from room_server.errors import CLOSE_CODES, CloseCode
from tests.support import Site, room

READ_ONLY = CLOSE_CODES[CloseCode.READ_ONLY][1]

PASSES = "passes"
REFUSED = "closed with 1008 at the first data frame, and nothing comes back"
PLAIN = "closed cleanly, and was never compressed"

EXPECTED = {
    "1.*": (REFUSED, "an echo of a message is waited for: the room socket reads no data"),
    "2.*": (PASSES, "pings and pongs"),
    "3.[234]": (REFUSED, "a message goes before the frame with a reserved bit"),
    "3.*": (PASSES, "reserved bits"),
    "4.[12].[345]": (REFUSED, "a message goes before the frame with a reserved opcode"),
    "4.*": (PASSES, "reserved opcodes"),
    "5.[12]": (PASSES, "fragmented control frames"),
    "5.*": (REFUSED, "fragments of messages: already the first is data"),
    "6.*": (REFUSED, "UTF-8 of messages: no byte of theirs is read (that of a close frame is case 7.5.1)"),
    "7.1.[156]": (REFUSED, "a message, or a fragment of one, goes before the close frame"),
    "7.*": (PASSES, "the closing handshake and its codes"),
    "9.*": (REFUSED, "how fast large messages are echoed"),
    "10.*": (REFUSED, "a message in many fragments is echoed"),
    "12.*": (PLAIN, "compression of echoes: frames this small are sent as they are, and none is read"),
    "13.*": (PLAIN, "the same with other parameters of permessage-deflate"),
}
"""The result of each case, and why; the first pattern that fits counts."""
COUNTED = {PASSES: 55, REFUSED: 246, PLAIN: 216}


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the cases read their test data so
async def test_all_cases_that_apply_to_a_server_that_reads_nothing_pass(site: Site) -> None:
    await site.transactions.create(room())
    async with gateway_to(site) as address:
        with pytest.raises(FailureError) as failed:
            await run_fuzzingclient(address, concurrency=50)
    results = {case.case_id: result_of(case) for case in failed.value.results}
    assert {case: result for case, result in results.items() if result != expected(case)} == {}
    assert {result: list(results.values()).count(result) for result in COUNTED} == COUNTED


def expected(case_id: str) -> str:
    """The result that the table expects of a case."""
    return next(result for pattern, (result, _) in EXPECTED.items() if fnmatchcase(case_id, pattern))


def result_of(case: Any) -> str:
    """The result of a case, as the table names it."""
    if case.remote_close_reason == READ_ONLY and not case.received:
        return REFUSED
    if case.passed:
        return PASSES
    if (case.behavior.value, case.behavior_close.value) == ("UNIMPLEMENTED", "OK"):
        return PLAIN
    return f"{case.behavior.value}: {case.result} {case.behavior_close.value}: {case.result_close}"


class Gateway:
    """Passes bytes on as they come, half-closes included, once the handshake is over."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._leads = itertools.count(1)
        self._connections: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def end(self) -> None:
        """Cut every connection."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        site_reader, site_writer = await asyncio.open_connection(*self._site.address.split(":"))
        with contextlib.closing(writer), contextlib.closing(site_writer), contextlib.suppress(ConnectionError):
            site_writer.write(self._request(await reader.readuntil(b"\r\n\r\n")))
            writer.write(await _answer(site_reader))
            await asyncio.gather(_copy(reader, site_writer), _copy(site_reader, writer))

    def _request(self, head: bytes) -> bytes:
        """The client's own handshake, sent to a room with an attendee's token."""
        _, _, fields = head.partition(b"\r\n")
        token = self._site.token("attendee", sub=str(next(self._leads)))  # one person may hold a few sockets only
        ours = f"Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: room.v1\r\n"
        return b"GET /rooms/w/socket HTTP/1.1\r\n" + ours.encode() + fields


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The answer without the subprotocol that the client did not ask for, and without the snapshot behind it."""
    head = await reader.readuntil(b"\r\n\r\n")
    _, size = await reader.readexactly(2)
    size = int.from_bytes(await reader.readexactly(2)) if size == 126 else size
    await reader.readexactly(size)
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"sec-websocket-protocol"))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@asynccontextmanager
async def gateway_to(site: Site) -> AsyncIterator[str]:
    """The address that the cases connect to."""
    gateway = Gateway(site)
    server = await asyncio.start_server(gateway.connected, "127.0.0.1")
    host, port = server.sockets[0].getsockname()
    try:
        yield f"ws://{host}:{port}"
    finally:
        server.close()
        await gateway.end()
        await server.wait_closed()
