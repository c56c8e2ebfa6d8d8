"""One primary of a Cluster gone, for a whole site: its rooms are away, everything else goes on and heals by itself."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from room_server.state.keys import SLOTS, slot
from tests.cluster import form, processes, url_of
from tests.support import Site, eventually, next_state, room, serving, settings_for, state_where, transactions

PARTITIONS = 8
NAMES = [f"w-{number}" for number in range(24)]


@asynccontextmanager
async def two_sites() -> AsyncIterator[tuple[Site, Site, subprocess.Popen[bytes]]]:
    """Two web processes on a Cluster with webinars in every partition, and the primary that is going to be away."""
    with processes(3) as started:
        ports = await asyncio.to_thread(form, list(started))
        settings = settings_for(url_of(ports), partitions=PARTITIONS, max_sockets_per_person=0, max_reads_per_person=0)
        async with serving(settings) as one, serving(settings) as other:
            for name in NAMES:
                await transactions(one.store).create(room(name))
            yield one, other, started[ports[2]]


async def ready(site: Site) -> dict[str, Any]:
    """The status and what `/readyz` says of the parts."""
    answer = await site.http.get("/readyz")
    return {"status": answer.status_code, **answer.json()["parts"]}


async def names(site: Site, address: str) -> set[str]:
    """The webinars that are listed there, or counted."""
    answer = await site.http.get(address, headers=site.bearer("monitor", "*"))
    assert answer.status_code == 200
    listed = answer.json()
    return {one["webinar_id"] for one in listed.get("webinars", listed.get("rooms"))}


async def starts(site: Site, name: str) -> bool:
    return (await site.status("start", name)).status_code == 200


async def test_a_primary_that_is_away_costs_its_own_rooms_only() -> None:
    async with two_sites() as (one, other, primary):
        tags = one.store.keys.tags
        away = [tag for tag in tags if slot(tag) >= SLOTS * 2 // 3]
        lost = next(name for name in NAMES if one.store.keys.tag(name) in away)
        kept, second, third = [name for name in NAMES if one.store.keys.tag(name) not in away][:3]
        assert [(await ready(site))["status"] for site in (one, other)] == [200, 200]
        async with one.socket(webinar_id=kept) as here, other.socket(webinar_id=lost) as there:
            await asyncio.gather(next_state(here), next_state(there))
            primary.send_signal(signal.SIGSTOP)

            async def known(site: Site) -> bool:
                return bool((await ready(site))["partitions_away"] == away)

            for site in (one, other):
                await eventually(partial(known, site), "it is known which are away")
            parts = await ready(one)
            assert (parts["status"], parts["redis"], parts["listener"], parts["worker"]) == (200, True, True, "unknown")
            assert await starts(other, kept)
            assert (await state_where(here, status="live"))["version"] == 2
            async with other.socket(webinar_id=second) as new:
                assert (await next_state(new))["status"] == "scheduled"
            assert (await one.state(webinar_id=third)).status_code == 200
            refused = await one.status("start", lost)
            assert (refused.status_code, refused.json()["code"]) == (503, "state_unavailable")
            there_still = {name for name in NAMES if one.store.keys.tag(name) not in away}
            assert await names(one, "/webinars") == there_still
            assert await names(one, "/monitor/counts") == {kept}
            measured = (await one.http.get("/metrics")).text
            assert f"room_server_partitions_away {len(away)}.0" in measured
            assert "room_server_subscribed 0.0" in measured

            primary.send_signal(signal.SIGCONT)
            await eventually(lambda: starts(one, lost), "its rooms can be changed again")
            assert (await state_where(there, status="live"))["version"] == 2

            async def healed() -> bool:
                return (await ready(one))["partitions_away"] == [] and await names(one, "/webinars") == set(NAMES)

            assert await eventually(healed, "everything is there again")
