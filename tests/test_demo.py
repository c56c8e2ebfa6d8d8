"""The sample webinar of `room-server demo`."""

import time
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest

from room_server import demo
from room_server.auth import Authenticator
from room_server.config import Settings
from room_server.core.messages import Role
from room_server.core.planning import Plan, amend
from room_server.core.room import Status
from room_server.state import roster
from tests.support import Site

README = Path(__file__).parents[1] / "README.md"
ADDRESS = "http://127.0.0.1:8000"


async def test_it_is_a_scheduled_webinar_whose_pages_are_this_servers(site: Site) -> None:
    await demo.prepare(site.transactions, f"http://{site.address}", fresh=False)

    room = (await site.store.load("demo")).room
    assert room is not None
    assert (room.title, room.status) == ("Demo", Status.SCHEDULED)
    for address in (room.player_url, room.cta_url, room.recording_url):
        assert (await site.http.get(str(address))).status_code == 200


async def test_it_comes_with_a_small_roster_in_both_languages(site: Site) -> None:
    await demo.prepare(site.transactions, ADDRESS, fresh=False)

    leads = [entry async for entry in roster.entries(site.store, "demo")]
    assert sorted(entry.lead_id for entry in leads) == [1, 2, 3]
    assert {entry.locale for entry in leads} == {"ru", "en"}


async def test_a_demo_that_is_there_is_left_as_it_is(site: Site) -> None:
    await demo.prepare(site.transactions, ADDRESS, fresh=False)
    assert (await site.status("start", "demo")).status_code == 200
    before = await site.everything()

    await demo.prepare(site.transactions, ADDRESS, fresh=False)

    assert await site.everything() == before


ELSEWHERE = "https://rooms.example.org"


async def test_pages_that_are_the_samples_own_follow_the_address_that_is_served(site: Site) -> None:
    await demo.prepare(site.transactions, ADDRESS, fresh=False)
    assert (await site.status("start", "demo")).status_code == 200
    before = (await site.store.load("demo")).room

    for address in (ELSEWHERE, f"http://{site.address}"):
        room = await demo.prepare(site.transactions, address, fresh=False)
        pages = [room.player_url, room.cta_url, room.recording_url]
        assert pages == [f"{address}/demo/{page}" for page in ("player", "cta", "recording")]
    assert (await site.state("speaker", "demo")).json()["player_url"] == f"http://{site.address}/demo/player"
    same = {"player_url": ADDRESS, "cta_url": ADDRESS, "recording_url": ADDRESS, "version": 0, "request_id": ""}
    assert before is not None
    assert msgspec.structs.replace(room, **same) == msgspec.structs.replace(before, **same)


@pytest.mark.parametrize(
    "own",
    [
        "https://example.org/player",
        f"{ADDRESS}/demo/player?autoplay=1",
        f"{ADDRESS}/demo/player#t=5",
        f"{ADDRESS}/my/demo/player",
        f"{ADDRESS}/demo/recording",
    ],
)
async def test_what_an_operator_put_in_their_place_stays(site: Site, own: str) -> None:
    await demo.prepare(site.transactions, ADDRESS, fresh=False)
    said = Plan(title="Mine", player_url=own, recording_url=None)
    await site.transactions.edit("demo", lambda room: amend(room, said))

    room = await demo.prepare(site.transactions, ELSEWHERE, fresh=False)

    assert (room.title, room.player_url, room.recording_url) == ("Mine", own, None)
    assert room.cta_url == f"{ELSEWHERE}/demo/cta"


async def test_an_archived_demo_stays_as_it_is(site: Site) -> None:
    await demo.prepare(site.transactions, ADDRESS, fresh=False)
    for word in ("start", "stop"):
        assert (await site.status(word, "demo")).status_code == 200
    await site.act("archive", "demo")
    before = await site.everything()

    room = await demo.prepare(site.transactions, ELSEWHERE, fresh=False)

    assert (room.status, await site.everything()) == (Status.ARCHIVED, before)


async def test_a_fresh_demo_begins_again_under_a_new_epoch(site: Site) -> None:
    await demo.prepare(site.transactions, ADDRESS, fresh=False)
    assert (await site.status("start", "demo")).status_code == 200
    assert (await site.entered(1, "demo")).json()["duplicate"] is False
    old = (await site.store.load("demo")).room

    await demo.prepare(site.transactions, ADDRESS, fresh=True)

    facts = await site.store.load("demo", 1)
    assert old is not None
    assert facts.room is not None
    assert (facts.room.status, facts.room.version, facts.participation) == (Status.SCHEDULED, 1, None)
    assert facts.room.epoch != old.epoch


def test_the_links_are_those_of_two_attendees_the_speaker_the_organizer_and_the_monitor() -> None:
    settings = Settings(token_secret="s" * 32)
    lines = [line.split() for line in demo.links(settings, ADDRESS)]

    assert lines.pop(0) == ["schedule", f"{ADDRESS}/"]
    found = []
    for *_, link in lines:
        address, _, token = link.partition("#token=")
        actor = Authenticator(settings).token(unquote(token))
        found.append((address.removeprefix(ADDRESS), actor.role, actor.webinar_id, actor.lead_id))
        assert actor.read_only is (actor.role is Role.ORGANIZER)
    assert found == [
        ("/room/demo", Role.ATTENDEE, "demo", 1),
        ("/room/demo", Role.ATTENDEE, "demo", 2),
        ("/speaker/demo", Role.SPEAKER, "demo", None),
        ("/report/demo", Role.ORGANIZER, "demo", None),
        ("/monitor", Role.MONITOR, "*", None),
    ]


def test_each_speaker_and_monitor_is_a_person_of_its_own() -> None:
    settings = Settings(token_secret="s" * 32)
    tokens = [line.partition("#token=")[2] for _ in range(2) for line in demo.links(settings, ADDRESS) if "#" in line]
    persons = [Authenticator(settings).token(unquote(token)).person for token in tokens]

    assert sorted(set(persons))[:2] == ["attendee:1", "attendee:2"]
    assert len(set(persons)) == 8


def test_the_links_hold_a_day_as_the_readme_says() -> None:
    settings = Settings(token_secret="s" * 32)
    began = time.time()
    for line in list(demo.links(settings, ADDRESS))[1:]:
        expires = Authenticator(settings).token(unquote(line.partition("#token=")[2])).expires_at
        assert expires is not None
        assert 24 * 3600 - 1 <= expires - began <= 24 * 3600 + 60
    assert "valid for 24 hours" in README.read_text("utf-8")


@pytest.mark.parametrize("secret", ["", "s" * 32])
def test_no_links_are_made_where_tokens_are_signed_elsewhere(secret: str) -> None:
    lines = list(demo.links(Settings(token_public_key="PEM", token_secret=secret), ADDRESS))

    assert len(lines) == 2
    assert "ROOM_SERVER_TOKEN_PUBLIC_KEY" in lines[1]
