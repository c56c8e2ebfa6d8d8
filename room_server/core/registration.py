"""The registration of a lead: what a site or a file says of it, and the roster entry that this makes."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict, force_setattr, replace

from room_server.core.messages import GivenLeadId
from room_server.core.room import ChatId, Locale, RosterEntry

MAX_LEADS = 500
"""Most leads of one hook."""

Name = Annotated[str, Meta(max_length=200)]
if TYPE_CHECKING:
    GivenChatId = int
else:
    GivenChatId = (
        ChatId | Annotated[str, Meta(pattern=r"^-?[1-9][0-9]{0,14}(?!\n)$", description="a chat id, or its digits")]
    )
"""A chat id as sites send it: a number (negative for a group), or a text of its digits, which becomes the number."""


class Lead(Struct, frozen=True, kw_only=True):
    """What is said of a lead. UNSET leaves a field of its entry as it is; None clears it."""

    lead_id: GivenLeadId
    name: Name | UnsetType | None = UNSET
    candidate_chat_id: GivenChatId | UnsetType | None = UNSET
    partner_chat_id: GivenChatId | UnsetType | None = UNSET
    partner_id: GivenLeadId | UnsetType | None = UNSET
    locale: Locale | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        for name in ("lead_id", "candidate_chat_id", "partner_chat_id", "partner_id"):
            if isinstance(value := getattr(self, name), str):
                force_setattr(self, name, int(value))


EXPECTED = {
    "lead_id": "a whole number from 1 to 9007199254740991",
    "name": "at most 200 characters",
    "candidate_chat_id": "a Telegram chat id, a whole number",
    "partner_chat_id": "a Telegram chat id, a whole number",
    "partner_id": "a whole number from 1 to 9007199254740991",
    "locale": "ru or en",
}
"""What each field may hold, in the words of an error."""
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Lead)}
_CLEARED = asdict(RosterEntry(lead_id=1))
"""What a field of an entry is when nothing is known."""


def merged(lead: Lead | RosterEntry, known: RosterEntry | None) -> RosterEntry:
    """The entry after the registration; `known` is the stored one. A whole entry takes its place."""
    if isinstance(lead, RosterEntry):
        return lead
    said = {name: value for name, value in asdict(lead).items() if value is not UNSET}
    fields = {name: _CLEARED[name] if value is None else value for name, value in said.items()}
    return replace(known or RosterEntry(lead_id=lead.lead_id), **fields)


def faults(leads: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """The path of every wrong field in `leads`, a decoded JSON array, and what is wrong with it."""
    first: dict[int, int] = {}
    for place, lead in enumerate(leads):
        if not isinstance(lead, dict):
            yield f"leads[{place}]", "expected an object"
            continue
        if "lead_id" not in lead:
            yield f"leads[{place}].lead_id", "the field is missing"
        for name in _TYPES.keys() & lead.keys():
            if (problem := _problem(name, lead[name])) is not None:
                yield f"leads[{place}].{name}", problem
            elif name == "lead_id":
                yield from _twin(int(lead[name]), place, first)


def twins(leads: Iterable[Lead]) -> Iterator[tuple[str, str]]:
    """The path of every lead id that stands in an earlier place already."""
    first: dict[int, int] = {}
    for place, lead in enumerate(leads):
        yield from _twin(lead.lead_id, place, first)


def _twin(lead_id: int, place: int, first: dict[int, int]) -> Iterator[tuple[str, str]]:
    """The fault of an id that stands in an earlier place; `first` holds the first place of each, and is kept up."""
    if (earlier := first.setdefault(lead_id, place)) != place:
        yield f"leads[{place}].lead_id", f"{lead_id} stands in leads[{earlier}] too"


def _problem(name: str, value: Any) -> str | None:
    try:
        msgspec.convert(value, _TYPES[name])
    except msgspec.ValidationError:
        return f"expected {EXPECTED[name]}"
    return None
