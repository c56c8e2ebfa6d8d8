"""Decides what an update changes: who is bound to which chat, what a chat wants, and what the bot replies. Pure.

A chat is bound to a person by the person's link. Another chat takes its place only after the chat that is bound has
agreed, so whoever gets hold of a link cannot read on in the person's name. Every `/start` and `/stop` has one reply.
"""

from datetime import datetime, timedelta
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from room_server.core.bindings import Binding, Chat, Person, Takeover
from room_server.core.incoming import Answered, Blocked, Intent, Start, Stop

QUESTION_DAYS = timedelta(days=1)
"""How long a question to the chat that is bound stands. Meanwhile no further one is asked there."""
PEOPLE = 50
"""Most people who are bound to one chat."""


class Reply(Struct, frozen=True, omit_defaults=True):
    """A reply of the bot: a text by its name. `person` and `question` make it a question with two buttons.

    `query`: the button that was pressed, to be answered first; without a text nothing else is.
    """

    chat_id: int
    text: str = ""
    locale: str = "ru"
    person: str = ""
    question: str = ""
    query: str = ""


class UpdateFacts(Struct, frozen=True, kw_only=True):
    """What is stored of those whom an update is about."""

    person: Person | None = None
    """Whom the link or the question names; None: nobody, or the link is not ours."""
    is_forgotten: bool = False
    """Whether the person was forgotten a short time ago; late updates must not bring it back."""
    binding: Binding | None = None
    """The person's."""
    chats: dict[int, Chat] = {}
    """The chat of the update, the one that is bound and the one that wants to be, as far as they are known."""
    locale: str | None = None
    """The person's by the roster."""


class Effect(Struct, frozen=True, kw_only=True):
    """What follows. Records that are not named stay; a binding of None: it stays as well."""

    binding: Binding | None = None
    chats: dict[int, Chat] = {}
    replies: tuple[Reply, ...] = ()
    is_bound: bool = False
    """Whether the person has a chat now that it did not have: messages may have waited for it."""


def connect(intent: Intent, facts: UpdateFacts, now: datetime) -> Effect:
    """The effect of an update's intent at `now` (UTC); `facts` are those of the person whom the intent names."""
    decision = _Decision(facts, now)
    match intent:
        case Start():
            return decision.started(intent)
        case Stop():
            chat = decision.wanting(intent, opted_out=True)
            return Effect(chats={intent.chat_id: chat}, replies=(_reply(intent.chat_id, "stopped", chat),))
        case Blocked():
            return decision.blocked(intent)
        case Answered():
            return decision.answered(intent)
        case _:
            assert_never(intent)


class _Decision:
    """One decision on these facts at this moment."""

    def __init__(self, facts: UpdateFacts, now: datetime) -> None:
        self._facts = facts
        self._now = now

    def wanting(self, intent: Start | Stop, opted_out: bool) -> Chat:
        """The chat as it is after the command, unless a later update has said something else."""
        known = self._facts.chats.get(intent.chat_id, Chat())
        locale = self._facts.locale or (known.locale if known.people else intent.locale)
        if intent.as_of <= known.as_of:
            return known
        return replace(
            known, locale=locale, opted_out=opted_out, blocked=False, as_of=intent.as_of, at=known.at or self._now
        )

    def started(self, intent: Start) -> Effect:
        """A link was followed, or `/start` was written by hand."""
        chat, person, bound = self.wanting(intent, opted_out=False), self._facts.person, self._facts.binding
        binding, name = None, "connected"
        if person is None or self._facts.is_forgotten:
            name = "unusable" if intent.payload else "started"
        elif bound is not None and bound.chat_id != intent.chat_id:
            return self._ask(intent, chat, bound)
        elif bound is None and len(chat.people) >= PEOPLE:
            name = "too_many"
        elif bound is None:
            binding, chat = Binding(intent.chat_id, self._now), _with(chat, person)
        reply = _reply(intent.chat_id, name, chat)
        return Effect(binding=binding, chats={intent.chat_id: chat}, replies=(reply,), is_bound=binding is not None)

    def _ask(self, intent: Start, chat: Chat, bound: Binding) -> Effect:
        """Ask the chat that is bound, unless a question stands there."""
        waits = _reply(intent.chat_id, "asked", chat)
        if bound.takeover is not None and bound.takeover.until > self._now:
            return Effect(chats={intent.chat_id: chat}, replies=(waits,))
        question = str(intent.as_of[1])
        asked = self._facts.chats.get(bound.chat_id, Chat(locale=chat.locale))
        ask = replace(_reply(bound.chat_id, "question", asked), person=str(self._facts.person), question=question)
        takeover = Takeover(intent.chat_id, question, self._now + QUESTION_DAYS)
        return Effect(binding=replace(bound, takeover=takeover), chats={intent.chat_id: chat}, replies=(ask, waits))

    def answered(self, intent: Answered) -> Effect:
        """The chat that is bound has answered. Whoever else presses the button, or too late, changes nothing."""
        bound = self._facts.binding
        takeover = bound.takeover if bound is not None and bound.chat_id == intent.chat_id else None
        is_open = takeover is not None and takeover.question == intent.question and takeover.until > self._now
        if bound is None or takeover is None or not is_open or self._facts.is_forgotten:
            return Effect(replies=(Reply(chat_id=intent.chat_id, query=intent.query),))
        old = self._facts.chats.get(intent.chat_id, Chat())
        new = self._facts.chats.get(takeover.chat_id, Chat(locale=old.locale))
        if not intent.agrees:
            told = replace(_reply(intent.chat_id, "kept", old), query=intent.query)
            return Effect(
                binding=replace(bound, takeover=None), replies=(told, _reply(takeover.chat_id, "refused", new))
            )
        told = replace(_reply(intent.chat_id, "handed_over", old), query=intent.query)
        return Effect(
            binding=Binding(takeover.chat_id, self._now),
            chats={intent.chat_id: _without(old, intent.person), takeover.chat_id: _with(new, intent.person)},
            replies=(told, _reply(takeover.chat_id, "connected", new)),
        )

    def blocked(self, intent: Blocked) -> Effect:
        """The chat has blocked the bot or let it in again; nothing is replied."""
        known = self._facts.chats.get(intent.chat_id, Chat())
        if intent.as_of <= known.as_of or known.blocked is intent.blocked:
            return Effect()
        chat = replace(known, blocked=intent.blocked, as_of=intent.as_of, at=known.at or self._now)
        return Effect(chats={intent.chat_id: chat})


def _with(chat: Chat, person: Person) -> Chat:
    return replace(chat, people=tuple(dict.fromkeys((*chat.people, str(person)))))


def _without(chat: Chat, person: Person) -> Chat:
    return replace(chat, people=tuple(name for name in chat.people if name != str(person)))


def _reply(chat_id: int, text: str, chat: Chat) -> Reply:
    return Reply(chat_id=chat_id, text=text, locale=chat.locale)
