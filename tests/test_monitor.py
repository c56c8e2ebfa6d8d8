"""Alive and ready: what a platform asks before it sends callers, and before it restarts a process.

Without Redis: test_outage.py.
"""

import asyncio

from tests.support import Site


async def test_a_process_that_serves_is_alive_and_ready(site: Site) -> None:
    alive, ready = await asyncio.gather(site.http.get("/healthz"), site.http.get("/readyz"))
    assert (alive.status_code, alive.json()) == (200, {"alive": True})
    assert (ready.status_code, ready.json()) == (
        200,
        {"ready": True, "parts": {"redis": True, "listener": True, "serving": True}},
    )
    assert alive.headers["cache-control"] == ready.headers["cache-control"] == "no-store"


async def test_health_is_nobodys_secret_and_nobodys_switch(site: Site) -> None:
    for address in ("/healthz", "/readyz"):
        assert (await site.http.head(address)).status_code == 200
        refused = await site.http.post(address)
        assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")


async def test_a_process_that_goes_away_is_not_ready(site: Site) -> None:
    site.inside["door"].draining = True
    answer = await site.http.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["serving"]) == (503, False)
