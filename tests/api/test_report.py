"""`GET /webinars/{id}/report`: who may read it, and how old it may be."""

import pytest

from room_server.core.room import RosterEntry, Status
from room_server.state import roster
from tests.support import Site, room, serving, settings_for

PATH = "/webinars/w/report"


@pytest.mark.parametrize(
    ("role", "code"),
    [
        ("organizer", 200),
        ("system", 200),
        *((role, 403) for role in ("speaker", "moderator", "attendee", "guest", "monitor")),
    ],
)
async def test_organizers_and_the_site_may_read_it_and_nobody_else(site: Site, role: str, code: int) -> None:
    await site.transactions.create(room())
    answer = await site.http.get(PATH, headers=site.bearer(role))

    assert answer.status_code == code
    if code == 200:
        assert (answer.json()["webinar_id"], answer.json()["registered"]) == ("w", 0)
        assert answer.headers["cache-control"] == "private, no-store"
    else:
        assert answer.json()["code"] == "forbidden_role"


async def test_who_may_not_or_asks_for_nothing_is_refused(site: Site) -> None:
    await site.transactions.create(room())
    for headers, code in (
        ({}, "unauthenticated"),
        (site.bearer("organizer", "other"), "forbidden_webinar"),
    ):
        assert (await site.http.get(PATH, headers=headers)).json()["code"] == code
    unknown = await site.http.get("/webinars/nowhere/report", headers=site.bearer("organizer", "*"))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "webinar_unknown")
    assert (await site.http.post(PATH, headers=site.bearer("organizer"))).status_code == 405


async def test_a_draft_has_a_report_for_its_organizer(site: Site) -> None:
    await site.transactions.create(room(status=Status.DRAFT))

    assert (await site.http.get(PATH, headers=site.bearer("organizer"))).json()["status"] == "draft"


async def test_many_who_ask_share_a_reading(valkey_url: str) -> None:
    """What is read serves for some seconds: another process sees the new lead at once."""
    async with serving(settings_for(valkey_url)) as site, serving(site.settings) as other:
        await site.transactions.create(room())
        first = (await site.http.get(PATH, headers=site.bearer("organizer"))).json()
        await roster.import_roster(site.store, "w", [RosterEntry(lead_id=1)], replace=False)
        fresh = (await other.http.get(PATH, headers=site.bearer("organizer", sub="another"))).json()

    assert (first["registered"], fresh["registered"]) == (0, 1)


async def test_a_person_is_throttled_and_the_site_is_not(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_reads_per_person=1)) as site:
        await site.transactions.create(room())
        of_a_person = [(await site.http.get(PATH, headers=site.bearer("organizer"))).status_code for _ in range(8)]
        of_the_site = [(await site.http.get(PATH, headers=site.bearer("system"))).status_code for _ in range(8)]

    assert (of_a_person[0], of_a_person[-1]) == (200, 429)
    assert set(of_the_site) == {200}
