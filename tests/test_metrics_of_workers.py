"""GET /metrics of a host with several workers: any of them answers with the sums, also after one was killed."""

import os
import signal
from pathlib import Path

import httpx
from msgspec import json

from room_server import auth
from room_server.config import Settings
from room_server.telemetry.prometheus import P
from tests.api.test_metrics import samples
from tests.commands.test_web_workers import frozen, workers_of
from tests.support import AT, PATIENCE, TOKEN_SECRET, eventually, wait_until
from tests.terminal import Running, finished, running

ACCEPTED = 'room_server_hooks_total{code="ok",hook="core_webinar_set_cta_visibility"}'
SERIES = [P + "hooks_total", "core_webinar_set_cta_visibility", "ok"]
STARTED = 'process_start_time_seconds{{worker="{}"}}'


async def scraped(site: Running) -> dict[str, float]:
    """The metrics from any worker, on a new connection; none when that worker dies meanwhile."""
    try:
        async with httpx.AsyncClient(base_url=site.address, timeout=PATIENCE) as http:
            return samples((await http.get("/metrics")).text)
    except httpx.TransportError:
        return {}


async def hook(site: Running, name: str = "core_webinar_set_cta_visibility", **said: object) -> None:
    """Send a hook to any worker, on a new connection; it is accepted."""
    claims = {"sub": "s", "role": "speaker", "webinar_id": "demo"}
    bearer = auth.issue(Settings(token_secret=TOKEN_SECRET), claims, 600)
    payload = {"webinar_id": "demo", **(said or {"visible": True})}
    async with httpx.AsyncClient(base_url=site.address, timeout=PATIENCE) as http:
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = await http.post(f"/hooks/{name}", json=payload, headers=headers)
    assert answer.status_code == 200, answer.text


async def whole(site: Running, workers: int = 2) -> dict[str, float]:
    """The metrics, once so many workers are in them."""
    shown = await scraped(site)
    return shown if shown.get("room_server_web_processes") == workers == shown.get("room_server_subscribed") else {}


def kept(folder: Path) -> float:
    """The accepted hooks in the files that the workers share."""
    files = folder.glob("room-server-*/*.json")
    rows = [row for file in files for row in json.decode(file.read_bytes(), type=list[tuple[list[str], float]])]
    return sum(value for series, value in rows if series == SERIES)


async def renewed(site: Running, begun: set[float], seen: set[float]) -> bool:
    """Whether another worker has started; `seen` collects the counts of hooks shown meanwhile."""
    shown = await scraped(site)
    seen.update(value for name, value in shown.items() if name == ACCEPTED)
    times = {shown.get(STARTED.format(number), 0.0) for number in (0, 1)}
    return 0.0 not in times and times != begun


async def accepted(site: Running, count: int) -> bool:
    """Whether so many hooks are shown: another worker's are half a second old at most."""
    return (await scraped(site)).get(ACCEPTED) == count


async def test_any_worker_shows_the_sums_and_counters_survive_a_kill(valkey_url: str, tmp_path: Path) -> None:
    environment = {"ROOM_SERVER_REDIS_URL": valkey_url, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET}
    environment["TMPDIR"] = str(tmp_path)
    at = ("--at", AT.isoformat())
    assert (await finished("webinar", "create", "demo", "--title", "Launch", *at, **environment))[0] == 0
    async with running("web", "--port", "0", "--workers", "2", **environment) as site:
        shown = await eventually(lambda: whole(site), "both workers are there")
        await hook(site, "core_webinar_set_status", status="start")
        workers = workers_of(site.process.pid)
        for worker in workers:
            with frozen(worker):  # so the other one answers
                await hook(site)
        await wait_until(lambda: kept(tmp_path) == 2, "both have shown the other")
        for worker in workers:
            with frozen(worker):
                assert (await whole(site))[ACCEPTED] == 2
        begun = {shown[STARTED.format(number)] for number in (0, 1)}

        os.kill(workers[0], signal.SIGKILL)
        await wait_until(lambda: set(workers_of(site.process.pid)) - set(workers), "another worker is started")
        seen: set[float] = set()
        await eventually(lambda: renewed(site, begun, seen), "a scrape tells of the new worker")
        assert seen == {2}
        await hook(site)
        await eventually(lambda: accepted(site, 3), "the next hook is shown")
        assert (await site.end())[0] == 0
    assert list(tmp_path.iterdir()) == []
