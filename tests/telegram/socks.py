"""A SOCKS 5 proxy on loopback (RFC 1928, CONNECT without authentication), and the variable that names a proxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest


class SocksProxy:
    """Where it listens as `host:port`, and how many connections it passed on."""

    def __init__(self, greeting: bytes | None) -> None:
        self.address = ""
        self.used = 0
        self._greeting = greeting

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        if self._greeting != ACCEPTED:
            writer.write(self._greeting or b"")
            await (reader.read() if self._greeting is None else writer.drain())
            writer.close()
            return
        writer.write(ACCEPTED)
        host, port = await self._target(reader)
        far_reader, far_writer = await asyncio.open_connection(host, port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        self.used += 1
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def _target(self, reader: asyncio.StreamReader) -> tuple[str, int]:
        kind = (await reader.readexactly(4))[3]
        length = 4 if kind == 1 else (await reader.readexactly(1))[0]
        host = await reader.readexactly(length)
        port = int.from_bytes(await reader.readexactly(2), "big")
        return ".".join(map(str, host)) if kind == 1 else host.decode(), port


ACCEPTED = b"\x05\x00"
"""The answer to the greeting: no authentication is needed."""


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes, until it ends."""
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def socks_proxy(greeting: bytes | None = ACCEPTED) -> AsyncIterator[SocksProxy]:
    """A proxy that passes on, or answers the greeting otherwise: with these bytes, and None: never."""
    proxy = SocksProxy(greeting)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    proxy.address = f"{host}:{port}"
    async with server:
        yield proxy


@asynccontextmanager
async def proxy_named(monkeypatch: pytest.MonkeyPatch, url: str) -> AsyncIterator[None]:
    """ALL_PROXY is this while the block runs, and no other proxy is named."""
    with monkeypatch.context() as environment:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            environment.delenv(name, raising=False)
            environment.delenv(name.upper(), raising=False)
        environment.setenv("ALL_PROXY", url)
        yield
