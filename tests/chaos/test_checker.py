"""The checker finds what is wrong: each claim fails on what it forbids, and on nothing else."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from room_server.attendance_report import AttendanceRow
from room_server.core.messages import Role
from room_server.state.store import Store
from tests.chaos import checker
from tests.chaos.checker import Claim, Report, Stored
from tests.chaos.recorder import Acknowledged, Recorder, code_of, token
from tests.chaos.show import Show
from tests.chaos.site import Site as HurtSite
from tests.chaos.site import Weight
from tests.crowds import Audience
from tests.support import AT, Site, renew, room, transactions
from tests.telegram.bot_api import BotApi, Sent

FACTS = ("client_webinar_entered", "client_webinar_attendance_classified", "post_webinar_route")
ANSWERS: list[tuple[str, dict[str, Any]]] = [
    ("core_webinar_set_status", {"status": "live", "version": 2}),
    ("core_webinar_set_cta_visibility", {"status": "live", "version": 7}),
    ("client_webinar_entered", {"lead_id": 1}),
    ("client_webinar_entered", {"lead_id": 2}),
    ("client_webinar_completed", {"lead_id": 2, "attended": True}),
]
Tamper = Callable[["Scene"], Any]


class Scene:
    """A webinar `w` of two leads, both of whom entered and the second of whom completed, all as it should be."""

    def __init__(self, store: Store) -> None:
        self.recorder = Recorder([1])
        self.show = Show("w", range(1, 3), self.recorder, store)
        self.show.answered[2] = True
        self.stored = Stored()
        self.stored.versions["w"] = 7
        for number, (name, more) in enumerate(ANSWERS):
            answer = {"webinar_id": "w", "duplicate": False, **more}
            self.recorder.acknowledged.append(Acknowledged(f"t{number}", name, {"webinar_id": "w"}, answer))
            self.stored.tags[name, f"t{number}"] = 1
        self.stored.facts.update((fact, "w", lead) for fact in FACTS for lead in (1, 2))
        self.stored.lines["w"] = {1: line(1, False), 2: line(2, True)}

    def change(self, lead: int, **fields: Any) -> None:
        """A lead's line is another."""
        self.stored.lines["w"][lead] = replace(self.stored.lines["w"][lead], **fields)

    def failed(self) -> set[str]:
        """The claims that do not hold."""
        claims = [*checker.records(self.recorder, self.stored), *checker.leads([self.show], self.stored)]
        return {claim.what for claim in claims if claim.wrong}


def line(lead: int, attended: bool) -> AttendanceRow:
    """What is stored of a lead that entered."""
    route: Any = "attended" if attended else "not_attended"
    completed = AT if attended else None
    return AttendanceRow(
        lead_id=lead, name="", entered_at=AT, completed_at=completed, attended=attended, route=route, messages=[]
    )


STORED = "what was acknowledged is stored"
ONCE = "each lead is classified and routed, exactly once"
TAMPERS: dict[str, tuple[Tamper, set[str]]] = {
    "nothing": (lambda _: None, set()),
    "a hook without an answer": (
        lambda scene: scene.recorder.unanswered.append("t9"),
        {"every hook is answered in the end"},
    ),
    "an error of ours": (
        lambda scene: scene.recorder.answers.update(["internal_error"]),
        {"no hook met an error of ours"},
    ),
    "an entering that is lost": (lambda scene: scene.change(1, entered_at=None), {STORED}),
    "a completion that is lost": (lambda scene: scene.change(2, completed_at=None), {STORED}),
    "another classification than was told": (
        lambda scene: scene.change(2, attended=False),
        {STORED, "each lead is classified as it was told"},
    ),
    "a change that is lost": (lambda scene: scene.stored.versions.update(w=6), {STORED}),
    "an event that is lost": (
        lambda scene: scene.stored.tags.pop(("client_webinar_entered", "t2")),
        {"what was acknowledged as new is in the events once"},
    ),
    "an event that comes twice": (
        lambda scene: scene.stored.tags.update([("client_webinar_entered", "t2")]),
        {"what was acknowledged as new is in the events once", "no hook is in the events twice"},
    ),
    "one version for two changes": (
        lambda scene: scene.recorder.acknowledged[0].answer.update(version=7),
        {"no two changes have the same version"},
    ),
    "a second route": (
        lambda scene: scene.stored.facts.update([("post_webinar_route", "w", 1)]),
        {ONCE, "each fact of a lead happens at most once"},
    ),
    "no classification": (
        lambda scene: scene.stored.facts.pop(("client_webinar_attendance_classified", "w", 1)),
        {ONCE},
    ),
    "a second entering": (
        lambda scene: scene.stored.facts.update([("client_webinar_entered", "w", 1)]),
        {"each fact of a lead happens at most once"},
    ),
}


@pytest.mark.parametrize("tampered", TAMPERS)
def test_a_claim_fails_on_what_it_forbids(tampered: str) -> None:
    tamper, expected = TAMPERS[tampered]
    scene = Scene(None)  # type: ignore[arg-type] # these claims ask what was read before
    tamper(scene)

    assert scene.failed() == expected


async def test_tallies_that_differ_from_the_records_are_found(store: Store) -> None:
    """A completion that came too late is kept, and is not counted."""
    await transactions(store).create(room())
    stored = Stored()
    stored.lines["w"] = {1: replace(line(1, False), entered_at=None, completed_at=AT, attended=None)}
    (fine,) = await checker.counters(store, stored)
    stored.lines["w"] = {1: line(1, True)}
    (wrong,) = await checker.counters(store, stored)

    assert (fine.wrong, len(wrong.wrong)) == ([], 1)
    assert "'entered': 0" in wrong.wrong[0]
    assert "'entered': 1" in wrong.wrong[0]


@pytest.mark.parametrize(("arrived", "right"), [(["a"], True), ([], False), (["a", "b"], False), (["a", "a"], False)])
async def test_a_message_too_many_or_too_few_is_found(outgoing: Any, arrived: list[str], right: bool) -> None:
    await outgoing.put(7)
    api = BotApi("")
    api.sent = [Sent(0.0, 7, text) for text in arrived]
    (claim,) = await checker.messages(outgoing.store, [Show("w", range(0), Recorder([1]), outgoing.store)], api)

    assert (not claim.wrong) is right
    assert claim.told == f"{len(set(arrived))} messages, {len(arrived) - len(set(arrived))} of 0 doubtful again"


async def test_a_reader_that_is_behind_is_found(site: Site) -> None:
    await site.transactions.create(room())
    readers = Audience("/rooms/w/socket", token(Role.ATTENDEE), [int(site.address.rpartition(":")[2])])
    try:
        await readers.join(2)
        assert await checker.newest(site.store, "w", readers, 1) == []
        assert await checker.counts(readers.ports[0], {"w": 2}, 3) == []
        line = readers.clients[0].line
        assert line is not None
        assert line.transport is not None
        line.transport.pause_reading()
        await renew(site.store, "w")
        behind = await checker.newest(site.store, "w", readers, 0.3)
        miscounted = await checker.counts(readers.ports[0], {"w": 3}, 0.3)
    finally:
        await readers.leave()

    assert len(behind) == 1
    assert "connected: True" in behind[0]
    assert len(miscounted) == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(200), "ok"),
        (httpx.Response(409, json={"code": "x"}, headers={"content-type": "application/problem+json"}), "x"),
        (httpx.Response(400, text="Invalid HTTP request received."), "no_problem_document"),
    ],
    ids=["ok", "refused", "no problem document"],
)
def test_an_answer_is_counted_by_what_it_says(answer: httpx.Response, code: str) -> None:
    assert code_of(answer) == code


def test_a_traceback_in_a_log_is_found(tmp_path: Path) -> None:
    site = HurtSite(None, tmp_path)  # type: ignore[arg-type] # nothing is asked of Redis
    log = site.add("web-0").log
    log.write_text("subscription lost\n")
    fine = checker.logs(site)
    log.write_text('lost\nTraceback (most recent call last):\n  File "x", line 1\n    y\nValueError: z\nmore\n')
    claim = checker.logs(site)

    assert (fine.wrong, claim.wrong) == ([], ["web-0: ValueError: z"])


async def test_a_process_that_ended_by_itself_is_found(tmp_path: Path) -> None:
    site = HurtSite(None, tmp_path)  # type: ignore[arg-type] # nothing is asked of Redis
    host = site.add("worker-0")
    host._process = await asyncio.create_subprocess_exec("true")
    await host._process.wait()
    not_begun = checker.living(site)
    host.serves = True
    gave_up = checker.living(site)
    await host.end()

    assert (not_begun.wrong, gave_up.wrong) == ([], ["worker-0: its log says why"])
    assert checker.living(site).wrong == []


def test_what_a_process_holds_too_much_is_found() -> None:
    before = {"web": Weight({"run": 1}, 20, 50 << 20), "gone": Weight({}, 1, 1)}

    def found(**more: Any) -> int:
        return len(checker.leaks(before, {"web": before["web"]._replace(**more)}))

    assert found() == 0
    assert found(tasks={"run": 2}) == 1
    assert found(descriptors=20 + checker.MORE_DESCRIPTORS + 1) == 1
    assert found(memory=(51 << 20) + checker.MORE_MEMORY) == 1


def test_a_report_shows_each_claim_and_fails_with_one() -> None:
    report = Report(["seed 1"], [Claim("a", "1 of it"), Claim("b", "2 of it", ["here", *"12345"])])

    assert not report.passed
    assert str(report) == (
        "seed 1\n\nPASS  a: 1 of it\nFAIL  b: 2 of it\n        here\n        1\n        2\n        3\n        4\n"
        "        and 1 more\n\n1 of 2 claims hold"
    )
    assert Report([], [Claim("a", "1 of it")]).passed
