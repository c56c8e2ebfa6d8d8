"""The rule by which a webinar's leads are counted as attended (docs/domain.md, "Classification").

By default who completed has attended, at once. The other rules look at the watch time that the server saw; then the
evaluation classifies everybody.
"""

import re
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

PERCENT = r"([1-9]\d?|100)%"
MINUTES = r"([1-9]\d{0,3})m"
MinWatch = Annotated[
    str,
    Meta(pattern=rf"^({PERCENT}|{MINUTES})(?!\n)$", description="a share of the time on air (60%) or minutes (30m)"),
]
"""How much of a webinar counts: 1 % to 100 % of the time on air, or 1 to 9,999 minutes."""


class AttendedBy(StrEnum):
    """What makes a lead attended."""

    COMPLETED = "completed"
    WATCHED = "watched"
    BOTH = "both"
    EITHER = "either"


def is_evaluated_only(attended_by: AttendedBy) -> bool:
    """Whether only the evaluation classifies, since watch time counts."""
    return attended_by is not AttendedBy.COMPLETED


def counts_unannounced(attended_by: AttendedBy) -> bool:
    """Whether a lead that never sent `client_webinar_entered` may have attended."""
    return attended_by in {AttendedBy.WATCHED, AttendedBy.EITHER}


def needed_ms(min_watch: MinWatch, on_air_ms: int) -> int:
    """The watch time that this minimum comes to for a webinar that was on air so long."""
    if found := re.fullmatch(PERCENT, min_watch):
        return -(-on_air_ms * int(found[1]) // 100)
    return int(min_watch.removesuffix("m")) * 60_000


def has_attended(attended_by: AttendedBy, completed: bool, watched_enough: bool) -> bool:
    """The classification of a lead under the rule."""
    return {
        AttendedBy.COMPLETED: completed,
        AttendedBy.WATCHED: watched_enough,
        AttendedBy.BOTH: completed and watched_enough,
        AttendedBy.EITHER: completed or watched_enough,
    }[attended_by]
