"""`room-server demo` and `web` as processes: what they print, when they serve, how they end."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from room_server import auth
from room_server.commands.running import address_of
from room_server.config import Settings
from room_server.server import bind
from tests.support import PATIENCE, TOKEN_SECRET, next_state, state_where, wait_until
from tests.terminal import Running, Terminal, finished, running

LINKS = ["schedule", "attendee", "attendee 2", "speaker", "monitor"]


def demo(data: Path, *words: str, **environment: str) -> contextlib.AbstractAsyncContextManager[Running]:
    """The demo on a port of its own, on the embedded server in `data`."""
    return running("demo", "--port", "0", "--data-dir", str(data), *words, **environment)


def token_of(link: str) -> str:
    """The token in a printed link's fragment."""
    return link.rpartition("#token=")[2]


async def post(site: Running, hook: str, link: str, payload: dict[str, object]) -> httpx.Response:
    """Send a hook with the token of a printed link."""
    async with httpx.AsyncClient(base_url=site.address, timeout=PATIENCE) as http:
        headers = {"Authorization": f"Bearer {token_of(link)}"}
        return await http.post(f"/hooks/{hook}", json={"webinar_id": "demo", **payload}, headers=headers)


async def test_demo_prints_links_and_serves_once_it_says_ready(tmp_path: Path) -> None:
    async with demo(tmp_path) as site:
        assert site.address.startswith("http://127.0.0.1:")
        assert [re.split(r"\s+http", line)[0] for line in site.said] == LINKS
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            for line in site.said:
                page = await http.get(line[line.index("http") :])
                assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        answer = await post(site, "core_webinar_set_status", site.said[3], {"status": "start"})
        assert (answer.status_code, answer.json()["status"]) == (200, "live")


async def test_a_demo_that_is_there_is_left_as_it_is_and_fresh_makes_a_new_one(tmp_path: Path) -> None:
    async with demo(tmp_path) as site:
        await post(site, "core_webinar_set_status", site.said[3], {"status": "start"})
        await site.end()
    async with demo(tmp_path) as site:
        again = await post(site, "core_webinar_set_status", site.said[3], {"status": "start"})
        assert (again.json()["status"], again.json()["duplicate"]) == ("live", True)
        await site.end()
    async with demo(tmp_path, "--fresh") as site:
        stopped = await post(site, "core_webinar_set_status", site.said[3], {"status": "stop"})
        assert stopped.json()["code"] == "webinar_state_invalid_stop"


async def test_commands_work_beside_a_running_demo(tmp_path: Path) -> None:
    async with demo(tmp_path) as site:
        status, out, complaints = await finished("webinar", "list", ROOM_SERVER_DATA_DIR=str(tmp_path))
        assert (status, out.split()[:2], complaints) == (0, ["demo", "scheduled"], "")

        await finished("webinar", "set", "demo", "--title", "Changed", "--data-dir", str(tmp_path))
        async with httpx.AsyncClient(base_url=site.address, timeout=PATIENCE) as http:
            headers = {"Authorization": f"Bearer {token_of(site.said[1])}"}
            assert (await http.get("/rooms/demo/state", headers=headers)).json()["title"] == "Changed"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_a_demo_ends_in_order_and_without_a_traceback(tmp_path: Path, sent: signal.Signals) -> None:
    async with demo(tmp_path) as site:
        assert await site.end(sent) == (0, "")


async def test_the_port_comes_from_the_environment_unless_it_is_said(tmp_path: Path) -> None:
    with taken() as port:
        pass
    async with running("demo", "--data-dir", str(tmp_path), PORT=str(port)) as site:
        assert site.address == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("command", ["demo", "web"])
async def test_a_port_in_use_is_one_clear_message(tmp_path: Path, command: str) -> None:
    with taken() as port:
        status, out, complaints = await finished(command, "--data-dir", str(tmp_path), PORT=str(port))

    assert (status, out) == (1, "")
    assert complaints == f"Error: port {port} of 127.0.0.1 cannot be had: Address already in use; try --port\n"


@contextlib.contextmanager
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with bind("127.0.0.1", 0) as listening:
        listening.listen()
        yield listening.getsockname()[1]


async def test_links_lead_to_the_public_url_and_ready_names_this_machine(tmp_path: Path) -> None:
    async with demo(tmp_path, ROOM_SERVER_PUBLIC_URL="https://rooms.example.org/") as site:
        assert site.address.startswith("http://127.0.0.1:")
        assert site.said[0].split()[1] == "https://rooms.example.org/"
        assert all("https://rooms.example.org/" in line for line in site.said)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"ROOM_SERVER_TOKEN_SECRET": ""}, "ROOM_SERVER_TOKEN_SECRET is not set"),
        ({"ROOM_SERVER_TOKEN_PUBLIC_KEY": "junk"}, "ROOM_SERVER_TOKEN_PUBLIC_KEY: not a public key in PEM"),
        ({"ROOM_SERVER_REDIS_URL": "redis://127.0.0.1:1"}, "ROOM_SERVER_REDIS_URL: no answer from"),
        ({"ROOM_SERVER_PARTITIONS": "7"}, "ROOM_SERVER_PARTITIONS is 7, but this Redis was first started with 1"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_cannot_be_run_is_one_clear_message(
    valkey_url: str, environment: dict[str, str], complaint: str, workers: str
) -> None:
    terminal = Terminal(valkey_url)
    terminal.says("webinar", "list", "--json")

    assert complaint in terminal.refuses("web", "--port", "0", "--workers", workers, **environment)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--port", "70000"), "Invalid value for '--port'"),
        (("--workers", "0"), "Invalid value for '--workers'"),
        (("--host", "no.such.host.invalid"), "port 8000 of no.such.host.invalid cannot be had"),
    ],
)
def test_an_address_that_cannot_be_is_named(valkey_url: str, words: tuple[str, ...], complaint: str) -> None:
    assert complaint in Terminal(valkey_url).run("web", *words).stderr


def test_a_port_of_the_environment_that_cannot_be_is_named(valkey_url: str) -> None:
    complaint = Terminal(valkey_url).misunderstands("web", PORT="http")

    assert "'http' is no port from 0 to 65535 (--port goes before the environment's PORT)" in complaint


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")]
)
def test_an_address_can_be_opened_in_a_browser_here(host: str, shown: str) -> None:
    with bind(host, 0) as listening:
        assert address_of(listening) == f"http://{shown}:{listening.getsockname()[1]}"


async def test_a_hook_at_one_of_two_workers_is_heard_by_sockets_on_both(valkey_url: str) -> None:
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    at = ("--at", "2026-11-22T18:00:00Z")
    assert (await finished("webinar", "create", "demo", "--title", "Launch", *at, **environment))[0] == 0
    async with (
        running("web", "--port", "0", "--workers", "2", **environment) as site,
        contextlib.AsyncExitStack() as stack,
    ):
        sockets = []
        await wait_until(lambda: len(workers_of(site.process.pid)) == 2, "both workers are there")
        for worker in workers_of(site.process.pid):
            with frozen(worker):  # so the other one answers
                sockets.append(await stack.enter_async_context(on_socket(site)))
                assert (await next_state(sockets[-1]))["status"] == "scheduled"
        assert len(sockets) == 2
        link = f"#token={token('speaker')}"
        assert (await post(site, "core_webinar_set_status", link, {"status": "start"})).status_code == 200
        await asyncio.gather(*(state_where(one, status="live", version=2) for one in sockets))
        status, complaints = await site.end()
        assert (status, "Traceback" in complaints) == (0, False)


def token(role: str) -> str:
    """A token for the demo, signed as the processes verify."""
    return auth.issue(Settings(token_secret=TOKEN_SECRET), {"sub": role, "role": role, "webinar_id": "demo"}, 60)


def on_socket(site: Running) -> connect:
    """A moderator's socket on the demo."""
    offered = [Subprotocol("room.v1"), Subprotocol(f"room.bearer.{token('moderator')}")]
    return connect(f"{site.address.replace('http', 'ws')}/rooms/demo/socket", subprotocols=offered)


def workers_of(parent: int) -> list[int]:
    """The worker processes of a server (Linux's /proc)."""
    children = map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    return [child for child in children if b"spawn_main" in command_line(child)]


def command_line(process: int) -> bytes:
    """What a process was started with; nothing once it has gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


@contextlib.contextmanager
def frozen(process: int) -> Iterator[None]:
    """A process that does nothing meanwhile."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)
