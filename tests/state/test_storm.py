"""Replies lost, requests late, lines cut and slow, at random: what was answered is compared with what is stored."""

import asyncio
import random
from collections import Counter

from room_server.core.messages import SetCtaVisibility
from room_server.state.redis.pipeline import Script
from room_server.state.startup import State
from room_server.state.store import Store
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.proxy import Proxy
from tests.state.acts import answer, history

COMMIT = Script.read("commit").sha.encode()
TROUBLES = ["lose"] * 8 + ["cut"] * 4 + ["slow"] * 3 + ["calm"] * 3 + ["late"]


async def test_no_history_of_faults_is_written_twice_lost_or_undone(
    state: State, proxy: Proxy, far: Store, soak: bool
) -> None:
    """Two processes, one behind faults of all kinds; what was answered is compared with what is stored."""
    chance = random.Random(0)
    trouble = asyncio.create_task(cause(proxy, chance))
    stores = [far, far, state.store]
    told: list[tuple[builders.Hook, str]] = []

    clock = asyncio.get_running_loop().time
    ends = clock() + (60 if soak else 0.8)

    async def act() -> None:
        while clock() < ends:
            enters = chance.random() < 0.6
            hook = builders.enter(chance.randint(1, 400)) if enters else builders.cta(chance.random() < 0.5)
            told.append((hook, await answer(chance.choice(stores), hook)))

    await asyncio.gather(*(act() for _ in range(12)))
    trouble.cancel()
    await asyncio.gather(trouble, return_exceptions=True)
    stored = await history(state)

    assert proxy.lost > 0
    assert {word for _, word in told} <= {"ok", "duplicate", "state_unavailable"}
    check_leads(told, stored)
    await check_room(state, told, stored)


async def cause(proxy: Proxy, chance: random.Random) -> None:
    """Trouble of one kind after the other, until cancelled."""
    while True:
        match chance.choice(TROUBLES):
            case "lose":
                proxy.lose_reply_to(COMMIT)
            case "cut":
                proxy.cut()
            case "late":
                held = proxy.hold(COMMIT)
                asyncio.get_running_loop().call_later(0.1 + chance.random(), held.released.set)
            case kind:
                proxy.delay = 0.03 if kind == "slow" else 0.0
        await asyncio.sleep(chance.random() * 0.05)


def check_leads(told: list[tuple[builders.Hook, str]], stored: list[tuple[str, object]]) -> None:
    """Each lead is in once at most; whoever was told so is in; nobody was told twice that it has just entered."""
    entered = Counter(lead for name, lead in stored if name == "client_webinar_entered")
    asked = [(hook.lead_id, word) for hook, word in told if isinstance(hook, type(builders.enter()))]
    accepted = Counter(lead for lead, word in asked if word == "ok")

    assert set(entered.values()) | set(accepted.values()) == {1}
    assert {lead for lead, word in asked if word in {"ok", "duplicate"}} <= set(entered)
    assert set(entered) - set(accepted) <= {lead for lead, word in asked if word == "state_unavailable"}


async def check_room(state: State, told: list[tuple[builders.Hook, str]], stored: list[tuple[str, object]]) -> None:
    """Every change is one version, every second change the opposite of the first, and the last one stands."""
    changes = [shown for name, shown in stored if name == "core_webinar_set_cta_visibility"]
    room = (await state.store.load(WEBINAR)).room
    words = Counter(word for hook, word in told if isinstance(hook, SetCtaVisibility))

    assert room is not None
    assert room.version == builders.room().version + len(changes)
    assert changes == [number % 2 == 0 for number in range(len(changes))]
    assert words["ok"] <= len(changes) <= words["ok"] + words["state_unavailable"]
