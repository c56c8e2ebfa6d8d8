"""A tour: the whole life of a webinar, over real HTTP and real sockets, to be read from top to bottom.

A speaker, a moderator and two attendees hold sockets on one room. Whatever anybody does is a hook, sent by HTTP; each
hook is heard by all four.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from websockets.asyncio.client import ClientConnection

from room_server.core.planning import Plan, new_room
from room_server.ids import new_epoch
from tests.support import AT, Site, next_state, state_where

PLAN = Plan(
    title="Launch",
    scheduled_at=AT,
    cta_label="Join",
    cta_url="https://example.org/join",
    player_url="https://example.org/player",
    recording_url="https://example.org/recording",
)
ANNA, BORIS = 1, 2
"""Two leads: Anna stays to the end, Boris leaves."""


async def test_the_life_of_a_webinar(site: Site) -> None:
    # The operator plans it. A draft is nobody's business yet: not on the schedule, unknown to attendees.
    await site.transactions.create(new_room("w", new_epoch(), PLAN, draft=True))
    assert (await site.http.get("/webinars")).json() == {"webinars": []}
    assert (await site.state("attendee")).json()["code"] == "webinar_unknown"
    assert (await site.status("start")).json()["code"] == "webinar_state_invalid_start"

    # It is published. People come early: the room is a waiting room, and each socket's first frame is its state.
    await site.act("schedule")
    async with AsyncExitStack() as stack:
        room = Audience([
            await stack.enter_async_context(site.socket("speaker")),
            await stack.enter_async_context(site.socket("moderator")),
            await stack.enter_async_context(site.socket(claims={"sub": str(ANNA)})),
            await stack.enter_async_context(site.socket(claims={"sub": str(BORIS)})),
        ])  # fmt: skip
        assert [state["status"] for state in await room.next()] == ["scheduled"] * 4
        assert (await site.entered(ANNA)).json()["code"] == "webinar_not_live"

        # The speaker starts. The answer comes when that is durable; the sockets hear of it without anybody asking.
        started = await site.status("start")
        assert started.json() == {
            "webinar_id": "w",
            "duplicate": False,
            "status": "live",
            "version": 3,
            "cta_visibility": "hidden",
        }
        live = await room.hears(status="live", version=3)
        assert live["player_url"] == "https://example.org/player"
        assert live["on_air_since"] == live["started_at"]

        # A double click changes nothing, and tells nobody anything.
        assert (await site.status("start")).json()["duplicate"] is True

        # Both attendees enter, each for itself. Entering is a fact about a lead: the room stays as it is.
        assert (await site.entered(ANNA)).json() == {"webinar_id": "w", "duplicate": False, "lead_id": ANNA}
        assert (await site.entered(BORIS)).json()["duplicate"] is False
        assert (await site.entered(BORIS)).json()["duplicate"] is True

        # The speaker shows the call to action; a moderator may only watch.
        forbidden = await site.hook(
            "core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True}, "moderator"
        )
        assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden_role")
        await site.hook("core_webinar_set_cta_visibility", {"webinar_id": "w", "visible": True})
        shown = await room.hears(version=4)
        assert shown["cta"] == {"visibility": "visible", "label": "Join", "url": "https://example.org/join"}

        # A technical pause, by the operator: the time on air stands still, and nobody's participation completes.
        await site.act("pause")
        paused = await room.hears(status="paused")
        assert paused["on_air_since"] is None
        assert (await site.completed(ANNA)).json()["code"] == "webinar_not_finished"
        await site.act("resume")
        assert (await room.hears(status="live"))["on_air_ms"] == paused["on_air_ms"]

        # The end. Anna's page completes her participation, and she is classified at once; Boris is gone.
        await site.status("stop")
        finished = await room.hears(status="finished")
        assert finished["recording_url"] == "https://example.org/recording"
        assert finished["player_url"] is None
        completed = await site.completed(ANNA)
        assert completed.json() == {"webinar_id": "w", "duplicate": False, "lead_id": ANNA, "attended": True}
        assert (await site.entered(3)).json()["code"] == "webinar_not_live"
        assert (await site.status("start")).json()["code"] == "webinar_state_invalid_restart"

        # What the mission's modules said to each other stands in order in a stream, each exactly once.
        assert await emitted(site) == [
            "core_webinar_set_status",
            "client_webinar_entered",
            "client_webinar_entered",
            "core_webinar_set_cta_visibility",
            "core_webinar_set_status",
            "client_webinar_completed",
            "webinar_completed",
            "client_webinar_attendance_classified",
            "post_webinar_route",
        ]

        # The operator closes it for good.
        await site.act("archive")
        archived = await room.hears(status="archived")
        assert (await site.status("start")).json()["code"] == "webinar_state_locked"

        # And the reading by REST is, byte for byte, what the sockets were sent.
        assert (await site.state("moderator")).json() == archived


class Audience:
    """Everyone who holds a socket on the room."""

    def __init__(self, sockets: list[ClientConnection]) -> None:
        self._sockets = sockets

    async def next(self) -> list[dict[str, Any]]:
        """The next state of each."""
        return list(await asyncio.gather(*map(next_state, self._sockets)))

    async def hears(self, **wanted: Any) -> dict[str, Any]:
        """The state that all of them are sent, once it has these fields."""
        heard = await asyncio.gather(*(state_where(socket, **wanted) for socket in self._sockets))
        assert all(state == heard[0] for state in heard)
        return heard[0]


async def emitted(site: Site) -> list[str]:
    """The hooks in the stream of the webinar's partition."""
    entries: Any = await site.raw.xrange(site.store.keys.events(site.store.keys.tag("w")))
    return [fields[b"hook"].decode() for _, fields in entries]
