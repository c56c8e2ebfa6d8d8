"""The endpoints that only read, as a process makes them."""

from tests.support import Site, room, serving, settings_for

PATHS = {"/rooms/w/state": "speaker", "/monitor/counts": "speaker", "/webinars/w/report": "organizer"}


async def test_each_reading_has_a_limit_of_its_own(valkey_url: str) -> None:
    """Who has read all that it may of one still reads the others."""
    async with serving(settings_for(valkey_url, max_reads_per_person=1)) as site:
        await site.transactions.create(room())
        for path, role in PATHS.items():
            codes = [await code(site, path, role) for _ in range(8)]
            assert (codes[0], codes[-1]) == (200, 429), path


async def code(site: Site, path: str, role: str) -> int:
    return (await site.http.get(path, headers=site.bearer(role))).status_code
