"""What a worker does for the site: several receivers, a dead one, forgetting those that no setting names."""

import asyncio
import logging

import pytest
from msgspec.structs import replace

from room_server.site.worker import UNSEEN_MS, deliver, forget_unseen
from room_server.state.site_events import standing_in
from tests.site.receiver import SECRET, SiteReceiver, answer, site_receiver
from tests.site.sending import Sending
from tests.support import PATIENCE, eventually


async def test_each_receiver_hears_everything_and_one_that_is_down_costs_the_others_nothing(events: Sending) -> None:
    events.site.usual = answer(503)
    async with site_receiver() as other:
        both = f"{events.site.url} {other.url}"
        async with events.delivering(site_events_url=both):
            await eventually(lambda: two(events), "both are known")
            ids = await events.enter(120)
            await eventually(lambda: took(other, ids), "the other one heard all")
        assert other.ids == await events.in_stream()
    assert events.site.table == {}


async def two(events: Sending) -> bool:
    return len(await standing_in(events.store, events.tag)) == 2


async def took(site: SiteReceiver, ids: list[str]) -> bool:
    return set(ids) <= site.table.keys()


async def test_without_a_receiver_there_is_nothing_to_do(events: Sending) -> None:
    async with asyncio.timeout(PATIENCE):
        await deliver(replace(events.settings, site_events_url=""), events.store, "w", asyncio.Event())

    assert await standing_in(events.store, events.tag) == []


async def test_a_receiver_that_no_setting_names_for_a_week_is_forgotten_and_that_is_told(
    events: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    events.site.usual = answer(503)
    async with events.delivering():
        await events.enter(3)
        await events.until(state="waiting")

    await forget_unseen(events.store, [])
    assert (await events.standing()).lag == 3
    await events.later(UNSEEN_MS / 1000 + 600)
    await forget_unseen(events.store, [events.site.url])
    assert (await events.standing()).lag == 3
    await forget_unseen(events.store, [])
    assert await standing_in(events.store, events.tag) == []
    assert "has been in no settings for a week and is forgotten: 3 events waited, 0 were parked" in caplog.text


async def test_a_receiver_that_is_in_the_settings_is_seen_again_and_again(events: Sending) -> None:
    async with events.delivering():
        first = await events.until(state="ok")
        await events.later(3600)

        async def seen() -> bool:
            return (await events.standing()).progress.seen_at > first.progress.seen_at + 3_500_000

        await eventually(seen, "it is seen")


async def test_each_request_is_signed_by_all_secrets_of_a_rotation(events: Sending) -> None:
    new = "whsec_" + "A" * 43 + "="
    async with events.delivering(site_events_secret=f"{new} {SECRET}"):
        ids = await events.enter(1)
        await events.heard(*ids)  # the site knows the second one only

    assert len(events.site.requests[0].headers["webhook-signature"].split()) == 2
