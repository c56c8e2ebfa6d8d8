"""`room-server demo` and `web` as processes: what they print, when they serve, how they end."""

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from room_server.commands.serve import address_of
from room_server.protocols.bounded_http import bind
from tests.outage import own_redis
from tests.support import PATIENCE, TOKEN_SECRET, wait_until
from tests.terminal import COMMAND, WAITS, Running, Starting, Terminal, finished, launched, running, starting

LINKS = ["schedule", "attendee", "attendee 2", "speaker", "report", "monitor"]


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


async def beside(*words: str) -> str:
    """What a command prints that runs beside a demo, in a thread of this process."""
    return await asyncio.to_thread(Terminal("").says, *words)


async def player_of(site: Running) -> str:
    """Where the demo's player is, as an attendee reads it."""
    async with httpx.AsyncClient(base_url=site.address) as http:
        headers = {"Authorization": f"Bearer {token_of(site.said[1])}"}
        url = str((await http.get("/rooms/demo/state", headers=headers)).json()["player_url"])
        assert (await http.get(url)).status_code == 200
    return url


async def test_a_demo_on_another_port_has_its_pages_there_and_keeps_what_the_operator_changed(tmp_path: Path) -> None:
    ports = []
    for _ in range(2):
        async with demo(tmp_path) as site:
            await post(site, "core_webinar_set_status", site.said[3], {"status": "start"})
            assert await player_of(site) == f"{site.address}/demo/player"
            ports.append(site.address)
            own = ("--title", "Mine", "--cta-url", "https://example.org/mine")
            await beside("webinar", "set", "demo", *own, "--data-dir", str(tmp_path))
            room = msgspec.json.decode(await beside("webinar", "show", "demo", "--json", "--data-dir", str(tmp_path)))
            await site.end()
        assert (room["title"], room["cta_url"]) == ("Mine", "https://example.org/mine")
        assert room["recording_url"] == f"{site.address}/demo/recording"
    assert len(set(ports)) == 2


def make_demo(folder: Path, *more: str) -> contextlib.AbstractAsyncContextManager[Starting]:
    """`make demo`, with what is installed here."""
    here = ["-o", ".venv/run", f"BIN={Path(sys.executable).parent}"]
    return launched("make", *here, "demo", *more, PORT="0", ROOM_SERVER_DATA_DIR=str(folder))


async def test_make_demo_goes_on_and_begins_anew_when_told(tmp_path: Path) -> None:
    codes = []
    for more in ((), ("FRESH=0",), ("FRESH=1",)):
        async with make_demo(tmp_path, *more) as starting_demo:
            site = await starting_demo.ready()
            stopped = await post(site, "core_webinar_set_status", site.said[3], {"status": "stop"})
            started = await post(site, "core_webinar_set_status", site.said[3], {"status": "start"})
            codes.append((stopped.json().get("code"), started.json().get("duplicate")))
    never_started = "webinar_state_invalid_stop"
    assert codes == [(never_started, False), (None, None), (never_started, False)]


OVER = "the webinar is over; --fresh (make demo FRESH=1) begins anew\n"


async def test_a_demo_that_is_over_prints_how_to_make_a_new_one(tmp_path: Path) -> None:
    async with demo(tmp_path) as site:
        for word in ("start", "stop"):
            await post(site, "core_webinar_set_status", site.said[3], {"status": word})
        assert OVER not in (await site.end())[1]
    async with demo(tmp_path) as site:
        assert OVER in site.told()


async def test_commands_work_beside_a_running_demo(tmp_path: Path) -> None:
    async with demo(tmp_path) as site:
        status, out, complaints = await finished("webinar", "list", ROOM_SERVER_DATA_DIR=str(tmp_path))
        assert (status, out.split()[:2], complaints) == (0, ["demo", "scheduled"], "")

        await beside("webinar", "set", "demo", "--title", "Changed", "--data-dir", str(tmp_path))
        async with httpx.AsyncClient(base_url=site.address, timeout=PATIENCE) as http:
            headers = {"Authorization": f"Bearer {token_of(site.said[1])}"}
            assert (await http.get("/rooms/demo/state", headers=headers)).json()["title"] == "Changed"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_a_demo_ends_in_order_and_without_a_traceback(tmp_path: Path, sent: signal.Signals) -> None:
    async with demo(tmp_path) as site:
        assert await site.end(sent) == (0, "")


async def test_the_port_comes_from_the_environment_unless_it_is_given(tmp_path: Path) -> None:
    with taken() as port:
        pass
    async with running("demo", "--data-dir", str(tmp_path), PORT=str(port)) as site:
        assert site.address == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("command", ["demo", "web"])
async def test_a_port_in_use_is_one_clear_message(tmp_path: Path, command: str) -> None:
    with taken() as port:
        status, out, complaints = await finished(command, "--data-dir", str(tmp_path), PORT=str(port))

    assert (status, out) == (1, "")
    assert complaints == f"Error: --port {port} of --host 127.0.0.1 cannot be had: Address already in use\n"


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
        ({"ROOM_SERVER_REDIS_URL": "redis://127.0.0.1:http"}, "ROOM_SERVER_REDIS_URL: a port is a number"),
        ({"ROOM_SERVER_REDIS_URL": "{url}?db=99"}, "does not take us: DB index is out of range"),
        ({"ROOM_SERVER_PARTITIONS": "7"}, "ROOM_SERVER_PARTITIONS is 7, but this Redis was first started with 1"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_cannot_be_run_is_one_clear_message(
    valkey_url: str, environment: dict[str, str], complaint: str, workers: str
) -> None:
    terminal = Terminal(valkey_url)
    terminal.says("webinar", "list", "--json")

    given = {name: value.format(url=valkey_url) for name, value in environment.items()}
    assert complaint in terminal.refuses("web", "--port", "0", "--workers", workers, **given)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--port", "70000"), "Invalid value for '--port'"),
        (("--workers", "0"), "Invalid value for '--workers'"),
        (("--workers", "1001"), "Invalid value for '--workers'"),
        (("--host", "no.such.host.invalid"), "--port 8000 of --host no.such.host.invalid cannot be had: "),
        (("--host", "192.0.2.1"), "--port 8000 of --host 192.0.2.1 cannot be had: "),
        (("--host", ""), "Invalid value for '--host': '' is no host"),
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


WEB = [("web", "--port"), ("web", "--workers", "2", "--port")]


@pytest.mark.parametrize("words", WEB, ids=" ".join)
async def test_it_waits_for_redis_refuses_connections_and_then_serves(words: tuple[str, ...]) -> None:
    with taken() as port:
        pass
    async with own_redis() as server, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        await server.kill()
        environment = {"ROOM_SERVER_REDIS_URL": server.url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
        async with starting(*words, str(port), **environment) as waiting:
            await wait_until(lambda: WAITS in waiting.told(), "it says what it waits for", PATIENCE)
            with pytest.raises(httpx.ConnectError):
                await http.get("/healthz")
            await server.start()
            site = await waiting.ready()
            assert (await http.get("/readyz", timeout=PATIENCE)).status_code == 200
            status, printed = await site.end()

    assert (status, printed.count(WAITS)) == (0, 1)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("words", WEB, ids=" ".join)
async def test_it_ends_at_once_while_it_waits(words: tuple[str, ...], sent: signal.Signals) -> None:
    environment = {"ROOM_SERVER_REDIS_URL": "unix:///nowhere/s", "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    async with starting(*words, "0", **environment, ROOM_SERVER_MAX_SOCKETS="500") as site:
        await wait_until(lambda: WAITS in site.told(), "it waits", PATIENCE)
        status, printed = await site.end(sent)

    assert (status, len(printed.splitlines())) == (0, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="a process shows its limits in /proc")
@pytest.mark.parametrize("words", WEB, ids=" ".join)
async def test_web_opens_as_many_files_as_it_may_and_says_once_when_that_is_too_few(
    words: tuple[str, ...], valkey_url: str
) -> None:
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    limited = ("bash", "-c", 'ulimit -Sn 256; ulimit -Hn 1024; exec "$@"', "-", *COMMAND, *words, "0")
    async with launched(*limited, **environment) as starting_up:
        site = await starting_up.ready()
        (soft, hard) = re.findall(r"^Max open files +(\d+) +(\d+)", limits(site), re.MULTILINE)[0]
        _, told = await site.end()

    assert (soft, hard) == ("1024", "1024")
    assert told.count("a process may open 1024 files, and 20000 sockets (ROOM_SERVER_MAX_SOCKETS) need 20300") == 1


def limits(site: Running) -> str:
    """The limits of the process."""
    return Path(f"/proc/{site.process.pid}/limits").read_text()
