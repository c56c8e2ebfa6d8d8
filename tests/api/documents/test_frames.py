"""Frames, refusals and events of a running server, each checked against the AsyncAPI document."""

from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from room_server.api.documents import asyncapi
from room_server.core.room import Status
from room_server.state.redis.pipeline import pairs
from tests.api.documents.checking import Reader, resolved
from tests.raw import connecting, upgrade
from tests.support import Site, next_state, room, serving, settings_for

DOCUMENT = asyncapi.document(None)
READER = Reader(DOCUMENT)
LATE = {"request_timeout", "head_too_large", "state_unavailable"}
"""Refusals of a handshake that any request may meet: tests/api/documents/test_answers.py."""


def faults(channel: str, message: str, value: Any) -> list[str]:
    """The payload's violations of the document."""
    told = resolved(DOCUMENT, DOCUMENT["channels"][channel]["messages"][message])
    return READER.faults(told["payload"], value)


def socket(site: Site, channel: str, token: str) -> connect:
    """A socket, opened as the document describes."""
    address = DOCUMENT["channels"][channel]["address"].format(webinar_id="w")
    subprotocols = [Subprotocol("room.v1"), Subprotocol(f"room.bearer.{token}")]
    return connect(f"ws://{site.address}{address}", subprotocols=subprotocols, compression=None)


def announce_reconnect(site: Site) -> None:
    """The server drains: all sockets are asked to reconnect."""
    for crowd in site.inside.hub.groups.values():
        for member in crowd.subscribers:
            member.announce_reconnect(0.5, 60)


async def test_the_frames_of_a_room_are_as_the_document_says(site: Site) -> None:
    await site.transactions.create(room(cta_label="Join", cta_url="https://a.b", player_url="https://a.b"))
    heard = []
    async with socket(site, "room", site.token("attendee", "w")) as attendee:
        heard.append(await next_state(attendee))
        await site.status("start")
        heard.append(await next_state(attendee))
        await site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})
        heard.append(await next_state(attendee))
        announce_reconnect(site)
        heard.append(await next_state(attendee))

    assert [frame["type"] for frame in heard] == ["state", "state", "state", "reconnect"]
    assert [faults("room", frame["type"], frame) for frame in heard] == [[]] * 4
    assert {frame["type"] for frame in heard} == set(DOCUMENT["channels"]["room"]["messages"])


async def test_the_frames_of_the_monitor_are_as_the_document_says(site: Site) -> None:
    await site.transactions.create(room(status=Status.LIVE))
    heard = []
    async with socket(site, "monitor", site.token("monitor", "*")) as monitor:
        heard.append(await next_state(monitor))
        heard.append(await next_state(monitor))
        announce_reconnect(site)
        while heard[-1].get("type") != "reconnect":
            heard.append(await next_state(monitor))

    *counts, drain = heard
    assert [fault for frame in counts for fault in faults("monitor", "counts", frame)] == []
    assert faults("monitor", "reconnect", drain) == []
    assert set(DOCUMENT["channels"]["monitor"]["messages"]) == {"counts", "reconnect"}


async def test_the_events_are_as_the_document_says(site: Site) -> None:
    await site.transactions.create(room())
    show = {"webinar_id": "w", "visible": True, "context": {"source": "test", "timestamp": 1.5}}
    answers = [
        await site.status("start"),
        await site.hook("core_webinar_set_cta_visibility", show),
        await site.entered(42),
        await site.hook("client_webinar_cta_clicked", {"webinar_id": "w", "lead_id": 42, "timestamp": 1}, "attendee"),
        await site.hook("core_site_check", {"nonce": "n"}, "system", scope="*"),
        await site.status("stop"),
        await site.completed(42),
    ]
    assert {answer.status_code for answer in answers} == {200}
    lines = await site.store.call("XRANGE", site.store.keys.events(site.store.keys.tag("w")), "-", "+")
    events = [dict(pairs(fields)) for _, fields in lines]
    told = [(event[b"hook"].decode(), msgspec.json.decode(event[b"payload"])) for event in events]

    assert {name for name, _ in told} == set(DOCUMENT["channels"]["events"]["messages"])
    assert [(name, fault) for name, payload in told for fault in faults("events", name, payload)] == []


REFUSED: dict[str, tuple[dict[str, Any] | None, dict[str, str]]] = {
    "malformed_request": ({}, {"Sec-WebSocket-Key": "x"}),
    "subprotocol_unsupported": ({}, {"Sec-WebSocket-Protocol": "chat"}),
    "unauthenticated": (None, {}),
    "forbidden_origin": ({}, {"Origin": "https://evil.example"}),
    "forbidden_role": ({"role": "guest"}, {}),
    "forbidden_webinar": ({"webinar_id": "other"}, {}),
    "webinar_unknown": ({"webinar_id": "*"}, {}),
    "not_found": ({}, {}),
    "method_not_allowed": ({}, {}),
    "too_many_sockets": ({}, {}),
    "draining": ({}, {}),
}
"""By code: the claims of the token and the wrong headers of a handshake that is refused with it."""
OF_ROOMS = {"forbidden_webinar", "webinar_unknown"}
"""Codes that only the socket of a room has."""
PATHS = {"not_found": "/elsewhere/socket", "webinar_unknown": "/rooms/nowhere/socket"}


async def refusal(site: Site, channel: str, code: str) -> dict[str, Any]:
    """The problem in the answer to a handshake."""
    claims, headers = REFUSED[code]
    path = PATHS.get(code, DOCUMENT["channels"][channel]["address"].format(webinar_id="w"))
    role = {"room": "speaker", "monitor": "monitor"}[channel]
    known = {} if claims is None else site.bearer(**{"role": role, "webinar_id": "w", **claims})
    site.inside.admission.draining = code == "draining"
    async with connecting(site) as raw:
        request = upgrade(site, path, {**known, **headers})
        await raw.send(request.replace(b"GET ", b"POST ", 1) if code == "method_not_allowed" else request)
        answer = await raw.answer()
    problem: dict[str, Any] = msgspec.json.decode(answer.body)
    told = DOCUMENT["channels"][channel]["x-refusals"]
    assert problem["code"] in told["codes"], (code, problem)
    assert READER.faults(told["payload"], problem) == []
    assert answer.status == told["codes"][problem["code"]]["status"]
    assert ("retry-after" in answer.headers) == (answer.status == 503)
    return problem


@pytest.mark.parametrize("channel", ["room", "monitor"])
async def test_a_handshake_is_refused_as_the_document_says(valkey_url: str, channel: str) -> None:
    codes = REFUSED.keys() - (set() if channel == "room" else OF_ROOMS)
    async with serving(settings_for(valkey_url, max_handshakes=1000, max_sockets=1)) as site:
        await site.transactions.create(room())
        async with socket(site, "room", site.token("attendee", "w")):
            met = {(await refusal(site, channel, "too_many_sockets"))["code"]}
        met |= {(await refusal(site, channel, code))["code"] for code in sorted(codes - met)}

    assert met == codes == DOCUMENT["channels"][channel]["x-refusals"]["codes"].keys() - LATE
