"""Short links: a code leads to what its lead's token says, as long as both are known, and can be read nowhere."""

import time

from room_server.core.room import RosterEntry
from room_server.state import short_links
from room_server.state.roster import import_roster
from room_server.state.short_links import BATCH, CODE, LINKS_PER_LEAD, Claims
from room_server.state.startup import State
from room_server.state.store import Store
from tests.jobs.test_erasure import contents
from tests.state.acts import servers
from tests.support import room, transactions

HOUR = 3600


def soon() -> int:
    """In an hour, Unix seconds."""
    return int(time.time()) + HOUR


async def prepare(store: Store, *leads: int, webinar_id: str = "w") -> None:
    """A webinar with these leads on its roster."""
    await transactions(store).create(room(webinar_id))
    await import_roster(store, webinar_id, [RosterEntry(lead_id=lead) for lead in leads], replace=False)


async def test_a_code_leads_to_its_webinar_and_lead_and_may_be_used_again(any_store: Store) -> None:
    until = soon()
    for name in ("w", "v", "u"):
        await prepare(any_store, 1, 2, webinar_id=name)
        codes = await short_links.save(any_store, name, [2, 1], until)
        assert list(codes) == [2, 1]
        assert all(CODE.fullmatch(code) for code in codes.values())
        for _ in range(2):
            found = [await short_links.find(any_store, code) for code in codes.values()]
            assert found == [(name, Claims(2, until)), (name, Claims(1, until))]


async def test_any_other_code_leads_nowhere(any_store: Store) -> None:
    await prepare(any_store, 1)
    code = (await short_links.save(any_store, "w", [1], soon()))[1]
    others = ["", "x" * 22, code[:-1], code + "x", code.swapcase(), short_links.digest(code), "lead:1", "\0" * 22]

    assert [await short_links.find(any_store, other) for other in others] == [None] * len(others)


async def test_no_code_is_stored(any_state: State) -> None:
    await prepare(any_state.store, 1)
    code = (await short_links.save(any_state.store, "w", [1], soon()))[1]
    async with servers(any_state) as clients:
        stored = [
            key.decode() + repr(await contents(client, key))
            for client in clients
            async for key in client.scan_iter(count=1000)
        ]

    assert len([text for text in stored if short_links.digest(code) in text]) == 2
    assert not any(code in text for text in stored)


async def test_only_who_is_on_the_roster_gets_a_link(any_store: Store) -> None:
    """A lead that is forgotten while links are made does not come back with one."""
    await prepare(any_store, 1)

    assert list(await short_links.save(any_store, "w", [1, 2], soon())) == [1]
    assert await short_links.save(any_store, "nowhere", [1], soon()) == {}


async def test_many_leads_get_a_link_each(any_store: Store) -> None:
    leads = range(1, 2 * BATCH + 2)
    await prepare(any_store, *leads)
    codes = await short_links.save(any_store, "w", leads, soon())

    assert list(codes) == list(leads)
    assert len(set(codes.values())) == len(leads)


async def test_a_link_ends_at_its_time_and_the_next_one_sweeps_it_away(any_store: Store) -> None:
    await prepare(any_store, 1)
    ended = (await short_links.save(any_store, "w", [1], int(time.time()) - 1))[1]
    assert await short_links.find(any_store, ended) is None

    await short_links.save(any_store, "w", [1], soon())

    assert await any_store.call("HLEN", any_store.keys.links("w")) == 2


async def test_the_oldest_links_of_a_lead_end_when_there_are_too_many(any_store: Store) -> None:
    await prepare(any_store, 1)
    codes = [(await short_links.save(any_store, "w", [1], soon()))[1] for _ in range(LINKS_PER_LEAD + 2)]
    found = [await short_links.find(any_store, code) for code in codes]

    assert found[:2] == [None, None]
    assert None not in found[2:]
    assert await any_store.call("HLEN", any_store.keys.links("w")) == LINKS_PER_LEAD + 1


async def test_links_end_with_their_webinar_and_do_not_come_back_with_a_new_one(any_store: Store) -> None:
    await prepare(any_store, 1)
    code = (await short_links.save(any_store, "w", [1], soon()))[1]
    await any_store.delete("w")
    await prepare(any_store, 1)

    assert await short_links.find(any_store, code) is None
