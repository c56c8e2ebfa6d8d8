"""Answers of a running server, each checked against the OpenAPI document, which must list all of them and no other."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from room_server.api.documents import openapi
from room_server.api.documents.operations import COMMON_CODES, HOOKS, OPERATIONS
from room_server.api.hook_bodies import ACCEPTED, MAX_BODIES, MAX_BODY
from room_server.api.links import HEADER
from room_server.api.telegram_updates import HEADER as SECRET
from room_server.core.room import RosterEntry, Status
from room_server.core.site_hooks import SITE_HOOKS
from room_server.errors import PROBLEMS
from room_server.problems import MEDIA_TYPE
from room_server.protocols.upgrade import MAX_REQUEST_HEAD
from room_server.state import roster, short_links
from room_server.telegram.deep_links import DeepLinks
from tests.api.documents.checking import Json, Reader, path_of, resolved
from tests.outage import own_redis
from tests.protocols.test_bounded_http import Hasty
from tests.raw import connecting
from tests.support import AT, HOOK_SECRET, TOKEN_SECRET, Site, eventually, next_state, room, serving, settings_for
from tests.test_refusals import REFUSALS, running, send

ORIGIN = "https://site.example"
DOCUMENT = openapi.document(None)
READER = Reader(DOCUMENT)
ROWS = [(path, method, row) for path, methods in OPERATIONS.items() for method, row in methods.items()]
CODES = {(path, code) for path, _, row in ROWS for code in row.codes}
HOOKED: dict[str, Any] = {"telegram_updates": "webhook", "public_url": "https://rooms.example.org"}
STOPPED = b'{"update_id": 1, "message": {"chat": {"id": 11, "type": "private"}, "text": "/stop"}}'
OF_THE_TRANSFER = {"connection", "content-encoding", "content-length", "content-type", "date", "transfer-encoding"}


class Witness:
    """Checks each answer against the document, and records which operations and codes came."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str, int]] = set()
        self.codes: set[tuple[str, str]] = set()
        """Path and code; an answer to a method that is not taken is not among them."""
        self.headers: set[str] = set()

    async def __call__(self, answer: httpx.Response) -> None:
        """As a hook of httpx."""
        await answer.aread()
        path = path_of(DOCUMENT, answer.request.url.path)
        method = {"head": "get"}.get(answer.request.method.lower(), answer.request.method.lower())
        item = DOCUMENT["paths"][path]
        told = item[method]["responses"] if method in item else {"405": item["x-other-methods"]}
        assert str(answer.status_code) in told, (answer.request, answer.text)
        found = resolved(DOCUMENT, told[str(answer.status_code)])
        self._check_headers(found, answer)
        if answer.request.method != "HEAD":
            self._check_body(found.get("content", {}), answer)
        self.seen.add((path, method, answer.status_code))
        if answer.headers.get("content-type") == MEDIA_TYPE and answer.content:
            problem = answer.json()
            assert problem["code"] in found["x-codes"]
            assert problem["status"] == answer.status_code
            self.codes |= {(path, problem["code"])} if method in item else set()

    def _check_headers(self, told: Json, answer: httpx.Response) -> None:
        headers = {name.lower(): resolved(DOCUMENT, node) for name, node in told["headers"].items()}
        real = set(answer.headers) - OF_THE_TRANSFER
        assert real <= set(headers), (answer.request, real - set(headers))
        assert {name for name, one in headers.items() if one.get("required")} <= real, answer.request
        for name in real:
            value: Any = answer.headers[name]
            assert not READER.faults(headers[name]["schema"], int(value) if value.isdecimal() else value), (name, value)
        self.headers |= real

    def _check_body(self, content: Json, answer: httpx.Response) -> None:
        media = answer.headers.get("content-type", "").partition(";")[0]
        assert media in content or "*/*" in content or (not answer.content and not content), (answer.request, media)
        if media.endswith("json"):
            assert not READER.faults(content[media]["schema"], answer.json()), (answer.request, answer.text)


@asynccontextmanager
async def witnessed(url: str, **more: Any) -> AsyncIterator[tuple[Site, Witness]]:
    """A site of which every answer is checked."""
    witness = Witness()
    async with serving(settings_for(url, **more)) as site:
        site.http.event_hooks["response"].append(witness)
        yield site, witness


async def prepare(site: Site) -> None:
    """One webinar in each state, named after it."""
    for status in Status:
        times = {"started_at": AT, "finished_at": AT} if status in {Status.FINISHED, Status.ARCHIVED} else {}
        await site.transactions.create(room(status.value, status=status, **times))


async def hold(site: Site) -> None:
    """A webinar from start to end, every hook twice, with a socket and reads of the counts."""
    await site.transactions.create(
        room("w", player_url="https://example.org/p", cta_label="Join", cta_url="https://a.b")
    )
    async with site.socket() as socket:
        await next_state(socket)
        for again in (False, True):
            assert (await site.status("start")).json()["duplicate"] is again
            shown = await site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})
            clicking = {"webinar_id": "w", "lead_id": 42, "timestamp": 1}
            clicked = await site.hook("client_webinar_cta_clicked", clicking, "attendee")
            assert (shown.status_code, clicked.json()["duplicate"]) == (200, again)
            assert (await site.entered(42)).json()["duplicate"] is again
        await eventually(lambda: counted(site, "reach"), "the change is answered for")
    assert (await site.status("stop")).json()["status"] == "finished"
    await eventually(lambda: counted(site, "evaluation"), "the evaluation is told of")
    for _ in range(2):
        assert (await site.completed(42)).json()["attended"] is True


async def counts(site: Site) -> dict[str, Any]:
    read: dict[str, Any] = (await site.http.get("/monitor/counts", headers=site.bearer("monitor", "*"))).json()
    return read


async def counted(site: Site, name: str) -> bool:
    return any(one[name] for one in (await counts(site))["rooms"])


async def spoil(site: Site) -> None:
    """Refusals that are possible for any hook."""
    other = {"webinar_id": "live", "lead_id": 42, "timestamp": 1, "completed_at": 1, "visible": True, "status": "stop"}
    other |= {"leads": [{"lead_id": 1}], "lead_ids": [1], "nonce": "n"}
    for name in ACCEPTED:
        role = "system" if name in SITE_HOOKS else "attendee" if name.startswith("client") else "speaker"
        for body in (b"[]", b"{}", b" " * (MAX_BODIES.get(name, MAX_BODY) + 1)):
            await site.hook(name, body, role)
        await site.hook(name, other, role, scope="other")
    await site.http.post("/hooks/telegram_update", content=STOPPED)
    for path in [*HOOKS, "/hooks/post_webinar_route"]:
        now = str(int(time.time()))
        headers = {"webhook-id": "x", "webhook-timestamp": now, "webhook-signature": "v1,AAAA"}
        await site.http.post(path, headers=headers, content=b"{}")
        most = MAX_BODIES.get(path.removeprefix("/hooks/"), MAX_BODY)
        await site.http.post(path, headers=headers, content=b" " * (most + 1))


OPERATED: list[tuple[str, dict[str, Any]]] = [
    ("core_webinar_plan", {"title": "T", "scheduled_at": "2030-11-22T18:00:00Z"}),
    ("core_roster_register", {"leads": [{"lead_id": 1}, {"lead_id": 2}]}),
    ("core_roster_withdraw", {"lead_ids": [1]}),
    ("core_webinar_cancel", {}),
    ("core_webinar_pause", {"webinar_id": "live"}),
    ("core_webinar_resume", {"webinar_id": "live"}),
    ("core_webinar_archive", {"webinar_id": "finished"}),
    ("core_lead_forget", {"lead_id": 2}),
    ("core_site_check", {"nonce": "n"}),
]
"""What a site's backend does, in this order; without a webinar, it is about a new one."""


async def operate(site: Site) -> None:
    """Every hook of the site, twice."""
    for name, payload in OPERATED:
        for again in (False, True):
            answer = await site.hook(name, {"webinar_id": "new", **payload}, "system", scope="*")
            assert (answer.status_code, answer.json()["duplicate"]) == (200, again), name


async def sign(site: Site) -> None:
    """A hook of the site's backend."""
    body = msgspec.json.encode({"webinar_id": "live", "lead_id": 7, "timestamp": "2026-11-22T18:00:00+03:00"}).decode()
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "one",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(HOOK_SECRET).sign("one", now, body),
    }
    assert (await site.http.post("/hooks/client_webinar_entered", content=body, headers=headers)).status_code == 200


async def tell(site: Site, *bodies: bytes) -> None:
    """Telegram tells of something."""
    secret = DeepLinks((TOKEN_SECRET.encode(),)).webhook_secrets[0]
    for body in bodies:
        await site.http.post("/hooks/telegram_update", content=body, headers={SECRET: secret})


async def read(site: Site) -> None:
    """All that can be read, without and with `If-None-Match`."""
    await roster.import_roster(site.store, "live", [RosterEntry(lead_id=42)], replace=False)
    codes = await short_links.save(site.store, "live", [42], int(time.time()) + 3600)
    link = {HEADER: codes[42]}
    names = {"webinar_id": "live", "path": "app.css", "code": codes[42], "name": "{name}"}
    for address in (path.format(**names) for path in OPERATIONS):
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
            headers = {**site.bearer("speaker", "*"), "Origin": ORIGIN, **link}
            answer = await site.http.request(method, address, headers=headers)
            tag = {"If-None-Match": answer.headers.get("etag", '"none"')}
            await site.http.request(method, address, headers={**site.bearer("speaker", "*"), **tag, **link})
    report = "/webinars/live/attendance"
    for query in ("", "?limit=1", "?limit=x"):
        await site.http.get(f"{report}{query}", headers=site.bearer("organizer", "live"))
    await site.http.get(report, headers={**site.bearer("organizer", "live"), "Accept": "text/csv"})
    whole = "/webinars/live/report"
    await site.http.get(whole, headers=site.bearer("organizer", "live"))
    for path in ("attendance", "report"):
        await site.http.get(f"/webinars/nowhere/{path}", headers=site.bearer("system", "*"))
    for path in ("/rooms/{webinar_id}/state", "/rooms/{webinar_id}/me", "/monitor/counts", report, whole):
        address = path.format(webinar_id="live")
        for headers in ({}, site.bearer("guest", "*"), site.bearer("attendee", "*"), site.bearer("speaker", "other")):
            await site.http.get(address, headers=headers)
    await site.http.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
    await site.http.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    for address in ("/static/none.js", "/room/a b", "/speaker/a b", "/report/a b", "/r/none", "/links"):
        await site.http.get(address)
    await site.http.get("/rooms/nowhere/state", headers=site.bearer("speaker", "*"))
    await site.http.get("/rooms/nowhere/me", headers=site.bearer("attendee", "*"))
    await site.http.get("/rooms/live/me", headers=site.bearer("attendee", "other"))
    for path in (report, whole):
        await site.http.get(path, headers=site.bearer("organizer", "other"))
    site.inside.admission.draining = True
    await site.http.get("/readyz")


async def test_every_answer_is_in_the_document_and_everything_in_the_document_is_answered(valkey_url: str) -> None:
    unlimited = {"max_hooks_per_person": 0, "max_reads_per_person": 0}
    async with witnessed(valkey_url, allowed_origins=ORIGIN, **unlimited, **HOOKED) as (site, witness):
        await prepare(site)
        await running(site)
        for case in REFUSALS:
            if case.name.isascii() and "%" not in case.name:
                await send(site, case)
        await spoil(site)
        await hold(site)
        await operate(site)
        await sign(site)
        await tell(site, STOPPED, b"[]", b" " * (MAX_BODIES["telegram_update"] + 1))
        await read(site)

    assert {(path, method, status) for path, method, row in ROWS for status in row.answers} <= witness.seen
    assert witness.codes == {(path, code) for path, code in CODES if code != "state_unavailable"}
    assert {name.lower() for name in openapi.HEADERS} - witness.headers == {"retry-after"}


async def test_too_many_requests_are_answered_as_the_document_says(valkey_url: str) -> None:
    async with witnessed(valkey_url, max_requests_per_address=1) as (site, witness):
        for _ in range(2):
            for path, methods in OPERATIONS.items():
                address = path.format(webinar_id="w", name="post_webinar_route", path="app.css", code="x" * 22)
                await site.http.request(next(iter(methods)), address)

    assert {path for path, code in witness.codes if code == "too_many_requests"} == OPERATIONS.keys()


async def test_our_own_fault_is_answered_as_the_document_says(valkey_url: str) -> None:
    async with witnessed(valkey_url) as (site, witness):
        site.inside.read.rooms = "rubbish in place of the part that answers"
        await site.state()

    assert {code for _, code in witness.codes} == {"internal_error"}


async def test_without_redis_everything_is_answered_as_the_document_says() -> None:
    async with own_redis() as redis, witnessed(redis.url, **HOOKED) as (site, witness):
        await redis.kill()
        await asyncio.gather(
            site.entered(42),
            site.completed(42),
            site.status("start"),
            site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True}),
            site.hook("client_webinar_cta_clicked", {"webinar_id": "w", "lead_id": 42, "timestamp": 1}, "attendee"),
            *(site.hook(name, {"webinar_id": "w", **payload}, "system", scope="*") for name, payload in OPERATED),
            site.state(),
            site.http.get("/rooms/w/me", headers=site.bearer("attendee")),
            site.http.get("/webinars"),
            site.http.get("/webinars/w/attendance", headers=site.bearer("organizer")),
            site.http.get("/webinars/w/report", headers=site.bearer("organizer")),
            site.http.get("/links", headers={HEADER: "x" * 22}),
            site.http.get("/monitor/counts", headers=site.bearer("monitor", "*")),
            site.http.get("/readyz"),
            tell(site, STOPPED),
        )

    assert witness.codes == {(path, code) for path, code in CODES if code == "state_unavailable"}
    assert ("/readyz", "get", 503) in witness.seen


GARBLED = {
    "malformed_request": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    "request_timeout": b"GET / HTTP/1.1\r\n",
    "head_too_large": b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_REQUEST_HEAD + b"\r\n",
}


@pytest.mark.parametrize("code", GARBLED)
async def test_a_request_that_cannot_be_read_is_answered_as_the_document_says(valkey_url: str, code: str) -> None:
    async with serving(settings_for(valkey_url), http=Hasty) as site, connecting(site) as raw:
        await raw.send(GARBLED[code])
        answer = await raw.answer()

    told = resolved(DOCUMENT, DOCUMENT["paths"]["/webinars"]["get"]["responses"][str(PROBLEMS[code].status)])
    problem = msgspec.json.decode(answer.body)
    assert (answer.status, problem["code"]) == (PROBLEMS[code].status, code)
    assert code in told["x-codes"]
    assert READER.faults(told["content"]["application/problem+json"]["schema"], problem) == []
    assert set(answer.headers) - OF_THE_TRANSFER == {"cache-control"}


def test_every_operation_lists_the_common_codes() -> None:
    for methods in (item for item in DOCUMENT["paths"].values()):
        for method in set(methods) & {"get", "post"}:
            assert {str(PROBLEMS[code].status) for code in COMMON_CODES} <= set(methods[method]["responses"])


async def test_a_caller_of_a_signed_hook_needs_all_three_headers(valkey_url: str) -> None:
    async with witnessed(valkey_url) as (site, witness):
        for path in ("/hooks/client_webinar_entered", "/hooks/post_webinar_route"):
            await site.http.post(path, headers={"webhook-signature": "v1,AAAA"})

    assert {code for _, code in witness.codes} == {"unauthenticated"}
