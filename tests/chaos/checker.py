"""What must be true whatever went wrong, checked against what is stored, told and held; and the report of it."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

import httpx
import msgspec

from room_server import attendance_report
from room_server.core.messages import DeliveryStatus, Role
from room_server.errors import StateUnavailable
from room_server.state import webinars
from room_server.state.outbox import Outbox
from room_server.state.redis.pipeline import pairs
from room_server.state.redis.retry import deadline
from room_server.state.store import Store
from tests.chaos.recorder import BROKEN, NO_PROBLEM, Acknowledged, Recorder, token
from tests.chaos.show import Show
from tests.chaos.site import Site, Weight
from tests.crowds import Audience
from tests.telegram.bot_api import BotApi

UNEXPECTED = re.compile(r"^Traceback .*\n(?:[ |+].*\n|\n)*(.*)", re.MULTILINE)
"""A traceback, and the line that it ends with."""
OURS = ("internal_error", NO_PROBLEM)
BATCH = 1000
"""Events in one reading."""
SHOWN = 5
"""Examples of what is wrong."""
TALLIES = ("entered", "classified", "attended")
ENDS = frozenset({DeliveryStatus.SENT, DeliveryStatus.DRY_RUN, DeliveryStatus.NO_CHAT, DeliveryStatus.PARKED})
MORE_DESCRIPTORS = 12
"""What connections to Redis may differ by between two moments of rest: each server of a Cluster is asked in time."""
MORE_MEMORY = 24 << 20
"""Bytes that a process may have grown by, however long it ran: copies of rooms, pools, what malloc keeps of garbage."""


class Claim(NamedTuple):
    """Something that must be true; `wrong` says where it is not."""

    what: str
    told: str
    wrong: Sequence[str] = ()

    def __str__(self) -> str:
        shown = "".join(f"\n        {line}" for line in self.wrong[:SHOWN])
        more = f"\n        and {len(self.wrong) - SHOWN} more" if len(self.wrong) > SHOWN else ""
        return f"{'FAIL' if self.wrong else 'PASS'}  {self.what}: {self.told}{shown}{more}"


class Report(NamedTuple):
    """How it went: what was done, and what was found."""

    done: list[str]
    claims: list[Claim]

    @property
    def passed(self) -> bool:
        """Whether everything is true that must be."""
        return not any(claim.wrong for claim in self.claims)

    def __str__(self) -> str:
        verdict = f"{sum(not claim.wrong for claim in self.claims)} of {len(self.claims)} claims hold"
        return "\n".join([*self.done, "", *map(str, self.claims), "", verdict])


class Stored:
    """All that is stored of some webinars, read once when everything has come to its end."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.lines: dict[str, dict[int, attendance_report.AttendanceRow]] = {}
        self.tags: Counter[tuple[str, str]] = Counter()
        """Hook and tag of each event."""
        self.facts: Counter[tuple[str, str, int]] = Counter()
        """Hook, webinar and lead of each event."""

    async def read(self, store: Store, names: Iterable[str]) -> "Stored":
        """Fill it."""
        for name in names:
            room = (await store.load(name)).room
            assert room is not None
            self.versions[name] = room.version
            self.lines[name] = {line.lead_id: line for line in await attendance_report.attendance(store, name)}
        async for hook, payload in events(store):
            tag = payload.get("session_id") or (payload.get("context") or {}).get("source")
            self.tags[hook, str(tag)] += 1
            self.facts[hook, payload["webinar_id"], payload.get("lead_id", 0)] += 1
        return self


async def events(store: Store) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Every hook in the streams, with its payload."""
    for tag in store.keys.tags:
        start = "-"
        while found := await _range(store, store.keys.events(tag), start):
            for _, fields in found:
                said = dict(pairs(fields))
                yield said[b"hook"].decode(), msgspec.json.decode(said[b"payload"])
            start = f"({found[-1][0].decode()}"


async def _range(store: Store, key: str, start: str) -> list[Any]:
    async with deadline():
        return list(await store.call("XRANGE", key, start, "+", "COUNT", BATCH))


async def settled(store: Store, name: str) -> bool:
    """Whether everything that follows a webinar has come to its end."""
    try:
        lines = await attendance_report.attendance(store, name)
        pending = await store.call("ZSCORE", store.keys.evaluations(store.keys.tag(name)), name)
    except StateUnavailable:
        return False
    told = [message.status for line in lines for message in line.messages]
    wanted = sum(2 if line.attended else 3 for line in lines)
    return pending is None and len(told) == wanted and set(told) <= ENDS


def records(recorder: Recorder, stored: Stored) -> list[Claim]:
    """What was acknowledged is stored, and stands in the events."""
    ours = [f"{code} {n} times" for code in OURS if (n := recorder.answers[code])]
    lost = [f"{one.tag} of {one.webinar_id}: {why}" for one in recorder.acknowledged if (why := _lost(one, stored))]
    fresh = [one for one in recorder.acknowledged if not one.answer["duplicate"]]
    absent = [one.tag for one in fresh if stored.tags[one.name, one.tag] != 1]
    twice = [f"{hook} {tag}" for (hook, tag), count in stored.tags.items() if count > 1 and tag != "None"]
    changes = Counter((one.webinar_id, one.answer["version"]) for one in fresh if "version" in one.answer)
    shared = [f"{name}: version {version}" for (name, version), count in changes.items() if count > 1]
    return [
        Claim("every hook is answered in the end", f"{len(recorder.acknowledged):,} with 200", recorder.unanswered),
        Claim("no hook met an error of ours", f"{recorder.answers.total():,} tries", ours),
        Claim("what was acknowledged is stored", f"{len(recorder.acknowledged):,} hooks", lost),
        Claim("what was acknowledged as new is in the events once", f"{len(fresh):,} hooks", absent),
        Claim("no hook is in the events twice", f"{stored.tags.total():,} events", twice),
        Claim("no two changes have the same version", f"{len(changes):,} changes", shared),
    ]


def _lost(one: Acknowledged, stored: Stored) -> str:
    """How an acknowledged hook differs from what is stored; nothing, if it does not."""
    if "version" in one.answer:
        version = stored.versions[one.webinar_id]
        return "" if version >= one.answer["version"] else f"version {version} < {one.answer['version']}"
    line = stored.lines[one.webinar_id].get(one.answer["lead_id"])
    if line is None or line.entered_at is None:
        return "the lead never entered"
    if "attended" not in one.answer:
        return ""
    told, kept = one.answer["attended"], line.attended
    return "" if line.completed_at is not None and told == kept else f"attended {told}, and {kept} is stored"


def leads(shows: Sequence[Show], stored: Stored) -> list[Claim]:
    """Each lead is classified and routed once, as those who completed were told."""
    hooks = ("client_webinar_entered", "client_webinar_completed", "webinar_completed")
    once = ("client_webinar_attendance_classified", "post_webinar_route")
    often = [f"{fact} {n} times" for fact, n in stored.facts.items() if n > 1 and fact[0] in {*hooks, *once}]
    missed, wrong, count = [], [], 0
    for show in shows:
        for lead in show.leads:
            count += 1
            missed += [f"{hook} {show.name} {lead}" for hook in once if stored.facts[hook, show.name, lead] != 1]
            expected = show.answered.get(lead, False)
            if stored.lines[show.name][lead].attended is not expected:
                wrong.append(f"{show.name} {lead}: {stored.lines[show.name][lead].attended}, {expected} is right")
    return [
        Claim("each fact of a lead happens at most once", f"{len(stored.facts):,} facts", often),
        Claim("each lead is classified and routed, exactly once", f"{count:,} leads", missed),
        Claim("each lead is classified as it was told", f"{sum(len(s.answered) for s in shows):,} completed", wrong),
    ]


async def counters(store: Store, stored: Stored) -> list[Claim]:
    """What is counted on the way is what stands there in the end."""
    wrong = []
    for name, lines in stored.lines.items():
        async with deadline():
            tally = dict(pairs(await store.call("HGETALL", store.keys.tally(name))))
        found = attendance_report.summary(list(lines.values()))
        counted = {word: int(tally.get(word.encode(), 0)) for word in TALLIES}
        true = {word: getattr(found, word) for word in TALLIES}
        if counted != true:
            wrong.append(f"{name}: {counted} are counted, {true} are recorded")
    fates = Counter(message.status.value for lines in stored.lines.values() for line in lines.values()
                    for message in line.messages)  # fmt: skip
    if (told := await webinars.delivery_counts(store)) != fates:
        wrong.append(f"messages: {told} are counted, {dict(fates)} are recorded")
    return [Claim("tallies agree with the records", f"{len(stored.lines)} webinars, {dict(fates)}", wrong)]


async def messages(store: Store, shows: Sequence[Show], api: BotApi) -> list[Claim]:
    """Telegram was told once, but for messages whose outcome nobody could know."""
    known = [held.delivery for show in shows async for held in Outbox(store).deliveries(show.name)]
    arrived = Counter((sent.chat_id, sent.text) for sent in api.sent)
    fates = Counter(delivery.status for delivery in known)
    doubts, repeats = sum(delivery.doubts for delivery in known), arrived.total() - len(arrived)
    wrong = []
    if (
        not len(known) - fates[DeliveryStatus.NO_CHAT] - fates[DeliveryStatus.PARKED]
        <= len(arrived)
        <= len(known) - fates[DeliveryStatus.NO_CHAT]
    ):
        wrong.append(f"{len(arrived)} different messages arrived, {dict(fates)} are recorded")
    if repeats > doubts:
        wrong.append(f"{repeats} arrived again, and only {doubts} were in doubt")
    if 10 * fates[DeliveryStatus.PARKED] > fates[DeliveryStatus.SENT]:
        wrong.append(f"{fates[DeliveryStatus.PARKED]} were given up, and only {fates[DeliveryStatus.SENT]} were sent")
    return [Claim("everybody is told once", f"{len(arrived):,} messages, {repeats} of {doubts} doubtful again", wrong)]


async def newest(store: Store, name: str, readers: Audience, seconds: float) -> list[str]:
    """Readers who do not hold what is stored, to the byte, so many seconds after the last change."""
    ends = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            (text,) = await store.public_texts([name])
        except StateUnavailable:
            text = None
        behind = [one for one in readers.clients if one.line is None or one.text != text]
        if not behind or asyncio.get_running_loop().time() > ends:
            return [f"{name}: {one.text[:120]!r}, connected: {one.line is not None}" for one in behind]
        await asyncio.sleep(0.05)


async def counts(port: int, open_sockets: dict[str, int], seconds: float) -> list[str]:
    """How the counts that this process shows differ from attendees' open sockets by webinar, within so many seconds."""
    wanted = {name: {Role.ATTENDEE.value: number} for name, number in open_sockets.items() if number}
    ends = asyncio.get_running_loop().time() + seconds
    headers = {"Authorization": f"Bearer {token(Role.MONITOR)}"}
    found: Any = "no answer"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=3, headers=headers) as http:
        while asyncio.get_running_loop().time() < ends:
            try:
                told = (await http.get("/monitor/counts")).json()
                roles = {room["webinar_id"]: room["roles"] for room in told["rooms"] if room["roles"]}
                found = roles, sum(told["total"] for told in told["nodes"])
            except (*BROKEN, KeyError) as error:
                found = repr(error)
            if found == (wanted, sum(open_sockets.values())):
                return []
            await asyncio.sleep(0.2)
    return [f"process at {port}: {found}, but {open_sockets} are open"]


def leaks(before: dict[str, Weight], after: dict[str, Weight]) -> list[str]:
    """What a process holds now, at rest, and did not hold before."""
    wrong = []
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if new.tasks != old.tasks:
            wrong.append(f"{name}: tasks {new.tasks}, there were {old.tasks}")
        if new.descriptors > old.descriptors + MORE_DESCRIPTORS:
            wrong.append(f"{name}: {new.descriptors} descriptors, there were {old.descriptors}")
        if new.memory > old.memory + MORE_MEMORY:
            wrong.append(f"{name}: {new.memory >> 20} MiB, there were {old.memory >> 20}")
    return wrong


def logs(site: Site) -> Claim:
    """No process met what it does not know: each fault is a warning at most, and is told in words."""
    wrong, read = [], 0
    for name, host in site.hosts.items():
        text = host.log.read_text()
        read += len(text.splitlines())
        wrong += [f"{name}: {found[1]}" for found in UNEXPECTED.finditer(text)]
    return Claim("nobody met what it does not know", f"{read:,} lines of their logs", wrong)


def living(site: Site) -> Claim:
    """Whoever was not killed is there: a process that gives up leaves its sockets to others, and is missed."""
    ended = [f"{name}: its log says why" for name, host in site.hosts.items() if host.has_ended]
    return Claim("no process ends but by kill", f"{len(site.hosts)} processes", ended)


async def weighed(site: Site, before: dict[str, Weight], seconds: float) -> Claim:
    """Who lived through all holds no more than before, when everything had so many seconds to go."""
    ends = asyncio.get_running_loop().time() + seconds
    while (wrong := leaks(before, after := await site.weights())) and asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(0.5)
    told = (
        f"{name} {sum(new.tasks.values())} tasks, {new.descriptors - before[name].descriptors:+} descriptors, "
        f"{(new.memory - before[name].memory) / (1 << 20):+.1f} MiB"
        for name, new in after.items()
    )
    return Claim("nothing leaks in who lived through all", "; ".join(told), wrong)
