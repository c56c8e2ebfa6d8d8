"""A request's id through all processes, and OpenTelemetry's spans."""

import asyncio
import json
import logging
import re
import signal
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from room_server.core.room import RosterEntry
from room_server.state import roster, webinars
from room_server.state.outbox import Outbox
from room_server.telemetry import tracing
from tests.support import PATIENCE, TOKEN_SECRET, Site, eventually, next_state, room, serving, settings_for, state_where
from tests.terminal import Running, running

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MADE = re.compile(r"[0-9a-f]{12}-[0-9a-f]{6}")


async def test_every_answer_has_its_requests_id(site: Site) -> None:
    answers = [await site.http.get(path) for path in ("/healthz", "/", "/no-such-place", "/metrics", "/rooms/w/state")]
    named = [answer.headers["x-request-id"] for answer in answers]

    assert all(MADE.fullmatch(name) for name in named)
    assert len(set(named)) == len(named)


class Asked(logging.Filter):
    """Records the request id of each line."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Every line."""
        if record.exc_info:
            self.names.add(tracing.request_id.get())
        return True


async def test_a_failure_is_answered_and_logged_with_its_requests_id(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is logged by uvicorn, outside of all of our middleware."""
    site.inside.read.rooms = "rubbish in place of the part that answers"
    with caplog.filtering(asked := Asked()):
        answer = await site.state()

    assert answer.status_code == 500
    assert asked.names == {answer.headers["x-request-id"]}


@pytest.mark.parametrize("name", ["abcdefgh", "0e7a0d2c-4d3b-4b0e-9a3f-7f1f6c1d2e3f", "A_z-09" * 10])
async def test_a_sane_id_of_the_callers_is_kept(site: Site, name: str) -> None:
    answer = await site.http.get("/healthz", headers={"X-Request-ID": name})

    assert answer.headers.get_list("x-request-id") == [name]


@pytest.mark.parametrize("name", ["", "short", "x" * 65, "with space", "a.b.c.d.e.f", 'quo"te-quo"te', "новый-номер"])
async def test_any_other_id_is_replaced(site: Site, name: str) -> None:
    """Tokens have dots and are longer. Characters that could break a log line are refused, too."""
    answer = await site.http.get("/healthz", headers={b"X-Request-ID": name.encode()})

    assert MADE.fullmatch(answer.headers["x-request-id"])


async def test_only_requests_are_named() -> None:
    """A lifespan is no request."""
    passed: list[str] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        passed.append(f"{scope['type']} {tracing.request_id.get()}")

    async def receive() -> Message:
        return {}

    async def send(_: Message) -> None:
        pass

    await tracing.RequestId(app)({"type": "lifespan"}, receive, send)
    assert passed == ["lifespan "]


async def test_tasks_of_a_request_have_its_id_and_others_do_not() -> None:
    async def seen() -> str:
        return tracing.request_id.get()

    with tracing.working_for("one"):
        inside = asyncio.create_task(seen())
        with tracing.working_for("two"):
            assert await seen() == "two"
        assert await seen() == "one"
    assert (await inside, await seen()) == ("one", "")


async def test_the_change_its_events_and_its_messages_carry_the_id(site: Site) -> None:
    await site.transactions.create(room())
    answer = await site.status("start")
    assert (await site.store.load("w")).room is not None
    entered = await site.entered(7)
    stopped = await site.status("stop")
    completed = await site.completed(7)
    names = [one.headers["x-request-id"] for one in (answer, entered, stopped, completed)]
    tag = site.store.keys.tag("w")
    entries: Any = await site.raw.xrange(site.store.keys.events(tag))
    standing = (await site.store.load("w")).room
    kept = [held.delivery async for held in Outbox(site.store).deliveries("w")]

    assert [fields[b"request_id"].decode() for _, fields in entries] == [*names, *names[3:] * (len(entries) - 4)]
    assert standing is not None
    assert standing.request_id == names[2]
    assert {delivery.request_id for delivery in kept} == {names[3]}


async def test_a_later_change_without_a_request_carries_no_id(site: Site) -> None:
    await site.transactions.create(room())
    await site.status("start")
    paused = await site.act("pause")
    standing = (await site.store.load("w")).room

    assert paused.version == 3
    assert standing is not None
    assert standing.request_id == ""


async def test_the_id_is_not_sent_to_sockets(site: Site) -> None:
    await site.transactions.create(room())
    async with site.socket() as socket:
        await next_state(socket)
        name = (await site.status("start")).headers["x-request-id"]
        assert name not in json.dumps(await next_state(socket))


@pytest.fixture
def switched() -> Iterator[list[Any]]:
    """Tracing as it was before."""
    before = tracing._running[:]
    yield tracing._running
    tracing._running[:] = before


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "TRUE"},
        {"OTEL_TRACES_EXPORTER": " "},
    ],
)
def test_unless_it_is_enabled_a_span_does_nothing(switched: list[Any], environ: dict[str, str]) -> None:
    tracing.configure(environ)

    assert switched == []
    assert tracing.span("hook x", webinar="w") is tracing.NOTHING
    with tracing.span("hook x"), tracing.span("load"):
        pass


def test_a_missing_exporter_is_logged(switched: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tracing.configure(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "pigeon"}
        )

    assert switched == []
    assert [record.getMessage() for record in caplog.records] == [
        "OpenTelemetry is asked for and cannot be had (no exporter otlp_proto_pigeon): install room-server[otel]"
    ]


def spans(printed: str) -> list[dict[str, Any]]:
    """What OpenTelemetry's console exporter printed: JSON objects one after the other."""
    decoder, found, at = json.JSONDecoder(), [], printed.find("{")
    while at >= 0:
        span, end = decoder.raw_decode(printed, at)
        found.append(span)
        at = printed.find("{", end)
    return found


async def said(server: Running) -> tuple[str, str]:
    """What a process printed, asked to end, and what it said on stderr."""
    server.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        out, _ = await server.process.communicate()
    assert server.process.returncode == 0, server.told()
    return out.decode(), server.told()


async def test_opentelemetry_shows_the_way_of_a_hook_to_its_sockets_and_its_messages(valkey_url: str) -> None:
    """The server's processes print their spans by OpenTelemetry's console exporter."""
    environment = {
        "ROOM_SERVER_REDIS_URL": valkey_url,
        "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET,
        "ROOM_SERVER_EVALUATION_GRACE": "0",
        "OTEL_TRACES_EXPORTER": "console",
    }
    async with (
        serving(settings_for(valkey_url)) as site,
        running("web", "--port", "0", **environment) as web,
        running("worker", **environment) as worker,
    ):
        await site.transactions.create(room())
        await roster.import_roster(site.store, "w", [RosterEntry(lead_id=7, partner_chat_id=555000111)], replace=False)
        parent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        offered = [Subprotocol("room.v1"), Subprotocol(f"room.bearer.{site.token()}")]
        async with (
            connect(f"ws{web.address[4:]}/rooms/w/socket", subprotocols=offered) as socket,
            httpx.AsyncClient(base_url=web.address, headers=site.bearer(), timeout=PATIENCE) as http,
        ):
            for word, status in (("start", "live"), ("stop", "finished")):
                body = {"webinar_id": "w", "status": word}
                answer = await http.post("/hooks/core_webinar_set_status", json=body, headers=parent)
                assert answer.status_code == 200
                await state_where(socket, status=status)
        name = answer.headers["x-request-id"]
        await eventually(lambda: dry(site), "its message is recorded")
        printed = [await said(web), await said(worker)]
    by_name: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in spans("".join(out for out, _ in printed)):
        by_name[span["name"]].append(span)

    assert set(by_name) == {"hook core_webinar_set_status", "load", "decide", "commit", "tell", "evaluate", "deliver"}
    hook = by_name["hook core_webinar_set_status"][-1]
    assert hook["attributes"]["room_server.request_id"] == name
    assert hook["context"]["trace_id"] == f"0x{TRACE}"
    assert hook["resource"]["attributes"]["service.name"] == "room-server"
    children = [span["name"] for kind in by_name.values() for span in kind if span["parent_id"] == id_of(hook)]
    assert {"decide", "commit"} <= set(children)
    (delivered,) = by_name["deliver"]
    assert delivered["attributes"] == {
        "room_server.webinar": "w",
        "room_server.kind": "attendance",
        "room_server.request_id": name,
    }
    assert "555000111" not in "".join(out + complaints for out, complaints in printed)


async def dry(site: Site) -> bool:
    """Whether the one message that has a chat is recorded as `dry_run`."""
    return (await webinars.delivery_counts(site.store)).get("dry_run") == 1


def id_of(span: dict[str, Any]) -> str:
    """The id by which its children refer to it."""
    return str(span["context"]["span_id"])
