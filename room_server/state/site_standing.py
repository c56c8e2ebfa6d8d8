"""How far each receiver of the site's events is, summed over all partitions: for metrics, pages and the site itself."""

from collections import Counter
from typing import Literal

from msgspec import Struct

from room_server.state.site_events import PartitionStanding, standings
from room_server.state.store import Store

ReceiverState = Literal["ok", "waiting", "off"]
"""`waiting`: in a partition it did not take the last request; `off`: in one it is switched off. The worst counts."""
WORSE: tuple[ReceiverState, ...] = ("off", "waiting", "ok")


class ReceiverSummary(Struct, frozen=True, kw_only=True):
    """What may be shown to anybody who may see that there is a receiver."""

    url: str
    """Without user, password and query."""
    label: str
    """The host and a short hash."""
    state: ReceiverState
    lag: int
    """Events that wait."""
    oldest_s: float
    """Age of the oldest of them."""
    parked: int
    """Events that it refused, and that wait for a person."""


class ReceiverStanding(ReceiverSummary, frozen=True, kw_only=True):
    """The same with what is counted since it began."""

    sent: int
    """Events that it took."""
    lost: int
    """Events that the stream's bound cut off before it could get them."""
    erased: int
    """Events that were erased before it took them."""
    answers: dict[str, int]
    """Its answers by kind (see core.site_delivery.AnswerKind)."""


async def receivers(store: Store) -> list[ReceiverStanding]:
    """All receivers that have a place, by URL; partitions that do not answer are left out."""
    found: dict[str, list[PartitionStanding]] = {}
    for standing in await standings(store):
        found.setdefault(standing.receiver, []).append(standing)
    return sorted(map(_summed, found.values()), key=lambda one: one.url)


def _summed(parts: list[PartitionStanding]) -> ReceiverStanding:
    states = {part.progress.state for part in parts}
    answers = sum((Counter(part.progress.answers) for part in parts), Counter[str]())
    return ReceiverStanding(
        url=parts[0].progress.url,
        label=parts[0].progress.label,
        state=next(state for state in WORSE if state in states),
        lag=sum(part.lag for part in parts),
        oldest_s=max(part.oldest_s for part in parts),
        parked=sum(part.parked for part in parts),
        sent=sum(part.progress.sent for part in parts),
        lost=sum(part.lost for part in parts),
        erased=sum(part.erased for part in parts),
        answers=dict(answers),
    )
