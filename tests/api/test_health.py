"""Alive and ready: what a platform asks before it sends callers, and before it restarts a process.

Without Redis: test_outage.py.
"""

import asyncio

import pytest

from room_server.state.heartbeat import Report, TelegramStatus, announce
from room_server.state.startup import open_state
from room_server.worker import working_beside
from tests.outage import own_redis
from tests.site.sending import known
from tests.support import Site, eventually, serving, settings_for


async def test_a_process_that_serves_is_alive_and_ready(site: Site) -> None:
    alive, ready = await asyncio.gather(site.http.get("/healthz"), site.http.get("/readyz"))
    assert (alive.status_code, alive.json()) == (200, {"alive": True})
    assert (ready.status_code, ready.json()) == (
        200,
        {
            "ready": True,
            "parts": {
                "redis": True,
                "listener": True,
                "serving": True,
                "worker": "missing",
                "telegram": "unknown",
                "site_events": "none",
                "partitions_away": [],
            },
        },
    )
    assert alive.headers["cache-control"] == ready.headers["cache-control"] == "no-store"


async def test_health_needs_no_token_and_is_only_read(site: Site) -> None:
    for address in ("/healthz", "/readyz"):
        assert (await site.http.head(address)).status_code == 200
        refused = await site.http.post(address)
        assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")


async def test_a_process_that_goes_away_is_not_ready(site: Site) -> None:
    site.inside.admission.draining = True
    answer = await site.http.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["serving"]) == (503, False)


async def worker(site: Site) -> str:
    """The state of the worker in `/readyz`, which is 200 whatever it is."""
    answer = await site.http.get("/readyz")
    assert answer.status_code == 200
    return str(answer.json()["parts"]["worker"])


async def test_a_worker_is_missed_and_the_site_serves_all_the_same(site: Site) -> None:
    async def says(word: str) -> bool:
        return await worker(site) == word

    async with open_state(site.settings) as state, working_beside(site.settings, state):
        await eventually(lambda: says("running"), "the worker's heart beats")

    assert await worker(site) == "missing"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (["ok"], "ok"),
        (["ok", "no_updates"], "no_updates"),
        (["no_updates", "no_answer"], "no_answer"),
        (["dry_run", "no_answer", "ok"], "dry_run"),
        (["proxy_unusable", "dry_run"], "proxy_unusable"),
        (["ok", "token_refused", "proxy_unusable"], "token_refused"),
        ([None], "unknown"),
    ],
)
async def test_of_what_the_workers_know_of_telegram_the_worst_is_told_and_the_site_serves(
    site: Site, found: list[TelegramStatus | None], told: str
) -> None:
    for number, status in enumerate(found):
        await announce(site.store, Report(node=f"w{number}", kind="worker", total=0, telegram=status))

    answer = await site.http.get("/readyz")

    assert (answer.status_code, answer.json()["ready"], answer.json()["parts"]["telegram"]) == (200, True, told)


async def test_of_the_worker_nothing_is_known_without_redis() -> None:
    async with own_redis() as server, serving(settings_for(server.url)) as site:
        server.freeze()
        answer = await site.http.get("/readyz")
        server.thaw()

    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert (answer.json()["parts"]["redis"], answer.json()["parts"]["worker"]) == (False, "unknown")


@pytest.mark.parametrize(
    ("fields", "told"), [({}, "ok"), ({"failures": 1}, "waiting"), ({"off_since": 1, "failures": 1}, "off")]
)
async def test_ready_tells_of_a_site_that_takes_no_events_and_serves_all_the_same(
    site: Site, fields: dict[str, int], told: str
) -> None:
    await known(site.store, "https://a.example/")
    await known(site.store, "https://b.example/", **fields)
    answer = await site.http.get("/readyz")

    assert (answer.status_code, answer.json()["parts"]["site_events"]) == (200, told)
