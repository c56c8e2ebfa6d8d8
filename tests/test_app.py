"""A web process as a whole: addresses, what goes wrong, other origins, two processes on one Redis, vital tasks."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from room_server.config import PREFIX
from tests.support import (
    PATIENCE,
    TOKEN_SECRET,
    Site,
    next_state,
    persistent,
    room,
    serving,
    settings_for,
    state_where,
    transactions,
    wait_until,
)

ROOT = Path(__file__).parents[1]
ORIGIN = "https://site.example"


def told(answer: httpx.Response) -> tuple[int, str, str]:
    """The essence of a problem."""
    return answer.status_code, answer.headers["content-type"], answer.json()["code"]


async def test_an_address_that_is_not_there_is_a_problem(site: Site) -> None:
    hooks = ["/hooks", "/hooks/", "/hooks/a/b", "/hooks/core_webinar_set_status/"]
    rooms = ["/rooms", "/rooms/w", "/rooms/w/state/", "/rooms/w/socket", "/webinars/"]
    expected = (404, "application/problem+json", "not_found")
    for address in (*hooks, *rooms, "/%2e%2e/etc/passwd", "/%FF", "/nothing?x=1"):
        assert told(await site.http.post(address)) == expected, address


async def test_a_method_that_an_address_does_not_take_is_a_problem(site: Site) -> None:
    takes = {
        "/hooks/core_webinar_set_status": {"POST"},
        "/webinars": {"GET", "HEAD"},
        "/healthz": {"GET", "HEAD"},
        "/readyz": {"GET", "HEAD"},
        "/monitor/counts": {"GET", "HEAD"},
    }
    for address, allowed in takes.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} - allowed:
            answer = await site.http.request(method, address)
            assert told(answer) == (405, "application/problem+json", "method_not_allowed"), (method, address)
            assert set(answer.headers["allow"].split(", ")) == allowed, (method, address)


async def test_our_own_fault_is_a_problem_and_the_process_goes_on(site: Site) -> None:
    site.inside.read.counts = "rubbish in place of the part that answers"
    answer = await site.http.get("/monitor/counts", headers=site.bearer("monitor", "*"))
    assert told(answer) == (500, "application/problem+json", "internal_error")
    assert "rubbish" not in answer.text
    assert (await site.state(webinar_id="nowhere")).status_code == 404


@pytest.fixture
async def embedded(valkey_url: str) -> AsyncIterator[Site]:
    """A site that another one may embed."""
    async with serving(settings_for(valkey_url, allowed_origins=ORIGIN)) as site:
        await site.transactions.create(room())
        yield site


def allowed(answer: httpx.Response) -> str | None:
    """The origin that may read the answer."""
    origin: str | None = answer.headers.get("access-control-allow-origin")
    return origin


async def test_an_allowed_origin_may_send_hooks_and_read(embedded: Site) -> None:
    asks = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    wanted = "authorization,content-type,if-none-match"
    preflight = await embedded.http.options(
        "/hooks/core_webinar_set_status", headers={**asks, "Access-Control-Request-Headers": wanted}
    )
    assert (preflight.status_code, allowed(preflight)) == (200, ORIGIN)
    read = await embedded.state(Origin=ORIGIN)
    refused = await embedded.http.get("/rooms/w/state", headers={"Origin": ORIGIN})
    assert [(answer.status_code, allowed(answer)) for answer in (read, refused)] == [(200, ORIGIN), (401, ORIGIN)]
    assert {"ETag", "Retry-After"} <= set(read.headers["access-control-expose-headers"].split(", "))


async def test_no_other_origin_may_read(embedded: Site) -> None:
    for origin in ("https://evil.example", "https://site.example.evil.example", "http://site.example", "null"):
        answer = await embedded.state(Origin=origin)
        assert allowed(answer) is None, origin
        asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await embedded.http.options("/hooks/core_webinar_set_status", headers=asks)
        assert (preflight.status_code, allowed(preflight)) == (400, None), origin
        assert not {"access-control-allow-credentials"} & {*answer.headers, *preflight.headers}, origin


async def test_without_allowed_origins_there_is_no_cors(site: Site) -> None:
    assert allowed(await site.http.get("/webinars", headers={"Origin": ORIGIN})) is None


@contextlib.asynccontextmanager
async def holding(sites: list[Site], each: int) -> AsyncIterator[list[list[dict[str, Any]]]]:
    """The states that `each` sockets per site receive until the webinar is finished; complete after the block."""
    heard: list[list[dict[str, Any]]] = []

    async def listen(site: Site, states: list[dict[str, Any]]) -> None:
        async with site.socket() as socket:
            while not states or states[-1]["status"] != "finished":
                states.append(await next_state(socket))

    async with asyncio.TaskGroup() as listeners:
        for site in sites * each:
            heard.append([])
            listeners.create_task(listen(site, heard[-1]))
        await wait_until(lambda: all(heard), "everybody is in")
        yield heard


async def test_of_fifty_starts_at_two_processes_one_takes_effect_and_every_socket_gets_it_once(valkey_url: str) -> None:
    settings = settings_for(valkey_url, max_sockets_per_person=0)
    async with serving(settings) as one, serving(settings) as other:
        await transactions(one.store).create(room())
        async with holding([one, other], 10) as heard:
            starts = (partial((one, other)[number % 2].status, "start") for number in range(50))
            answers = await asyncio.gather(*map(persistent, starts))
            await other.status("stop")
    expected = {"webinar_id": "w", "status": "live", "version": 2, "cta_visibility": "hidden"}
    duplicates = [answer.json().pop("duplicate") for answer in answers]
    assert sorted(duplicates) == [False] + [True] * 49
    assert [answer.json() | expected for answer in answers] == [answer.json() for answer in answers]
    assert len(heard) == 20
    assert {tuple(state["version"] for state in states) for states in heard} == {(1, 2, 3)}


async def test_a_hook_at_one_process_reaches_the_sockets_of_both(valkey_url: str) -> None:
    settings = settings_for(valkey_url)
    async with serving(settings) as one, serving(settings) as other:
        await transactions(one.store).create(room())
        async with one.socket() as here, other.socket() as there:
            await one.status("start")
            assert await state_where(here, status="live") == await state_where(there, status="live")
            await other.status("stop")
            assert await state_where(here, status="finished") == await state_where(there, status="finished")
            assert (await one.state()).content == (await other.state()).content


async def test_a_storm_of_hooks_at_two_processes_never_goes_back(valkey_url: str) -> None:
    settings = settings_for(valkey_url, max_hooks_per_person=0)
    async with serving(settings) as one, serving(settings) as other:
        await transactions(one.store).create(room())
        async with holding([one, other], 4) as heard:
            await one.status("start")
            switches = [
                site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": visible})
                for visible in (True, False) * 10
                for site in (one, other)
            ]
            codes = {answer.status_code for answer in await asyncio.gather(*switches)}
            last = (await one.status("stop")).json()
    assert codes <= {200, 503}
    for states in heard:
        versions = [state["version"] for state in states]
        assert versions == sorted(set(versions))
        assert versions[-1] == last["version"]


SERVER = """
import asyncio, sys
from room_server import config
from room_server.telemetry import logs
from room_server.app import create_app
from room_server.protocols.bounded_http import bind, uvicorn_config
import os, uvicorn

class Broken:
    bucket = None

    def __init__(self, admission):
        self.admission = admission

    def on_timer(self, now):
        if self.admission.total:
            raise RuntimeError("broken as soon as somebody is in")
        return now

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        inside = self.lifespan.state["web"]
        inside.timers.schedule(Broken(inside.admission), 0.0)
        print(listening.getsockname()[1], flush=True)

logs.configure("json")
listening = bind("127.0.0.1", 0)
asyncio.run(Server(uvicorn_config(create_app(config.load(os.environ)))).serve([listening]))
"""


async def test_a_process_without_a_vital_task_sends_its_sockets_elsewhere_and_ends(site: Site) -> None:
    await site.transactions.create(room())
    environment = {
        **os.environ,
        f"{PREFIX}REDIS_URL": str(site.settings.redis_url),
        f"{PREFIX}TOKEN_SECRET": TOKEN_SECRET,
        f"{PREFIX}DRAIN_SECONDS": "0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    failing = Site(site.settings, f"127.0.0.1:{port}", site.store, site.raw)
    async with failing.http, failing.socket() as socket:
        assert (await next_state(socket))["status"] == "scheduled"
        await socket.wait_closed()
        assert socket.close_code == 1012
    _, log = await asyncio.wait_for(process.communicate(), PATIENCE)
    lines = [msgspec.json.decode(line) for line in log.splitlines()]
    assert process.returncode == -signal.SIGTERM
    assert [line["message"] for line in lines if line["level"] == "critical"] == [
        "a vital task failed; this process ends"
    ]


def from_environment(**settings: str) -> subprocess.CompletedProcess[str]:
    """The application of a worker process."""
    program = "from room_server.app import from_environment; print(len(from_environment().routes) > 5)"
    environment = {**os.environ, **{PREFIX + name: value for name, value in settings.items()}}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=ROOT, env=environment, text=True, check=False
    )


def test_a_worker_process_has_nothing_but_its_environment(tmp_path: Path) -> None:
    done = from_environment(DATA_DIR=str(tmp_path), LOG_FORMAT="json")
    assert (done.stdout, done.returncode) == ("True\n", 0)
    failed = from_environment(LOG_FORMAT="xml", PARTITIONS="none")
    assert failed.returncode != 0
    assert f"{PREFIX}LOG_FORMAT" in failed.stderr
    assert f"{PREFIX}PARTITIONS" in failed.stderr
