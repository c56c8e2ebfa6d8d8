"""A start says in one line what its user of Redis may not do; the line of the documents for the ACL is enough."""

import re
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from room_server.core.room import RosterEntry
from room_server.errors import ConfigurationError
from room_server.state.roster import import_roster
from room_server.state.startup import open_state
from tests.support import next_state, room, serving, settings_for, state_where

ROOT = Path(__file__).parents[2]
STATE = ROOT / "room_server" / "state"
DOCUMENTED = re.search(
    r"^ACL SETUSER rooms on >SECRET (.+)$", (ROOT / "docs" / "operations.md").read_text("utf-8"), re.MULTILINE
)


async def as_user(url: str, *rules: str) -> str:
    """The address for a user with these rules."""
    async with Redis.from_url(url) as client:
        untyped: Any = client
        await untyped.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">secret", *rules)
    return f"{url.replace('unix://', 'unix://limited:secret@')}"


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        ("~rs:* &rs:* +@all -info", "info"),
        ("~rs:* &rs:* +@all -hset -xreadgroup -zadd", "hset, xreadgroup, zadd"),
        ("~rs:* +@all", "spublish, ssubscribe"),
        ("~rs:* &other:* +@all", "spublish, ssubscribe"),
        ("~rs:* &rs:* +@all -ssubscribe", "ssubscribe"),
        ("~rs:* &rs:* +@all -@write +set", None),
    ],
)
async def test_a_missing_right_is_named_at_the_start(redis_url: str, rules: str, missing: str | None) -> None:
    with pytest.raises(ConfigurationError) as refused:
        async with open_state(settings_for(await as_user(redis_url, *rules.split()))):
            pass

    (line,) = str(refused.value).splitlines()
    assert line.startswith("ROOM_SERVER_REDIS_URL: this user of Redis lacks the right to ")
    assert f"lacks the right to {missing} on the keys" in line or missing is None
    assert "secret" not in line


@pytest.mark.parametrize("rules", ["~rs:* &rs:* +@all -@scripting", "~rs:* &rs:* +@all -evalsha", "~other:* &* +@all"])
async def test_without_scripts_or_keys_there_is_one_line_too(redis_url: str, rules: str) -> None:
    with pytest.raises(ConfigurationError, match=r"does not take us: .*permission") as refused:
        async with open_state(settings_for(await as_user(redis_url, *rules.split()))):
            pass

    assert len(str(refused.value).splitlines()) == 1


async def test_the_documented_rights_are_enough(redis_url: str) -> None:
    assert DOCUMENTED is not None
    async with serving(settings_for(await as_user(redis_url, *DOCUMENTED[1].split()))) as site:
        await site.transactions.create(room())
        await import_roster(site.store, "w", [RosterEntry(lead_id=42)], replace=True)
        async with site.socket() as socket:
            await next_state(socket)
            assert (await site.status("start")).status_code == 200
            await state_where(socket, status="live")
        assert (await site.entered(42)).status_code == 200
        assert (await site.status("stop")).status_code == 200
        assert (await site.http.get("/readyz")).json()["ready"] is True
        assert await site.store.delete("w")


async def test_a_start_leaves_nothing_behind(redis_url: str) -> None:
    async with open_state(settings_for(redis_url)), Redis.from_url(redis_url) as client:
        assert [key async for key in client.scan_iter()] == [b"rs:partitions"]


def test_every_command_of_the_scripts_is_tried() -> None:
    called = {
        name for path in STATE.glob("*.lua") for name in re.findall(r"redis\.p?call\('([A-Z]+)'", path.read_text())
    }
    tried = set(re.findall(r"\{'([A-Z]+)'", (STATE / "rights.lua").read_text()))

    assert called
    assert called - tried == set()
