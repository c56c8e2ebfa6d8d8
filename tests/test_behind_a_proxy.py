"""The files of `deploy/` for nginx and Caddy, run by the real programs before two real web processes."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from room_server import auth
from room_server.channels import keepalive
from room_server.protocols.bounded_http import uvicorn_config
from room_server.state.startup import open_state
from tests.support import PATIENCE, TOKEN_SECRET, eventually, next_state, room, settings_for, transactions
from tests.terminal import Running, running

DEPLOY = Path(__file__).parents[1] / "deploy"
NGINX, CADDY = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"), shutil.which("caddy")
ADDRESSES = ["127.0.0.1:8000", "127.0.0.1:8001"]
"""What the files name as the web processes."""
RATE = 5
"""Requests a second and address; twice as many at once."""
LET_IN = {"https": 0.5, "http": 2.5}
"""Seconds until whoever must move is in again: nginx asks the next process at once, Caddy looks each second."""


class Front(NamedTuple):
    """A proxy that serves, the processes behind it, and how to speak to it."""

    address: str
    scheme: str
    behind: list[Running]
    url: str

    def client(self, source: str = "127.0.0.1") -> httpx.AsyncClient:
        """A caller from this address of the machine."""
        transport = httpx.AsyncHTTPTransport(verify=False, local_address=source)
        return httpx.AsyncClient(base_url=f"{self.scheme}://{self.address}", transport=transport, timeout=PATIENCE)

    def bearer(self, role: str, lead: str = "1") -> str:
        """A token for the webinar."""
        return auth.issue(settings_for(self.url), {"sub": lead, "role": role, "webinar_id": "w"}, 600)

    def socket(self, **more: Any) -> connect:
        """A room socket through the proxy, over TLS where it speaks it."""
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        secure: dict[str, Any] = {"ssl": trusting} if self.scheme == "https" else {}
        subprotocols = [Subprotocol("room.v1"), Subprotocol(f"room.bearer.{self.bearer('speaker')}")]
        address = f"{'wss' if secure else 'ws'}://{self.address}/rooms/w/socket"
        return connect(address, subprotocols=subprotocols, compression=None, **secure, **more)


def free_port() -> int:
    """One that nobody has at the moment."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


async def nginx(folder: Path, behind: list[str]) -> tuple[Process, str, str]:
    """Debian's nginx with our file, a certificate of its own, and ports that are free."""
    key, certificate, port = folder / "key.pem", folder / "certificate.pem", free_port()
    signed = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    made = await asyncio.create_subprocess_exec(
        *("openssl", *signed, "-subj", "/CN=rooms.example.org", "-keyout", str(key), "-out", str(certificate)),
        stderr=DEVNULL,
    )
    assert await made.wait() == 0
    ours = (DEPLOY / "nginx.conf").read_text("utf-8")
    for old, new in zip(ADDRESSES, behind, strict=True):
        ours = ours.replace(old, new)
    ours = ours.replace("listen 443", f"listen 127.0.0.1:{port}").replace("listen 80", f"listen {free_port()}")
    ours = re.sub(r"/etc/\S+/fullchain.pem", str(certificate), re.sub(r"/etc/\S+/privkey.pem", str(key), ours))
    (folder / "room-server.conf").write_text(ours, "utf-8")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"{'user root;' if os.geteuid() == 0 else ''}\nevents {{ worker_connections 256; }}\n"
        f"http {{ access_log off; {temporary} include {folder}/room-server.conf; }}\n",
        "utf-8",
    )
    words = [str(NGINX), "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    return await asyncio.create_subprocess_exec(*words), f"127.0.0.1:{port}", "https"


async def caddy(folder: Path, behind: list[str]) -> tuple[Process, str, str]:
    """Debian's Caddy with our file, without TLS: a certificate is not to be had here."""
    port = free_port()
    ours = (DEPLOY / "Caddyfile").read_text("utf-8")
    for old, new in zip(ADDRESSES, behind, strict=True):
        ours = ours.replace(old, new)
    ours = ours.replace("rooms.example.org {", f"http://127.0.0.1:{port} {{")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{ours}", "utf-8")
    home = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    words = [str(CADDY), "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]
    return await asyncio.create_subprocess_exec(*words, env=home, stderr=DEVNULL), f"127.0.0.1:{port}", "http"


Start = Callable[[Path, list[str]], Any]


@pytest.fixture(
    params=[
        pytest.param(nginx, marks=pytest.mark.skipif(NGINX is None, reason="nginx is not installed here")),
        pytest.param(caddy, marks=pytest.mark.skipif(CADDY is None, reason="caddy is not installed here")),
    ]
)
async def front(request: pytest.FixtureRequest, valkey_url: str, tmp_path: Path) -> AsyncIterator[Front]:
    """Two web processes with a webinar, behind one proxy."""
    start: Start = request.param
    settings = {
        "ROOM_SERVER_REDIS_URL": valkey_url,
        "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
        "ROOM_SERVER_MAX_REQUESTS_PER_ADDRESS": str(RATE),
        "FORWARDED_ALLOW_IPS": "127.0.0.1",
    }
    async with contextlib.AsyncExitStack() as stack:
        state = await stack.enter_async_context(open_state(settings_for(valkey_url)))
        await transactions(state.store).create(room())
        web = ("web", "--port", "0")
        behind = [await stack.enter_async_context(running(*web, **settings)) for _ in ADDRESSES]
        process, address, scheme = await start(tmp_path, [one.address.removeprefix("http://") for one in behind])
        try:
            made = Front(address, scheme, behind, valkey_url)
            await eventually(lambda: _answers(made), "the proxy serves")
            yield made
        finally:
            ended = process.returncode
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
        assert ended is None, f"the proxy ended by itself, with {ended}"


async def _answers(front: Front) -> bool:
    async with front.client("127.0.0.9") as http:
        try:
            return (await http.get("/healthz")).status_code == 200
        except httpx.TransportError:
            return False


async def test_hooks_and_sockets_pass(front: Front) -> None:
    own = {"Origin": f"{front.scheme}://{front.address}", "Cookie": "c" * 12_000}  # of the parent domain
    async with front.client() as http, front.socket(additional_headers=own) as held:
        first = await next_state(held)
        answer = await http.post(
            "/hooks/core_webinar_set_status",
            json={"webinar_id": "w", "status": "start"},
            headers={"Authorization": f"Bearer {front.bearer('speaker')}"},
        )
        second = await next_state(held)
        metrics = await http.get("/metrics")

    assert (answer.status_code, first["status"], second["status"]) == (200, "scheduled", "live")
    assert metrics.status_code == 404
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed here")
@pytest.mark.parametrize("front", [nginx], indirect=True)
async def test_a_request_without_a_host_header_has_a_host_all_the_same(front: Front) -> None:
    """As every request over HTTP/3, where the host is in `:authority`: nginx has no `$http_host` of it."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    name, port = front.address.split(":")
    reader, writer = await asyncio.open_connection(name, int(port), ssl=trusting)
    writer.write(b"GET /webinars HTTP/1.0\r\n\r\n")
    status = await asyncio.wait_for(reader.readline(), PATIENCE)
    writer.close()

    assert status.split()[1] == b"200"


async def test_callers_are_told_apart_and_cannot_lie_about_who_they_are(front: Front) -> None:
    async with front.client("127.0.0.2") as eager, front.client("127.0.0.3") as other:
        lies = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(8 * RATE)]
        answers = await asyncio.gather(*(eager.get("/webinars", headers=lie) for lie in lies))
        answer = await other.get("/webinars")

    assert {answer.status_code for answer in answers} == {200, 429}
    assert answer.status_code == 200


async def test_a_process_that_leaves_is_missed_by_nobody(front: Front) -> None:
    """Each of its sockets is asked to come back and is let in by the other one, while it still says goodbye."""
    leaving, staying = front.behind
    async with front.client("127.0.0.4") as http, contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(front.socket()) for _ in range(4)]
        for one in held:
            await next_state(one)
        async with asyncio.TaskGroup() as tasks:
            moves = [tasks.create_task(_moves(front, one)) for one in held]
            leaving.process.send_signal(signal.SIGTERM)
            status = await leaving.process.wait()
            still = [move for move in moves if not move.done()]
            for move in still:
                move.cancel()
        after = await http.get("/webinars")
        alone = await http.get(f"{staying.address}/readyz")

    assert status in {0, -signal.SIGTERM}
    assert [len(still), len(moves) - len(still)] == [2, 2]
    assert (after.status_code, alone.status_code) == (200, 200)


async def _moves(front: Front, held: Any) -> None:
    """What a page does: once it is asked to come back, a new socket through the proxy, and the state on it."""
    asked = json.loads(await held.recv())
    assert asked["type"] == "reconnect"

    async def let_in() -> bool:
        with contextlib.suppress(InvalidStatus):
            async with front.socket() as again:
                return bool((await next_state(again))["type"] == "state")
        return False

    await eventually(let_in, "the other process takes it", LET_IN[front.scheme])


def test_the_times_fit_the_servers() -> None:
    """A silent socket outlives the ping; a kept connection is let go by the proxy first."""
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    seconds = {name: int(value) for name, value in re.findall(r"(\w+)\s+(\d+)s;", text)}
    kept = uvicorn_config("room_server.app:from_environment").timeout_keep_alive

    assert seconds["proxy_read_timeout"] > keepalive.PING_AFTER + keepalive.GONE_AFTER
    assert seconds["proxy_send_timeout"] > keepalive.PING_AFTER + keepalive.GONE_AFTER
    assert seconds["keepalive_timeout"] < kept
    assert int(re.findall(r"keepalive (\d+)s", (DEPLOY / "Caddyfile").read_text("utf-8"))[0]) < kept
