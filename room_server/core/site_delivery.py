"""How events are delivered to the site: what an answer means, when the next try comes, when an event is parked.

A `Progress` is kept for each receiver and partition. Times in it are Unix ms by that partition's clock
(state/steady.lua). The rules: docs/site-events.md.
"""

import hashlib
import re
from enum import StrEnum
from typing import Literal, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct
from msgspec.structs import replace

MOST = 100
"""Most events in a request."""
RETRY_SECONDS = (5, 30, 2 * 60, 10 * 60, 30 * 60, 3600, 2 * 3600, 4 * 3600)
"""Before each next try while the receiver fails; the last one repeats."""
REFUSED_SECONDS = (5, 15, 30, 60, 120, 240, 480, 900, 1080)
"""Between the tries of an event that is refused: one more try than there are pauses, all within an hour."""
SPREAD = 0.2
"""Each pause is longer or shorter by up to this share, so that receivers that failed together do not return so."""
GIVE_UP_MS = 3 * 24 * 3600 * 1000
"""A receiver that took nothing for so long is switched off."""
LONGEST_RETRY_AFTER = 24 * 3600.0
"""Seconds that a Retry-After may ask for."""
REFUSING = frozenset({400, 409, 413, 422})
"""Statuses that refuse what was sent."""
GONE = 410
HTML = re.compile(
    r"(?>\s+|<!--(?>.*?-->)|<\?(?>.*?\?>))*+<(?:!--|(?:!doctype\s+html|html|head|body|title|meta)(?:[\s/>]|\Z))",
    re.IGNORECASE | re.DOTALL,
)
"""The beginning of an HTML document, with blanks, comments and an XML declaration before it. No part is matched twice:
a body is not ours, and could be made so that another expression takes for ever."""


class AnswerKind(StrEnum):
    """What an answer means for what was sent."""

    TAKEN = "taken"
    REFUSED = "refused"
    """What was sent is refused; something else may be taken."""
    FAILED = "failed"
    """The receiver does not work, or there is none: the same is sent again later."""
    GONE = "gone"
    """There is no receiver any more: it is switched off."""


class Answer(Struct, frozen=True):
    """An answer, or why there was none, in `words` for a person; `retry_after`: seconds that it asks to wait."""

    kind: AnswerKind
    words: str
    retry_after: float = 0.0


class Receiver(NamedTuple):
    """An address that gets the events: `id` names it in Redis, `url` and `label` name it to people."""

    id: str
    url: str
    """Without user, password and query, which may be secrets."""
    label: str
    """The host and a short hash, for metrics and the monitor."""

    @classmethod
    def of(cls, url: str) -> "Receiver":
        """The receiver at this address; another user or password makes no other receiver."""
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        name = hashlib.sha256(urlunsplit(parts._replace(netloc=host)).encode()).hexdigest()[:16]
        shown = urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))
        return cls(name, shown, f"{host}-{name[:6]}")


class Progress(Struct, frozen=True, kw_only=True):
    """How far a receiver is in a partition; stored as JSON."""

    url: str
    label: str
    seen_at: int
    """When a worker last had the receiver in its settings, to the ten minutes."""
    off_since: int | None = None
    """Since when it is switched off; None: it is on."""
    failing_since: int | None = None
    """The first answer other than `taken` since it took something, or since nothing waited."""
    due: int = 0
    """Nothing is sent before that."""
    failures: int = 0
    """Answers `failed` in a row."""
    most: int = MOST
    """Most events in the next request: fewer while it is sought which one is refused."""
    suspect: str = ""
    """Stream id of the last event of the last request that was refused; the refused event is not behind it."""
    refused: str = ""
    """Stream id of the event that was refused alone."""
    refusals: int = 0
    """How often it was."""
    answer: str = ""
    """The last answer, in words."""
    answered_at: int = 0
    sent: int = 0
    """Events that were taken."""
    gone: int = 0
    """Events that had been erased when they were to be sent."""
    answers: dict[str, int] = {}
    """How many answers there were of each kind."""

    @property
    def state(self) -> Literal["ok", "waiting", "off"]:
        """`waiting`: the last answer was none of `taken`, and the same is sent again."""
        if self.off_since is not None:
            return "off"
        return "waiting" if self.failures or self.refusals else "ok"


class Tried(NamedTuple):
    """What a request held: so many events, from the stream id `first` to `last`."""

    events: int
    first: str
    last: str


class Moment(NamedTuple):
    """When it is, and by which share between -SPREAD and SPREAD the next pause is changed."""

    now: int
    spread: float


class Outcome(NamedTuple):
    """What follows from an answer: the new progress; whether what was tried is done with, and whether it is parked."""

    progress: Progress
    is_done: bool
    is_parked: bool = False


def kind_of(status: int, body: bytes) -> AnswerKind:
    """The meaning of an answer by its status and, of 2xx, the beginning of its body."""
    if 200 <= status < 300:
        return AnswerKind.FAILED if is_html(body) else AnswerKind.TAKEN
    if status == GONE:
        return AnswerKind.GONE
    return AnswerKind.REFUSED if status in REFUSING else AnswerKind.FAILED


def is_html(body: bytes) -> bool:
    """Whether a body begins as an HTML document: a page that says "maintenance" with 200 is no receiver."""
    encoding = "utf-16" if body[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    text = body.decode(encoding, "replace").lstrip("\ufeff\0")
    return HTML.match(text) is not None


def after(progress: Progress, tried: Tried, answer: Answer, at: Moment) -> Outcome:
    """What follows from the answer to a request."""
    counted = {**progress.answers, answer.kind.value: progress.answers.get(answer.kind.value, 0) + 1}
    known = replace(progress, answer=answer.words, answered_at=at.now, answers=counted)
    if answer.kind is AnswerKind.TAKEN:
        return Outcome(_taken(known, tried), is_done=True)
    known = replace(known, failing_since=at.now if known.failing_since is None else known.failing_since)
    if answer.kind is AnswerKind.GONE or at.now - (known.failing_since or at.now) >= GIVE_UP_MS:
        return Outcome(replace(known, off_since=at.now), is_done=False)
    if answer.kind is AnswerKind.REFUSED:
        return _refused(known, tried, at)
    return Outcome(_failed(known, answer, at), is_done=False)


def idle(progress: Progress) -> Progress:
    """The progress when nothing waits: what failed before has been erased or skipped meanwhile, or parked."""
    return replace(progress, failing_since=None, failures=0, refused="", refusals=0)


def restarted(progress: Progress) -> Progress:
    """The progress once the operator switches the receiver on again, or does not want to wait."""
    return replace(progress, off_since=None, failing_since=None, due=0, failures=0, most=MOST, suspect="", refused="",
                   refusals=0)  # fmt: skip


def _taken(progress: Progress, tried: Tried) -> Progress:
    """More events go into the next request, unless the refused one is still among those to come."""
    is_past = not progress.suspect or _place(tried.last) >= _place(progress.suspect)
    return replace(
        progress,
        sent=progress.sent + tried.events,
        failing_since=None,
        due=0,
        failures=0,
        refused="",
        refusals=0,
        most=min(MOST, 2 * progress.most) if is_past else progress.most,
        suspect="" if is_past else progress.suspect,
    )


def _refused(progress: Progress, tried: Tried, at: Moment) -> Outcome:
    """Half as many at once; an event that is refused alone again after a pause, and parked in the end."""
    if tried.events > 1:
        halved = replace(progress, failures=0, due=0, most=tried.events // 2, suspect=tried.last)
        return Outcome(halved, is_done=False)
    refusals = 1 + (progress.refusals if progress.refused == tried.first else 0)
    if refusals > len(REFUSED_SECONDS):
        rest = replace(progress, failures=0, due=0, refused="", refusals=0, most=2, suspect="")
        return Outcome(rest, is_done=True, is_parked=True)
    due = at.now + _pause_ms(REFUSED_SECONDS[refusals - 1], at.spread)
    return Outcome(replace(progress, failures=0, due=due, refused=tried.first, refusals=refusals), is_done=False)


def _failed(progress: Progress, answer: Answer, at: Moment) -> Progress:
    """The same again after a pause, and for the last time when the receiver would be switched off."""
    pause = _pause_ms(RETRY_SECONDS[min(progress.failures, len(RETRY_SECONDS) - 1)], at.spread)
    last = (progress.failing_since or at.now) + GIVE_UP_MS
    asked = at.now + round(1000 * min(answer.retry_after, LONGEST_RETRY_AFTER))
    return replace(progress, failures=progress.failures + 1, due=max(min(at.now + pause, last), asked))


def _pause_ms(seconds: float, spread: float) -> int:
    return round(1000 * seconds * (1 + spread))


def _place(stream_id: str) -> tuple[int, int]:
    """A stream id as Redis compares it."""
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number or 0)
