"""Messages that link a recording: none goes out without its link, nor with one that was taken back."""

import asyncio

from msgspec.structs import replace
from starlette.responses import Response

from room_server.core.messages import MessageKind
from room_server.core.planning import Plan
from room_server.core.room import RosterEntry
from tests.proxy import proxy_to
from tests.support import PATIENCE, amend, transactions
from tests.telegram.bot_api import BotApi, flood, take_and_cut
from tests.telegram.outgoing import Outgoing

FIRST, SECOND = "https://example.org/first", "https://example.org/second"
NONE = Plan(recording_url=None)
CLAIM = b'"kind":"recording","status":"sending"'


async def put(outgoing: Outgoing, *leads: int) -> None:
    """Leads that were not there; each gets a follow-up and the recording in a chat of its own."""
    people = [RosterEntry(lead_id=lead, candidate_chat_id=lead) for lead in leads]
    await outgoing.put_leads(*people, no_recording=False, recording_url=FIRST)
    assert [await outgoing.status(lead, MessageKind.RECORDING) for lead in leads] == ["queued"] * len(leads)


async def until(outgoing: Outgoing, lead: int, expected: str) -> tuple[str | None, int]:
    """Why the lead's recording message came to this status, and how often it may have arrived."""
    record = await outgoing.until(lead, expected, kind=MessageKind.RECORDING)
    return record.error, record.doubts


def links(api: BotApi, chat: int) -> list[str]:
    """What a chat was sent as a recording."""
    return [text.splitlines()[-1] for text in api.texts(chat) if "запись" in text]


async def test_a_message_that_waits_ends_when_there_will_be_no_recording(outgoing: Outgoing, api: BotApi) -> None:
    await put(outgoing, 11)
    await amend(outgoing.store, "w", NONE)

    async with outgoing.delivering():
        ended = await until(outgoing, 11, "undeliverable")

    assert (ended, links(api, 11)) == (("no_recording", 0), [])


async def test_a_message_that_waits_takes_the_link_of_the_moment_when_it_goes(outgoing: Outgoing, api: BotApi) -> None:
    await put(outgoing, 11)
    await amend(outgoing.store, "w", Plan(recording_url=SECOND))

    async with outgoing.delivering():
        await until(outgoing, 11, "sent")

    assert links(api, 11) == [SECOND]


async def test_a_message_that_waits_for_a_recording_that_is_expected_again_is_held(
    outgoing: Outgoing, api: BotApi
) -> None:
    await put(outgoing, 11)
    await amend(outgoing.store, "w", NONE)
    await transactions(outgoing.store).edit(
        "w", lambda room: replace(room, no_recording=False, version=room.version + 1)
    )

    async with outgoing.delivering():
        held = await until(outgoing, 11, "held")

    assert (held, links(api, 11)) == ((None, 0), [])


async def test_a_message_in_doubt_is_not_tried_again_when_there_will_be_no_recording(
    outgoing: Outgoing, api: BotApi
) -> None:
    """It may have arrived, and its record says so."""
    await put(outgoing, 11)

    async def take_back_and_cut(api: BotApi, chat_id: int, text: str) -> Response:
        if FIRST in text:
            await amend(outgoing.store, "w", NONE)
        return await take_and_cut(api, chat_id, text)

    api.always[11] = take_back_and_cut

    async with outgoing.delivering():
        ended = await until(outgoing, 11, "undeliverable")

    assert (ended, links(api, 11)) == (("no_recording", 1), [FIRST])


async def test_a_message_whose_try_failed_is_checked_again(outgoing: Outgoing, api: BotApi) -> None:
    await put(outgoing, 11)

    async def take_back_and_flood(api: BotApi, chat_id: int, text: str) -> Response:
        await amend(outgoing.store, "w", NONE)
        return await flood(1)(api, chat_id, text)

    api.always[11] = take_back_and_flood

    async with outgoing.delivering():
        ended = await until(outgoing, 11, "undeliverable")

    assert (ended, links(api, 11)) == (("no_recording", 0), [])


async def test_a_link_that_was_taken_back_before_the_claim_never_goes_out(
    outgoing: Outgoing, api: BotApi, valkey_url: str
) -> None:
    """Its text was made before, and waited for its moment."""
    async with proxy_to(valkey_url) as proxy, outgoing.delivering(redis_url=proxy.url):
        claim = proxy.hold(CLAIM)
        await put(outgoing, 11)
        async with asyncio.timeout(PATIENCE):
            await claim.arrived.wait()
        await amend(outgoing.store, "w", Plan(recording_url=SECOND))
        claim.released.set()
        await until(outgoing, 11, "sent")

    assert links(api, 11) == [SECOND]
    assert (await outgoing.record(11, MessageKind.RECORDING)).attempts == 1


async def test_a_recording_that_is_named_after_the_archive_goes_out_with_its_link(
    outgoing: Outgoing, api: BotApi
) -> None:
    person = RosterEntry(lead_id=11, candidate_chat_id=11)
    await outgoing.put_leads(person, no_recording=False, status="archived")
    held = await outgoing.status(11, MessageKind.RECORDING)
    await amend(outgoing.store, "w", Plan(recording_url=SECOND))
    await outgoing.evaluated()

    async with outgoing.delivering():
        await until(outgoing, 11, "sent")

    assert (held, links(api, 11)) == ("held", [SECOND])
