"""The demo's own site: it hears what happens in the sample webinar, and only what the demo itself signed."""

import asyncio
from pathlib import Path

import httpx
from msgspec.structs import replace

from room_server.config import Settings
from room_server.demo_site import PATH, with_own_site
from tests.support import PATIENCE
from tests.terminal import Running, running


async def printed(demo: Running, word: str) -> list[str]:
    """The lines that it prints until one has this word."""
    assert demo.process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while not lines or word not in lines[-1]:
            lines.append((await demo.process.stdout.readline()).decode().rstrip("\n"))
            assert lines[-1], demo.told()
    return lines


def token(demo: Running, name: str) -> str:
    """The token in the link of this name."""
    (link,) = [line for line in demo.said if line.split("  ")[0] == name]
    return link.partition("#token=")[2]


async def test_the_newcomer_sees_the_site_hear_of_what_happens(tmp_path: Path) -> None:
    environment = {"HTTP_PROXY": "http://127.0.0.1:1"}  # as on many a laptop; no proxy leads to this machine
    async with (
        running("demo", "--port", "0", "--data-dir", str(tmp_path), **environment) as demo,
        httpx.AsyncClient(base_url=demo.address, trust_env=False) as http,
    ):
        speaker = {"Authorization": f"Bearer {token(demo, 'speaker')}"}
        attendee = {"Authorization": f"Bearer {token(demo, 'attendee')}"}
        for headers, hook, payload in (
            (speaker, "core_webinar_set_status", {"status": "start"}),
            (attendee, "client_webinar_entered", {"lead_id": 1, "timestamp": 1}),
            (speaker, "core_webinar_set_status", {"status": "stop"}),
            (attendee, "client_webinar_completed", {"lead_id": 1, "completed_at": 1}),
        ):
            answer = await http.post(f"/hooks/{hook}", json={"webinar_id": "demo", **payload}, headers=headers)
            assert answer.status_code == 200, answer.text
        lines = await printed(demo, "post_webinar_route")
        forged = await http.post(PATH, json={"data": {"events": []}})

    assert [line.split("  ")[:2] for line in lines] == [
        ["the site hears", hook]
        for hook in (
            *("core_webinar_set_status", "client_webinar_entered", "core_webinar_set_status"),
            *("client_webinar_completed", "webinar_completed"),
            *("client_webinar_attendance_classified", "post_webinar_route"),
        )
    ]
    assert '"route":"attended"' in lines[-1]
    assert forged.status_code == 401


def test_a_receiver_of_the_operators_goes_before_the_demos_own() -> None:
    own = Settings(site_events_url="https://site.example/events", site_events_secret="s")

    assert with_own_site(own, "http://127.0.0.1:8000") == (own, [])


def test_each_start_has_a_secret_of_its_own_and_the_address_of_the_demo() -> None:
    first, routes = with_own_site(Settings(), "http://127.0.0.1:8000")
    second, _ = with_own_site(Settings(), "http://127.0.0.1:8000")

    assert first.site_events_url == second.site_events_url == "http://127.0.0.1:8000/demo/events"
    assert first.site_events_secret != second.site_events_secret
    assert replace(first, site_events_url="", site_events_secret="") == Settings()
    assert [route.path for route in routes] == [PATH]
