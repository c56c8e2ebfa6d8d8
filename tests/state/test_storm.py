"""Random faults of the connection to Redis: the answers of hooks are compared with the stored events."""

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
    """Two processes, one of them behind a faulty proxy; the answers are compared with the stored events."""
    chance = random.Random(0)
    trouble = asyncio.create_task(cause(proxy, chance))
    stores = [far, far, state.store]
    answers: list[tuple[builders.Hook, str]] = []

    clock = asyncio.get_running_loop().time
    ends = clock() + (60 if soak else 0.8)

    async def act() -> None:
        while clock() < ends:
            enters = chance.random() < 0.6
            hook = builders.enter(chance.randint(1, 400)) if enters else builders.cta(chance.random() < 0.5)
            answers.append((hook, await answer(chance.choice(stores), hook)))

    await asyncio.gather(*(act() for _ in range(12)))
    trouble.cancel()
    await asyncio.gather(trouble, return_exceptions=True)
    stored = await history(state)

    assert proxy.lost > 0
    assert {code for _, code in answers} <= {"ok", "duplicate", "state_unavailable"}
    check_leads(answers, stored)
    await check_room(state, answers, stored)


async def cause(proxy: Proxy, chance: random.Random) -> None:
    """Cause one fault after the other, until cancelled."""
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


def check_leads(answers: list[tuple[builders.Hook, str]], stored: list[tuple[str, object]]) -> None:
    """Each lead has entered at most once, and has if any answer says so; at most one answer is `ok`."""
    entered = Counter(lead for name, lead in stored if name == "client_webinar_entered")
    entries = [(hook.lead_id, code) for hook, code in answers if isinstance(hook, type(builders.enter()))]
    accepted = Counter(lead for lead, code in entries if code == "ok")

    assert set(entered.values()) | set(accepted.values()) == {1}
    assert {lead for lead, code in entries if code in {"ok", "duplicate"}} <= set(entered)
    assert set(entered) - set(accepted) <= {lead for lead, code in entries if code == "state_unavailable"}


async def check_room(state: State, answers: list[tuple[builders.Hook, str]], stored: list[tuple[str, object]]) -> None:
    """Every change is one version and the opposite of the one before; the room has the last one."""
    changes = [shown for name, shown in stored if name == "core_webinar_set_cta_visibility"]
    room = (await state.store.load(WEBINAR)).room
    counts = Counter(code for hook, code in answers if isinstance(hook, SetCtaVisibility))

    assert room is not None
    assert room.version == builders.room().version + len(changes)
    assert changes == [number % 2 == 0 for number in range(len(changes))]
    assert counts["ok"] <= len(changes) <= counts["ok"] + counts["state_unavailable"]
