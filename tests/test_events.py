"""The events for integrators: what docs/events.md says of them, and the example that reads them."""

import json
import re
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path
from typing import Any

from room_server.core.decision_types import OperatorAction
from room_server.core.messages import STREAMED
from room_server.state.redis.pipeline import Script, pairs
from tests.core.builders import WEBINAR, click, complete, cta, enter, start, stop
from tests.state.acts import done, prepare
from tests.support import Site, room

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "events.md").read_text("utf-8")
ROWS = {
    cells[1].strip().strip("`"): re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", cells[2]))
    for line in PAGE.splitlines()
    if (cells := line.split("|"))[1:] and line.startswith("| `")
}
"""The table of the page: hook -> the fields of its payload."""

Stored = list[tuple[str, dict[str, Any]]]


async def hold(site: Site) -> None:
    """A webinar in which every hook comes once."""
    await prepare(site.store, "scheduled")
    for hook in (start(), cta(), enter(), click(), stop(), complete()):
        await done(site.store, hook)


async def stored(site: Site) -> Stored:
    keys = site.store.keys
    lines = await site.store.call("XRANGE", keys.events(keys.tag(WEBINAR)), "-", "+")
    said = [dict(pairs(fields)) for _, fields in lines]
    assert all(set(fields) == {b"hook", b"payload", b"request_id", b"actor", b"id"} for fields in said)
    return [(fields[b"hook"].decode(), json.loads(fields[b"payload"])) for fields in said]


async def read(site: Site, group: str, consumer: str = "one") -> Stored:
    """What the example prints, run by itself until there is nothing new."""
    words = [str(ROOT / "examples" / "read_events.py"), str(site.settings.redis_url), group]
    process = await create_subprocess_exec(
        sys.executable, "-W", "error", "-P", *words, "--consumer", consumer, "--once", stdout=PIPE, stderr=PIPE
    )
    printed, complaints = await process.communicate()
    assert (process.returncode, complaints.decode()) == (0, "")
    return [(hook, json.loads(payload)) for _, hook, payload in (
        line.split(" ", 2) for line in printed.decode().splitlines()
    )]  # fmt: skip


async def test_every_hook_stands_in_the_stream_in_order_and_with_the_fields_of_the_page(site: Site) -> None:
    await hold(site)

    events = await stored(site)

    assert [hook for hook, _ in events] == [
        "core_webinar_set_status",
        "core_webinar_set_cta_visibility",
        "client_webinar_entered",
        "client_webinar_cta_clicked",
        "core_webinar_set_status",
        "client_webinar_completed",
        "webinar_completed",
        "client_webinar_attendance_classified",
        "post_webinar_route",
    ]
    assert [(hook, sorted(payload)) for hook, payload in events] == [(hook, sorted(ROWS[hook])) for hook, _ in events]
    assert set(ROWS) == set(STREAMED)


async def test_the_examples_of_the_page_have_the_shape_of_the_real_ones(site: Site) -> None:
    await hold(site)
    block = re.search(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    shown = [json.loads(part) for part in re.split(r"\n(?=\{\"hook\")", block[1])]

    real = (await stored(site))[-len(shown) :]

    assert [(one["hook"], list(one["payload"])) for one in shown] == [(hook, list(fields)) for hook, fields in real]
    assert [[type(value) for value in one["payload"].values()] for one in shown] == [
        [type(value) for value in fields.values()] for _, fields in real
    ]


def test_the_page_tells_how_much_is_kept() -> None:
    kept = re.search(rb"EVENTS_KEPT = (\d+)", Script.read("commit").text)

    assert kept is not None
    assert f"`MAXLEN ~ {kept[1].decode()}`" in PAGE


async def test_the_example_reads_everything_once_in_order(site: Site) -> None:
    await hold(site)

    first = await read(site, "crm")
    again = await read(site, "crm")

    assert first == await stored(site)
    assert again == []
    assert await read(site, "another") == first


async def test_the_example_goes_on_with_what_came_since(site: Site) -> None:
    await prepare(site.store, "scheduled")
    await done(site.store, start())
    await read(site, "crm")
    await done(site.store, enter())

    assert [hook for hook, _ in await read(site, "crm")] == ["client_webinar_entered"]


async def test_what_a_reader_took_and_never_acknowledged_comes_to_it_again(site: Site) -> None:
    await hold(site)
    keys = site.store.keys
    stream = keys.events(keys.tag(WEBINAR))
    await site.store.call("XGROUP", "CREATE", stream, "crm", "0")
    await site.store.call("XREADGROUP", "GROUP", "crm", "one", "COUNT", 3, "STREAMS", stream, ">")

    assert await read(site, "crm", "one") == await stored(site)


async def test_an_event_says_who_caused_it(site: Site) -> None:
    """The speaker starts, a lead enters, the operator stops; what follows is the server's own."""
    await site.transactions.create(room())
    await site.status("start")
    await site.entered(42)
    await done(site.store, OperatorAction("w", "stop"))
    await site.completed(42)
    lines = await site.store.call("XRANGE", site.store.keys.events(site.store.keys.tag("w")), "-", "+")
    actors = [dict(pairs(fields))[b"actor"] for _, fields in lines]

    assert [json.loads(actor)["role"] for actor in actors[:4]] == ["speaker", "attendee", "system", "attendee"]
    assert json.loads(actors[1]) == {"role": "attendee", "subject": "42"}
    assert set(actors[4:]) == {b""}
