"""One try, and what every kind of answer is taken for: against a real server that behaves so."""

import asyncio
import base64
import gzip
import logging
import os
import ssl
import subprocess
import sys
import time
from asyncio.subprocess import PIPE
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import pytest

from room_server.core.site_delivery import Answer, AnswerKind
from room_server.site.client import MAX_ANSWER, open_client
from tests.cluster import free_ports
from tests.site.receiver import Behaviour, SiteReceiver, answer, drip, half, site_receiver, slow, take_and_crash
from tests.site.test_batch import batch
from tests.support import PATIENCE


async def posted(url: str) -> Answer:
    """The answer to one request."""
    async with open_client(url, [b"k" * 32]) as client:
        return await client.post(batch(1))


async def answered(site: SiteReceiver, behaviour: Behaviour) -> Answer:
    """The same, to a site that behaves so."""
    site.next.append(behaviour)
    return await posted(site.url)


@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        (answer(200, b"{}"), "taken", "HTTP 200"),
        (answer(204), "taken", "HTTP 204"),
        (answer(200, b"x" * 10 * MAX_ANSWER), "taken", "HTTP 200"),
        (answer(200, b" <!doctype html><title>Suspended"), "failed", "HTTP 200, a page of HTML"),
        (answer(200, gzip.compress(b"<html>"), content_encoding="gzip"), "failed", "HTTP 200, a page of HTML"),
        (answer(200, b"not gzip", content_encoding="gzip"), "taken", "HTTP 200"),
        (answer(301, location="/elsewhere"), "failed", "HTTP 301"),
        (answer(307, location="/elsewhere"), "failed", "HTTP 307"),
        (answer(413), "refused", "HTTP 413"),
        (answer(410), "gone", "HTTP 410"),
        (answer(401), "failed", "HTTP 401"),
        (answer(500, b"<html>"), "failed", "HTTP 500"),
    ],
)
async def test_an_answer_is_taken_for_what_the_contract_says(
    heard: SiteReceiver, behaviour: Behaviour, kind: str, words: str
) -> None:
    assert await answered(heard, behaviour) == Answer(AnswerKind(kind), words)
    assert len(heard.requests) == 1  # no redirect is followed


async def test_an_answer_that_comes_before_the_body_was_read_is_taken_for_what_it_says() -> None:
    """A server that looks at the length alone answers, and resets the connection."""

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hasty, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await posted(f"http://127.0.0.1:{port}/") == Answer(AnswerKind.REFUSED, "HTTP 413")


@pytest.mark.parametrize(
    ("behaviour", "words"), [(half, "RemoteProtocolError"), (take_and_crash, "RemoteProtocolError")]
)
async def test_a_broken_answer_is_none(heard: SiteReceiver, behaviour: Behaviour, words: str) -> None:
    made = await answered(heard, behaviour)

    assert made.kind is AnswerKind.FAILED
    assert words in made.words or "ReadError" in made.words


@pytest.mark.parametrize("behaviour", [slow(3600), drip])
async def test_the_whole_answer_has_fifteen_seconds(heard: SiteReceiver, behaviour: Behaviour) -> None:
    """An answer that comes byte by byte, too; the test waits for one of the fifteen."""
    heard.next.append(behaviour)
    async with asyncio.timeout(PATIENCE), open_client(heard.url, [b"k" * 32]) as client:
        assert client.seconds == 15
        client.seconds = 1.0
        made = await client.post(batch(1))

    assert made == Answer(AnswerKind.FAILED, "no answer in 1 s")


async def test_retry_after_is_read_as_a_number_and_as_a_date(heard: SiteReceiver) -> None:
    asked = await answered(heard, answer(429, retry_after="120"))
    dated = await answered(heard, answer(503, retry_after=formatdate(time.time() + 600, usegmt=True)))
    past = await answered(heard, answer(503, retry_after=formatdate(time.time() - 600, usegmt=True)))
    nonsense = [await answered(heard, answer(503, retry_after=text)) for text in ("soon", "-5", "1e9", "9" * 30, "²")]

    assert asked.retry_after == 120
    assert 300 < dated.retry_after <= 600
    assert past.retry_after == 0
    assert [made.retry_after for made in nonsense] == [0.0] * 5


@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"])
async def test_every_form_of_a_date_is_utc_wherever_the_worker_is(heard: SiteReceiver, form: str) -> None:
    """RFC 9110, 5.6.7: a date may also come in the forms of RFC 850 and of asctime, which names no zone."""
    asked = datetime.now(UTC) + timedelta(minutes=10)
    heard.usual = answer(503, retry_after=asked.strftime(form))
    program = f"import asyncio; from tests.site.test_client import posted; print(asyncio.run(posted({heard.url!r})))"

    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        environment = {**os.environ, "TZ": zone}
        running = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment, stdout=PIPE)
        said, _ = await running.communicate()
        assert 300 < float(said.decode().partition("retry_after=")[2].rstrip(")\n")) <= 600


async def test_a_cookie_is_not_sent_back(heard: SiteReceiver) -> None:
    heard.usual = answer(200, set_cookie="a=b")
    async with open_client(heard.url, [b"k" * 32]) as client:
        for _ in range(2):
            await client.post(batch(1))

    assert [request.headers.get("cookie") for request in heard.requests] == [None, None]


async def test_user_and_password_of_the_address_are_sent_and_not_told(
    heard: SiteReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    heard.next.append(answer(503))
    async with open_client(heard.url.replace("//", "//me:p%40:hunter2@"), [b"k" * 32]) as client:
        made = await client.post(batch(1))
        assert "hunter2" not in f"{client.receiver}{made}{caplog.text}"
    (request,) = heard.requests

    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"me:p@:hunter2"
    assert "@" not in request.headers["host"]


async def test_nobody_there_and_a_name_that_nobody_knows_are_a_site_that_is_down() -> None:
    (port,) = free_ports(1)
    refused = await posted(f"http://127.0.0.1:{port}/")
    unknown = await posted("http://no-such-host.invalid/")

    assert {refused.kind, unknown.kind} == {AnswerKind.FAILED}
    assert refused.words.startswith("ConnectError")
    assert unknown.words.startswith("ConnectError")


async def test_a_certificate_that_nobody_vouches_for_is_a_site_that_is_down(tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout key -out certificate"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    async with site_receiver(secure=context) as site:
        made = await posted(site.url)

    assert made.kind is AnswerKind.FAILED
    assert "CERTIFICATE_VERIFY_FAILED" in made.words
    assert site.requests == []


async def test_a_proxy_of_the_environment_is_used(heard: SiteReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    heard.next.append(answer(200))
    monkeypatch.setenv("HTTP_PROXY", heard.url.removesuffix("/events"))
    made = await posted("http://site.example/events")

    assert made.kind is AnswerKind.TAKEN
    assert heard.requests[0].headers[":first"] == "POST http://site.example/events HTTP/1.1"


async def test_this_machine_is_reached_without_a_proxy(heard: SiteReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    by_name = heard.url.replace("127.0.0.1", "localhost")

    heard.usual = answer(200)
    assert [(await posted(heard.url)).words, (await posted(by_name)).words] == ["HTTP 200", "HTTP 200"]
    assert len(heard.requests) == 2


@pytest.mark.parametrize("content", [None, b"no certificate"])
async def test_certificates_that_cannot_be_read_fail_every_try(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They end no worker, which evaluates, too."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    made = await posted("https://site.example/events")

    assert made.kind is AnswerKind.FAILED
    assert made.words.startswith("SSL_CERT_FILE names no file of certificates: ")


async def test_a_variable_that_names_no_proxy_fails_every_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://me:hunter2@proxy")
    made = await posted("http://site.example/events")

    assert made.kind is AnswerKind.FAILED
    assert made.words.startswith("HTTP_PROXY names no proxy")
    assert "hunter2" not in made.words
