"""`GET /webinars/{id}/attendance`: pages in order, a whole stream or a broken one, and who may have them."""

import asyncio
import csv
import io
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from room_server import attendance_report
from room_server.api.attendance import LISTED_SECONDS, PAGE, SHORT, prefers_csv
from room_server.core.messages import MAX_LEAD_ID
from room_server.core.room import RosterEntry, Status
from room_server.jobs.evaluation import Evaluations
from room_server.state import roster
from room_server.state.bulk_reads import SLICE
from tests.conftest import CLUSTER_PARTITIONS
from tests.outage import own_redis
from tests.raw import Raw, connecting, request
from tests.support import AT, PATIENCE, Site, room, serving, settings_for, wait_until
from tests.test_signed import OTHER_HOOK_SECRET, webhook

PATH = "/webinars/w/attendance"
LEADS = [3, 20, 100, 7000, MAX_LEAD_ID]
ONE_READING = -(-(SHORT + 1) // SLICE)
"""How many slices a list of more than SHORT leads is read in, at least."""


@pytest.fixture(params=["valkey", "cluster"])
async def anywhere(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """A site without limits, on one server and on a Cluster."""
    url = request.getfixturevalue("valkey_url" if request.param == "valkey" else "cluster_url")
    partitions = CLUSTER_PARTITIONS if request.param == "cluster" else 1
    async with serving(settings_for(url, max_reads_per_person=0, partitions=partitions)) as site:
        yield site


@pytest.fixture
async def open_site(valkey_url: str) -> AsyncIterator[Site]:
    """A site without limits on reading."""
    async with serving(settings_for(valkey_url, max_reads_per_person=0)) as site:
        yield site


async def registered(site: Site, leads: list[int], name: str = "") -> None:
    """A live webinar with these leads on its roster."""
    await site.transactions.create(room(status=Status.LIVE, started_at=AT))
    entries = (RosterEntry(lead_id=lead, name=name) for lead in leads)
    await roster.import_roster(site.store, "w", entries, replace=False)


async def ask(site: Site, query: str = "", role: str = "organizer", **headers: str) -> httpx.Response:
    """What the caller is answered."""
    return await site.http.get(f"{PATH}{query}", headers={**site.bearer(role), **headers})


async def page(site: Site, query: str = "") -> tuple[list[int], int | None]:
    """The leads of a page, and where the next one begins."""
    answer = await ask(site, query)
    assert answer.status_code == 200, answer.text
    return [lead["lead_id"] for lead in answer.json()["leads"]], answer.json()["next"]


async def held(site: Site) -> None:
    """Lead 30 stayed to the end, 20 did not, 10 never came, 40 came and is on no roster."""
    await registered(site, [30, 20, 10], "Анна")
    for lead in (20, 30, 40):
        assert (await site.entered(lead)).status_code == 200
    await site.status("stop")
    await site.completed(30)
    await Evaluations(site.transactions).run_pending("w")


async def test_a_page_says_of_each_lead_what_the_command_line_says(anywhere: Site) -> None:
    await held(anywhere)

    answer = await ask(anywhere)

    rows = await attendance_report.attendance(anywhere.store, "w")
    assert answer.json() == {"webinar_id": "w", "leads": msgspec.to_builtins(rows), "next": None}
    assert [(row.lead_id, row.attended) for row in rows] == [(10, False), (20, False), (30, True), (40, False)]
    assert list(answer.json()["leads"][0]) == [
        *("lead_id", "name", "entered_at", "completed_at", "attended", "route", "messages"),
        *attendance_report.WATCHED_COLUMNS,
    ]


async def test_csv_is_byte_for_byte_what_the_command_line_prints(anywhere: Site) -> None:
    await held(anywhere)

    answer = await ask(anywhere, Accept="text/csv")

    rows = attendance_report.slices(anywhere.store, "w", [10, 20, 30, 40])
    printed = b"".join([part async for part in attendance_report.as_csv(rows)])
    assert answer.content == printed
    assert [row["attended"] for row in csv.DictReader(io.StringIO(printed.decode("utf-8-sig")))] == [
        *("no", "no", "yes", "no")
    ]


async def test_the_headers_keep_it_private_and_name_the_file(open_site: Site) -> None:
    await registered(open_site, LEADS)
    private = {"cache-control": "private, no-store", "vary": "Authorization, Accept"}
    as_csv = {
        "content-type": "text/csv; charset=utf-8; header=present",
        "content-disposition": 'attachment; filename="attendance-w.csv"',
    }
    for accept, expected in (("*/*", {"content-type": "application/json"}), ("text/csv", as_csv)):
        got = await ask(open_site, Accept=accept)
        headed = await open_site.http.head(PATH, headers={**open_site.bearer("organizer"), "Accept": accept})
        for answer in (got, headed):
            assert {**private, **expected}.items() <= dict(answer.headers).items()
        assert (headed.status_code, headed.content) == (200, b"")
        assert headed.headers.get("content-length") == got.headers.get("content-length")


async def test_pages_follow_each_other_in_order_and_end(open_site: Site) -> None:
    await registered(open_site, LEADS)

    assert await page(open_site) == (LEADS, None)
    assert await page(open_site, "?limit=2") == ([3, 20], 20)
    assert await page(open_site, "?limit=2&after=20") == ([100, 7000], 7000)
    assert await page(open_site, "?limit=2&after=7000") == ([MAX_LEAD_ID], None)
    assert await page(open_site, "?limit=5") == (LEADS, None)
    assert await page(open_site, "?limit=1&after=99") == ([100], 100)
    assert await page(open_site, "?after=0&limit=0001") == ([3], 3)
    assert await page(open_site, f"?after={MAX_LEAD_ID}") == ([], None)


async def test_a_page_has_a_lead_that_joined_a_moment_ago(open_site: Site) -> None:
    await registered(open_site, LEADS)
    assert await page(open_site) == (LEADS, None)
    await open_site.entered(5000)

    assert await page(open_site, "?after=100") == ([5000, *LEADS[3:]], None)


async def test_a_webinar_with_nobody_is_an_empty_page_and_a_header(open_site: Site) -> None:
    await registered(open_site, [])

    assert await page(open_site) == ([], None)
    assert (await ask(open_site, Accept="text/csv")).text.splitlines() == [
        "\ufeff" + ",".join(attendance_report.HEADER)
    ]


WRONG = ["0", "1001", "-1", "1.0", "1e2", "", "x", " 5", "5 ", "+5", "٥", "5\n", "9" * 17, "5&limit=6"]


@pytest.mark.parametrize("name", ["limit", "after"])
async def test_a_parameter_that_is_no_number_is_named(open_site: Site, name: str) -> None:
    await registered(open_site, LEADS)
    lawful = {"0", "1001"} if name == "after" else set()
    for text in (text.replace("limit", name) for text in WRONG if text not in lawful):
        given = text if "&" in text else str(httpx.QueryParams({"x": text}))[2:]
        answer = await ask(open_site, f"?{name}={given}")
        refusal = answer.json()
        assert (answer.status_code, refusal["code"], refusal.get("field")) == (422, "invalid_payload", name), text
        assert refusal["detail"] == f"{name} is one whole number from " + (
            f"1 to {PAGE}" if name == "limit" else f"0 to {MAX_LEAD_ID}"
        )


async def test_an_unknown_parameter_is_ignored_and_csv_is_always_whole(open_site: Site) -> None:
    await registered(open_site, LEADS)

    assert await page(open_site, "?offset=x") == (LEADS, None)
    answer = await ask(open_site, "?limit=1&after=x", Accept="text/csv")
    assert len(answer.text.splitlines()) == 1 + len(LEADS)


async def test_an_unknown_webinar_is_said_and_a_draft_is_shown(open_site: Site) -> None:
    await open_site.transactions.create(room("draft", status=Status.DRAFT))
    for webinar_id, accept in (("nowhere", "*/*"), ("nowhere", "text/csv"), ("a%00b", "*/*")):
        headers = {**open_site.bearer("organizer", "*"), "Accept": accept}
        answer = await open_site.http.get(f"/webinars/{webinar_id}/attendance", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "webinar_unknown")
    answer = await open_site.http.get("/webinars/draft/attendance", headers=open_site.bearer("organizer", "draft"))
    assert answer.json() == {"webinar_id": "draft", "leads": [], "next": None}


async def test_it_is_read_and_never_written(open_site: Site) -> None:
    await registered(open_site, LEADS)
    before = await open_site.everything()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await open_site.http.request(method, PATH, headers=open_site.bearer("organizer"))
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert await open_site.everything() == before


async def signed(site: Site, webinar_id: str = "w", query: str = "", **more: Any) -> tuple[int, str]:
    """The status and the code of a reading that the site signed."""
    headers = webhook(b"", **more)
    answer = await site.http.get(f"/webinars/{webinar_id}/attendance{query}", headers=headers)
    return answer.status_code, answer.json().get("code", "")


async def test_the_site_reads_with_a_signature_over_an_empty_body(open_site: Site) -> None:
    await registered(open_site, LEADS)

    assert await signed(open_site) == (200, "")
    assert await signed(open_site, secret=OTHER_HOOK_SECRET, identity="2") == (401, "unauthenticated")
    assert await signed(open_site, "nowhere", identity="3") == (404, "webinar_unknown")


async def test_a_signature_for_one_webinar_opens_no_other(open_site: Site) -> None:
    """Standard Webhooks does not sign the address: whoever holds a signed request back could send it elsewhere."""
    await registered(open_site, LEADS)
    await open_site.transactions.create(room("other"))

    assert await signed(open_site) == (200, "")
    assert await signed(open_site, query="?after=3") == (200, "")
    assert await signed(open_site, "other") == (401, "unauthenticated")
    assert await signed(open_site, "other", identity="2") == (200, "")


async def test_a_person_is_throttled_and_the_system_is_not(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, max_reads_per_person=1)) as site:
        await registered(site, LEADS)
        persons = [(await ask(site)).status_code for _ in range(40)]
        systems = {(await ask(site, role="system")).status_code for _ in range(40)}

    assert persons[:4] == [200] * 4
    assert 429 in persons
    assert systems == {200}


async def test_an_allowed_site_reads_it_from_a_browser(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, allowed_origins="https://site.example")) as site:
        await registered(site, LEADS)
        asks = {"Origin": "https://site.example", "Access-Control-Request-Method": "GET"}
        allowed = await site.http.options(PATH, headers={**asks, "Access-Control-Request-Headers": "authorization"})
        answer = await ask(site, Origin="https://site.example", Accept="text/csv")

    assert allowed.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://site.example"


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ([], False),
        (["*/*"], False),
        (["text/csv"], True),
        (["TEXT/CSV;charset=utf-8"], True),
        (["text/*"], True),
        (["application/json"], False),
        (["text/html, application/xhtml+xml, */*;q=0.8"], False),
        (["application/json, text/csv"], False),
        (["application/json;q=0.5, text/csv"], True),
        (["text/csv;q=0.5, application/json;q=0.9"], False),
        (["text/csv", "application/json;q=0.9"], True),
        (["text/csv, */*"], True),
        (["text/csv; q=0.1, */*"], False),
        (["text/csv;q=0, */*;q=0"], False),
        (["text/csv;header=present; q = 0.9, */*;q=0.1"], True),
        (["text/csv;q=2"], True),
        ([",;,=;q"], False),
        ([""], False),
    ],
)
def test_the_caller_chooses_by_accept(accept: list[str], is_csv: bool) -> None:
    assert prefers_csv(accept) is is_csv


async def calls(site: Site, command: str) -> int:
    """How often the server has executed a command."""
    return int((await site.raw.info("commandstats")).get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def test_a_walk_through_many_leads_lists_them_once(open_site: Site) -> None:
    leads = list(range(1, SHORT + 1501))
    await registered(open_site, leads)
    begun, before = time.monotonic(), await calls(open_site, "hscan")
    walked, following = await page(open_site)
    while following is not None:
        found, following = await page(open_site, f"?after={following}")
        walked += found
    readings = 1 + (time.monotonic() - begun) // LISTED_SECONDS

    assert walked == leads
    assert ONE_READING <= await calls(open_site, "hscan") - before <= readings * 2 * ONE_READING


LONG = "Ж" * 200
"""A name with which so many leads are more than what lies between the server and a caller who does not read."""
CROWD = list(range(1, 4_001))


@asynccontextmanager
async def stalled(site: Site) -> AsyncIterator[Raw]:
    """A caller who has read the beginning of a long stream of CSV, and reads no further."""
    async with connecting(site, receive_buffer=4096) as raw:
        await raw.send(request(site, PATH, headers={**site.bearer("organizer"), "Accept": "text/csv"}))
        assert (await raw.reader.readuntil(LONG.encode())).startswith(b"HTTP/1.1 200 OK\r\n")
        yield raw


async def chunks(raw: Raw) -> bytes:
    """Everything up to the last chunk."""
    received = b""
    async with asyncio.timeout(PATIENCE):
        while not is_whole(received[-16:]):
            received += await raw.reader.read(65536)
    return received


def is_whole(received: bytes) -> bool:
    """Whether the last chunk came (RFC 9112, 7.1)."""
    return received.endswith(b"\r\n0\r\n\r\n")


async def test_new_leads_do_not_disturb_a_stream(open_site: Site) -> None:
    await registered(open_site, CROWD, LONG)
    async with stalled(open_site) as raw:
        await roster.import_roster(open_site.store, "w", [RosterEntry(lead_id=MAX_LEAD_ID)], replace=False)
        received = await chunks(raw)

    assert is_whole(received)
    assert received.count(LONG.encode()) == len(CROWD) - 1


@pytest.mark.parametrize("fault", ["kill", "delete"])
async def test_a_stream_that_cannot_go_on_breaks_off_and_is_not_taken_for_the_whole(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with own_redis() as redis, serving(settings_for(redis.url)) as site:
        await registered(site, CROWD, LONG)
        async with stalled(site) as raw:
            await (redis.kill() if fault == "kill" else site.store.delete("w"))
            received = await raw.rest()
        if fault == "kill":
            await redis.start()

    assert not is_whole(received)
    assert caplog.text.count("a stream of attendance broke off: ") == 1
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_caller_who_leaves_in_the_middle_ends_the_reading(open_site: Site) -> None:
    await registered(open_site, CROWD, LONG)
    tasks, before = len(asyncio.all_tasks()), await calls(open_site, "hmget")
    async with stalled(open_site):
        assert len(asyncio.all_tasks()) > tasks
    await wait_until(lambda: len(asyncio.all_tasks()) == tasks, "its tasks have ended")

    for_all = 3 * len(CROWD) // attendance_report.SLICE
    assert 0 < await calls(open_site, "hmget") - before < for_all


async def test_a_stream_needs_the_memory_of_a_slice(open_site: Site, soak: bool) -> None:
    """What it takes at its peak; the text of all rows, or a list of them, would be many times as much."""
    leads = list(range(1, 100_001 if soak else 20_001))
    await registered(open_site, leads, LONG)
    headers = {**open_site.bearer("organizer"), "Accept": "text/csv"}
    tracemalloc.start()
    try:
        async with open_site.http.stream("GET", PATH, headers=headers) as answer:
            received = sum([len(part) async for part in answer.aiter_raw()])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert received > 400 * len(leads)
    assert peak < 4_000_000 + 150 * len(leads)
