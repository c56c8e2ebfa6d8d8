"""The table of the operator's acts, walked: a hook and its command leave equal records and refuse alike."""

import asyncio
import re
from typing import Any, NamedTuple

import msgspec
import pytest

from room_server.core.room import Participation, RosterEntry, Status
from room_server.core.site_hooks import SITE_HOOKS
from room_server.operations.acts import ACTS
from room_server.state import roster
from room_server.state.redis.pipeline import pairs
from tests.support import AT, Site, room
from tests.terminal import COMMANDS, Terminal
from tests.test_docs import ROOT, rows

NEW = "2030-11-22T18:00:00+03:00"


class Case(NamedTuple):
    """What a hook says, and the words of the command line that say the same. `ID` stands for the webinar."""

    hook: str
    payload: dict[str, Any]
    words: tuple[str, ...]


CASES = [
    Case("core_webinar_plan", {"title": "New"}, ("webinar", "set", "ID", "--title", "New")),
    Case("core_webinar_plan", {"scheduled_at": NEW}, ("webinar", "set", "ID", "--at", NEW)),
    Case(
        "core_webinar_plan",
        {"grace": 5, "unlisted": True, "frame_origins": ["https://Cdn.example/"], "recording_url": None},
        (
            *("webinar", "set", "ID", "--grace", "5", "--unlisted", "--frame-origin", "https://Cdn.example/"),
            "--no-recording",
        ),
    ),
    Case(
        "core_webinar_plan",
        {"player_url": "https://youtu.be/x"},
        ("webinar", "set", "ID", "--player-url", "https://youtu.be/x"),
    ),
    Case(
        "core_webinar_plan",
        {"attended_by": "both", "min_watch": "30m"},
        ("webinar", "set", "ID", "--attended-by", "both", "--min-watch", "30m"),
    ),
    Case("core_webinar_plan", {"attended_by": "watched"}, ("webinar", "set", "ID", "--attended-by", "watched")),
    Case("core_webinar_pause", {}, ("webinar", "pause", "ID")),
    Case("core_webinar_resume", {}, ("webinar", "resume", "ID")),
    Case("core_webinar_archive", {}, ("webinar", "archive", "ID")),
    Case("core_webinar_cancel", {}, ("webinar", "cancel", "ID")),
    Case(
        "core_roster_register",
        {"leads": [{"lead_id": 42, "name": "Анна", "partner_id": "7"}, {"lead_id": "43", "candidate_chat_id": "-5"}]},
        ("roster", "import", "ID", "FILE"),
    ),
    Case("core_roster_withdraw", {"lead_ids": [1, 2, 3]}, ("roster", "withdraw", "ID", "1", "2", "3")),
]
FILE = "lead_id,name,partner_id,candidate_chat_id\n42,Анна,7,\n43,,,-5\n"
STATUSES = [*Status, None]
"""Also no webinar."""


@pytest.fixture
def terminal(site: Site) -> Terminal:
    """The command line on the same Redis as the site."""
    return Terminal(str(site.settings.redis_url))


async def prepare(site: Site, name: str, status: Status | None) -> None:
    """A webinar in this state (None: none); lead 1 is registered, lead 2 as well, and has entered."""
    if status is None:
        return
    ended = status in {Status.FINISHED, Status.ARCHIVED}
    times = {"started_at": AT, "finished_at": AT} if ended else {}
    await site.transactions.create(room(name, status=status, grace=0, **times))
    await roster.import_roster(site.store, name, [RosterEntry(lead_id=1), RosterEntry(lead_id=2)], replace=False)
    entered = msgspec.json.encode(Participation(lead_id=2, entered_at=AT))
    await site.store.call("HSET", site.store.keys.participations(name), 2, entered)


async def records(site: Site, name: str) -> dict[str, Any]:
    """All records of a webinar, without what differs by chance: ids, epochs, the clock."""
    keys, tag = site.store.keys, site.store.keys.tag(name)
    record = msgspec.json.decode(await site.store.call("HGET", keys.room(name), "record") or b"{}")
    for field in ("webinar_id", "epoch", "request_id"):
        record.pop(field, None)
    record["stretches"] = [from_ms for from_ms, _ in record.get("stretches", [])]
    record |= {moment: "then" for moment in ("started_at", "on_air_since", "cancelled_at") if record.get(moment)}
    hashes = {kind: await site.store.call("HGETALL", getattr(keys, kind)(name)) for kind in ("roster", "tally")}
    known = await site.store.call("HKEYS", keys.participations(name))
    index = await site.store.call("ZSCORE", keys.archived(tag), name)
    return {
        "room": record,
        **{kind: dict(pairs(found)) for kind, found in hashes.items()},
        "participations": sorted(known),
        "archived": index is not None,
    }


async def by_hook(site: Site, case: Case, name: str) -> str:
    answer = await site.hook(case.hook, {"webinar_id": name, **case.payload}, "system")
    return str(answer.json().get("code", "ok"))


async def by_command(terminal: Terminal, case: Case, name: str, file: str) -> str:
    words = [{"ID": name, "FILE": file}.get(word, word) for word in case.words]
    result = await asyncio.to_thread(terminal.run, *words)
    code = re.search(r"\((\w+)\)\n$", result.output)
    return "ok" if result.exit_code == 0 else code[1] if code else result.output


def test_every_hook_of_the_site_is_in_the_table_with_commands_that_are_there() -> None:
    known = {" ".join(words) for words in COMMANDS}

    assert ACTS.keys() == SITE_HOOKS.keys()
    assert {command for act in ACTS.values() for command in act.commands} <= known
    assert {case.hook for case in CASES} | {"core_lead_forget", "core_site_check"} == ACTS.keys()


def test_the_page_for_sites_has_the_table() -> None:
    listed: dict[str, set[str]] = {}
    for cells in rows((ROOT / "docs" / "site.md").read_text("utf-8")):
        names, commands = (re.findall(r"`([a-z_ ]+)`", cell) for cell in cells[:2])
        for at, name in enumerate(names):
            listed[name] = {commands[at]} if len(names) == len(commands) > 1 else set(commands)

    assert {name: listed.get(name) for name in ACTS} == {name: set(act.commands) for name, act in ACTS.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.hook} {'-'.join(case.payload)}")
async def test_a_hook_and_its_command_do_the_same_in_every_state(
    site: Site, terminal: Terminal, case: Case, tmp_path: Any
) -> None:
    file = tmp_path / "leads.csv"
    file.write_text(FILE, "utf-8")
    for number, status in enumerate(STATUSES):
        if status is None and case.hook == "core_webinar_plan":
            continue  # the hook makes a webinar, `webinar set` does not
        await prepare(site, f"hook-{number}", status)
        await prepare(site, f"command-{number}", status)
        answers = [
            await by_hook(site, case, f"hook-{number}"),
            await by_command(terminal, case, f"command-{number}", str(file)),
        ]
        assert answers[0] == answers[1], status
        assert await records(site, f"hook-{number}") == await records(site, f"command-{number}"), status


async def test_a_new_webinar_is_the_same_by_its_hook_and_its_command(site: Site, terminal: Terminal) -> None:
    for draft in (True, False):
        payload = {"webinar_id": f"hook-{draft}", "title": "New", "scheduled_at": NEW, "draft": draft}
        answer = await site.hook("core_webinar_plan", payload, "system")
        words = ("webinar", "create", f"command-{draft}", "--title", "New", "--at", NEW)
        await asyncio.to_thread(terminal.says, *words, *(["--draft"] if draft else []))

        assert answer.json()["created"] is True
        assert await records(site, f"hook-{draft}") == await records(site, f"command-{draft}")


async def test_a_draft_is_published_alike(site: Site, terminal: Terminal) -> None:
    for name in ("hook", "command"):
        await prepare(site, name, Status.DRAFT)
    await site.hook("core_webinar_plan", {"webinar_id": "hook", "draft": False}, "system")
    await asyncio.to_thread(terminal.says, "webinar", "schedule", "command")

    assert await records(site, "hook") == await records(site, "command")


async def test_a_lead_is_forgotten_alike(site: Site, terminal: Terminal) -> None:
    for name in ("one", "two"):
        await prepare(site, name, Status.FINISHED)
    answer = await site.hook("core_lead_forget", {"lead_id": 1}, "system", scope="*")
    first = await records(site, "one")
    await asyncio.to_thread(terminal.says, "lead", "forget", "2", "--yes")

    assert answer.json() == {"webinar_id": None, "duplicate": False, "lead_id": 1, "webinars": ["one", "two"]}
    assert (list(first["roster"]), first["participations"]) == ([b"2"], [b"2"])
    assert (await records(site, "one"))["roster"] == {}


async def test_a_lead_of_a_running_webinar_is_forgotten_by_neither(site: Site, terminal: Terminal) -> None:
    await prepare(site, "running", Status.LIVE)
    before = await records(site, "running")
    answer = await site.hook("core_lead_forget", {"lead_id": 1}, "system", scope="*")
    complaint = await asyncio.to_thread(terminal.refuses, "lead", "forget", "1", "--yes")

    assert (answer.status_code, answer.json()["code"]) == (409, "lead_in_running_webinar")
    assert complaint.endswith("(lead_in_running_webinar)\n")
    assert await records(site, "running") == before
