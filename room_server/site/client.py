"""One try to deliver a batch over HTTP, and its answer. Nothing is retried here.

No redirect is followed, no cookie is kept, and of an answer no more than its beginning is read.
"""

import asyncio
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

from room_server.core.site_delivery import Answer, AnswerKind, Receiver, kind_of
from room_server.proxy import UnusableProxy, proxy_to
from room_server.site.batch import Batch, headers

ANSWER_SECONDS = 15.0
"""The whole request: connecting, writing, and the answer to its last byte."""
MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are read at most; what is longer is judged by its beginning."""
KEEP_SECONDS = 3.0
"""How long an idle connection is used again: less than servers keep one."""
HEADERS = {
    "user-agent": f"room-server/{version('room-server')}",
    "content-type": "application/json",
    "accept-encoding": "identity",
}


class Client:
    """Posts to one receiver. `fault` says why that cannot be: then no request is made, and every try fails."""

    def __init__(self, url: str, secrets: Sequence[bytes], http: httpx.AsyncClient, fault: str = "") -> None:
        self.receiver = Receiver.of(url)
        self._url = httpx.URL(url).copy_with(userinfo=b"")  # libraries log it
        self._secrets = secrets
        self._http = http
        self._fault = fault
        self.seconds = ANSWER_SECONDS

    async def post(self, batch: Batch) -> Answer:
        """The answer; whatever goes wrong is one, too."""
        if self._fault:
            return Answer(AnswerKind.FAILED, self._fault)
        try:
            async with asyncio.timeout(self.seconds):
                return await self._answer(batch)
        except TimeoutError:
            return Answer(AnswerKind.FAILED, f"no answer in {self.seconds:.0f} s")
        except Exception as error:  # whatever it is, the events stay and are tried again
            return Answer(AnswerKind.FAILED, _described(error))

    async def _answer(self, batch: Batch) -> Answer:
        signed = headers(batch, self._secrets, int(time.time()))
        request = self._http.build_request("POST", self._url, content=batch.body, headers={**HEADERS, **signed})
        response = await self._http.send(request, stream=True)
        try:
            body = await _beginning(response) if response.is_success else b""
        finally:
            await response.aclose()
            self._http.cookies.clear()
        kind = kind_of(response.status_code, body)
        page = ", a page of HTML" if response.is_success and kind is AnswerKind.FAILED else ""
        return Answer(kind, f"HTTP {response.status_code}{page}", _retry_after(response.headers.get("retry-after", "")))


async def _beginning(response: httpx.Response) -> bytes:
    """The beginning of the body; all of it when it is short, so that a broken one is noticed."""
    raw = b""
    try:
        async for chunk in response.aiter_raw():
            raw += chunk
            if len(raw) > MAX_ANSWER:
                await response.aclose()  # ends the loop with an error; to leave it would leave its generators open
    except (httpx.ReadError, httpx.StreamError):
        if len(raw) <= MAX_ANSWER:
            raise
    if response.headers.get("content-encoding", "").lower() in {"gzip", "x-gzip", "deflate"}:
        with suppress(zlib.error):
            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(raw, MAX_ANSWER)
    return raw


def _retry_after(value: str) -> float:
    """The seconds that a Retry-After asks for, as a number or as a date (RFC 9110, 10.2.3); 0 for anything else."""
    if value.strip().isdecimal() and len(value) < 10:
        return float(value)
    with suppress(ValueError, TypeError, OverflowError):
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # the form of asctime names no zone, and means UTC
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - time.time())
    return 0.0


def _described(error: Exception) -> str:
    """The error in at most 200 characters."""
    return f"{type(error).__name__}: {error}"[:200].rstrip(": ")


def _is_loopback(url: str) -> bool:
    """Whether it is an address of this machine, to which no proxy leads."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@asynccontextmanager
async def open_client(url: str, secrets: Sequence[bytes]) -> AsyncIterator[Client]:
    """A client of the receiver at `url`; its connections are closed when the block ends."""
    proxy, fault = None, ""
    certificates: ssl.SSLContext | bool = True
    try:
        setting = None if _is_loopback(url) else proxy_to(url)
        proxy = setting.proxy if setting else None
        certificates = httpx.create_ssl_context()
    except UnusableProxy as error:
        fault = str(error)
    except OSError as error:
        fault = f"SSL_CERT_FILE names no file of certificates: {error}"
    async with httpx.AsyncClient(
        auth=_login(url),
        proxy=proxy,
        trust_env=False,  # it would read the proxies again, and fail at what it cannot read
        verify=certificates,
        timeout=ANSWER_SECONDS,
        limits=httpx.Limits(keepalive_expiry=KEEP_SECONDS),
    ) as http:
        yield Client(url, secrets, http, fault)


def _login(url: str) -> httpx.BasicAuth | None:
    """What the address has as user and password."""
    parts = httpx.URL(url)
    return httpx.BasicAuth(parts.username, parts.password) if parts.userinfo else None
