"""Who is bound to which chat: by a link, by the word of the chat that is bound, and by nothing else."""

from typing import Any

import pytest
from msgspec.structs import replace

from room_server.core.bindings import Binding, Chat, Person, Takeover, lead, partner
from room_server.core.connecting import PEOPLE, QUESTION_DAYS, Effect, Reply, UpdateFacts, connect
from room_server.core.incoming import Answered, Blocked, Intent, Start, Stop
from tests.core.builders import NOW

FIRST, SECOND = 11, 12
ANNA = lead(42)


class World:
    """What is stored, updated by every effect as the store would."""

    def __init__(self) -> None:
        self.bindings: dict[Person, Binding] = {}
        self.chats: dict[int, Chat] = {}
        self.forgotten: set[Person] = set()
        self.now = NOW
        self.number = 0

    def take(self, intent: Intent, person: Person | None = None, locale: str | None = None) -> Effect:
        """The effect, which is stored."""
        facts = UpdateFacts(
            person=person,
            is_forgotten=person in self.forgotten,
            binding=self.bindings.get(person) if person else None,
            chats=self.chats,
            locale=locale,
        )
        effect = connect(intent, facts, self.now)
        if effect.binding is not None:
            assert person is not None
            self.bindings[person] = effect.binding
        self.chats |= effect.chats
        return effect

    def start(self, chat_id: int, person: Person | None = ANNA, **more: Any) -> Effect:
        """The person's link is pressed in this chat."""
        return self.take(Start(chat_id=chat_id, as_of=self.later(), locale="ru", payload="x"), person, **more)

    def stop(self, chat_id: int) -> Effect:
        return self.take(Stop(chat_id=chat_id, as_of=self.later(), locale="ru"))

    def answer(self, chat_id: int, agrees: bool, question: str, person: Person = ANNA) -> Effect:
        """A button under the question is pressed."""
        return self.take(Answered(chat_id=chat_id, query="q", person=person, question=question, agrees=agrees), person)

    def later(self) -> tuple[int, int]:
        self.number += 1
        return (self.number, self.number)

    def asked(self) -> str:
        """The question that stands with the chat that is bound."""
        takeover = self.bindings[ANNA].takeover
        assert takeover is not None
        return takeover.question


@pytest.fixture
def world() -> World:
    return World()


def told(effect: Effect) -> list[tuple[int, str]]:
    """Whom what is replied."""
    return [(reply.chat_id, reply.text) for reply in effect.replies]


def test_the_first_chat_is_bound_and_told_so(world: World) -> None:
    effect = world.start(FIRST, locale="en")

    assert world.bindings == {ANNA: Binding(FIRST, NOW)}
    assert effect.is_bound
    assert effect.replies == (Reply(chat_id=FIRST, text="connected", locale="en"),)
    assert world.chats[FIRST] == Chat(people=("lead:42",), locale="en", as_of=(1, 1), at=NOW)


def test_the_same_link_again_changes_nothing_and_is_answered(world: World) -> None:
    world.start(FIRST)
    before = dict(world.bindings)
    effect = world.start(FIRST)

    assert (world.bindings, effect.is_bound, told(effect)) == (before, False, [(FIRST, "connected")])
    assert world.chats[FIRST].people == ("lead:42",)


@pytest.mark.parametrize("payload", ["x", ""])
def test_what_is_no_link_of_ours_binds_nothing(world: World, payload: str) -> None:
    effect = world.take(Start(chat_id=FIRST, as_of=(1, 1), locale="en", payload=payload))

    assert (world.bindings, effect.is_bound) == ({}, False)
    assert effect.replies == (Reply(chat_id=FIRST, text="unusable" if payload else "started", locale="en"),)


def test_who_was_forgotten_is_not_bound_again_by_a_late_update(world: World) -> None:
    world.forgotten.add(ANNA)

    assert (told(world.start(FIRST)), world.bindings) == ([(FIRST, "unusable")], {})


def test_one_chat_may_be_that_of_several_people_up_to_a_bound(world: World) -> None:
    for number in range(1, PEOPLE):
        world.start(FIRST, lead(number))
    last = world.start(FIRST, partner(1))
    beyond = world.start(FIRST, partner(2))

    assert (told(last), told(beyond)) == ([(FIRST, "connected")], [(FIRST, "too_many")])
    assert len(world.bindings) == len(world.chats[FIRST].people) == PEOPLE


def test_a_second_chat_changes_nothing_before_the_first_has_agreed(world: World) -> None:
    world.start(FIRST, locale="en")
    effect = world.start(SECOND)

    ask, wait = effect.replies
    assert world.bindings[ANNA].chat_id == FIRST
    assert (ask.chat_id, ask.text, ask.locale, ask.person, ask.question) == (FIRST, "question", "en", "lead:42", "2")
    assert (wait.chat_id, wait.text, wait.question) == (SECOND, "asked", "")
    assert not effect.is_bound


def test_a_yes_moves_the_person_to_the_second_chat(world: World) -> None:
    world.start(FIRST)
    world.start(SECOND)
    effect = world.answer(FIRST, True, world.asked())

    assert world.bindings == {ANNA: Binding(SECOND, NOW)}
    assert (world.chats[FIRST].people, world.chats[SECOND].people) == ((), ("lead:42",))
    assert told(effect) == [(FIRST, "handed_over"), (SECOND, "connected")]
    assert effect.replies[0].query == "q"


def test_a_no_leaves_all_as_it_was_and_the_second_chat_may_ask_again(world: World) -> None:
    world.start(FIRST)
    world.start(SECOND)
    effect = world.answer(FIRST, False, world.asked())

    assert world.bindings == {ANNA: Binding(FIRST, NOW)}
    assert told(effect) == [(FIRST, "kept"), (SECOND, "refused")]
    assert told(world.start(SECOND)) == [(FIRST, "question"), (SECOND, "asked")]


def test_while_a_question_stands_nobody_else_causes_another(world: World) -> None:
    """Whoever holds a leaked link cannot pester the chat that is bound."""
    world.start(FIRST)
    world.start(SECOND)
    standing = world.asked()

    assert told(world.start(SECOND)) == [(SECOND, "asked")]
    assert told(world.start(13)) == [(13, "asked")]
    assert world.asked() == standing


def test_a_question_is_void_after_its_time(world: World) -> None:
    world.start(FIRST)
    world.start(SECOND)
    question = world.asked()
    world.now += QUESTION_DAYS

    assert told(world.answer(FIRST, True, question)) == [(FIRST, "")]
    assert world.bindings[ANNA].chat_id == FIRST
    assert told(world.start(13))[0] == (FIRST, "question")


@pytest.mark.parametrize(
    ("chat_id", "question", "person"),
    [(SECOND, "2", ANNA), (13, "2", ANNA), (FIRST, "1", ANNA), (FIRST, "2", lead(43))],
    ids=["the asker", "a stranger", "another question", "another person"],
)
def test_no_other_answer_counts(world: World, chat_id: int, question: str, person: Person) -> None:
    """The data of a button comes from outside: nobody says yes in the place of the chat that is bound."""
    world.start(FIRST)
    world.start(SECOND)
    effect = world.answer(chat_id, True, question, person)

    assert effect == Effect(replies=(Reply(chat_id=chat_id, query="q"),))
    assert world.bindings[ANNA].chat_id == FIRST


def test_a_button_that_is_pressed_twice_counts_once(world: World) -> None:
    world.start(FIRST)
    world.start(SECOND)
    question = world.asked()
    world.answer(FIRST, True, question)

    assert told(world.answer(FIRST, False, question)) == [(FIRST, "")]
    assert world.bindings[ANNA].chat_id == SECOND


def test_stop_opts_the_chat_out_and_start_brings_it_back(world: World) -> None:
    world.start(FIRST)
    stopped = world.stop(FIRST)
    out = world.chats[FIRST].opted_out
    back = world.take(Start(chat_id=FIRST, as_of=world.later(), locale="ru"))

    assert (out, told(stopped)) == (True, [(FIRST, "stopped")])
    assert (world.chats[FIRST].opted_out, told(back)) == (False, [(FIRST, "started")])
    assert world.bindings[ANNA].chat_id == FIRST


def test_a_chat_that_nobody_is_bound_to_can_be_opted_out(world: World) -> None:
    """The roster may name it."""
    world.stop(FIRST)

    assert world.chats[FIRST].opted_out


def test_of_updates_in_the_wrong_order_the_latest_stands(world: World) -> None:
    """Telegram sends several at once to a webhook."""
    world.take(Stop(chat_id=FIRST, as_of=(100, 7), locale="ru"))
    world.take(Start(chat_id=FIRST, as_of=(100, 6), locale="ru"))
    world.take(Blocked(chat_id=FIRST, as_of=(99, 9), blocked=True))

    assert (world.chats[FIRST].opted_out, world.chats[FIRST].blocked) == (True, False)


def test_blocking_and_letting_in_are_noted_and_not_replied(world: World) -> None:
    blocked = world.take(Blocked(chat_id=FIRST, as_of=(1, 1), blocked=True))
    was = world.chats[FIRST].blocked
    world.take(Blocked(chat_id=FIRST, as_of=(2, 2), blocked=False))

    assert (blocked.replies, was, world.chats[FIRST].blocked) == ((), True, False)
    assert world.take(Blocked(chat_id=13, as_of=(1, 1), blocked=False)) == Effect()


def test_who_writes_has_not_blocked_the_bot(world: World) -> None:
    world.take(Blocked(chat_id=FIRST, as_of=(1, 1), blocked=True))
    world.number = 2
    world.start(FIRST)

    assert not world.chats[FIRST].blocked


def test_the_language_is_the_rosters_then_the_one_known_then_telegrams(world: World) -> None:
    world.start(FIRST, locale="en")
    known = world.stop(FIRST).replies[0].locale
    stranger = world.stop(SECOND).replies[0].locale
    other = world.take(Start(chat_id=FIRST, as_of=world.later(), locale="ru", payload="x"), lead(43), "ru")

    assert (known, stranger, other.replies[0].locale) == ("en", "ru", "ru")


def test_a_binding_whose_question_is_answered_keeps_nothing_of_it(world: World) -> None:
    world.start(FIRST)
    bound = world.bindings[ANNA]
    world.bindings[ANNA] = replace(bound, takeover=Takeover(SECOND, "9", NOW + QUESTION_DAYS))
    world.answer(FIRST, False, "9")

    assert world.bindings[ANNA] == bound
