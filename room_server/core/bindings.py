"""Whose a Telegram chat is: people who pressed Start are bound to the chat in which they did, for all webinars."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class PersonKind(StrEnum):
    """Who may be bound to a chat."""

    LEAD = "lead"
    PARTNER = "partner"


class Person(Struct, frozen=True, order=True):
    """A lead or a partner, by its number in the CRM. As text it is the name of its binding: `lead:42`."""

    kind: PersonKind
    id: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


def person_of(name: str) -> Person:
    """The person with this name. Raises ValueError."""
    kind, _, number = name.partition(":")
    return Person(PersonKind(kind), int(number))


def lead(lead_id: int) -> Person:
    """A lead."""
    return Person(PersonKind.LEAD, lead_id)


def partner(partner_id: int) -> Person:
    """A partner."""
    return Person(PersonKind.PARTNER, partner_id)


class Takeover(Struct, frozen=True):
    """Another chat that wants to be the person's. The chat that is bound is asked, and until it says yes it stays.

    `question`: the number that the answer must name. After `until` the question is void.
    """

    chat_id: int
    question: str
    until: datetime


class Binding(Struct, frozen=True, omit_defaults=True):
    """The chat of a person."""

    chat_id: int
    at: datetime
    """When it was bound, or was last found to be of use (see jobs.binding_retention)."""
    takeover: Takeover | None = None


class BoundChats(Struct, frozen=True, kw_only=True):
    """The chats to which a lead and its partner are bound; None: to none, or it was of no use to know."""

    candidate: int | None = None
    partner: int | None = None


class Chat(Struct, frozen=True, omit_defaults=True):
    """What is known of a private chat: whose it is, and whether it wants messages."""

    people: tuple[str, ...] = ()
    """The names of those who are bound to it."""
    locale: str = "ru"
    opted_out: bool = False
    """Whether it sent /stop, and no /start since."""
    blocked: bool = False
    """Whether it has blocked the bot."""
    as_of: tuple[int, int] = (0, 0)
    """Time (Unix seconds) and number of the update that last said what it wants: updates may come in any order."""
    at: datetime | None = None
    """When it last changed, or was last found to be of use (see jobs.binding_retention)."""
