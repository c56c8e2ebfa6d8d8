"""What was seen and is not stored yet: OR-ed, bounded, handed over whole."""

from room_server.channels.seen_slots import MAX_LEADS, SeenSlots
from room_server.state.watch import Broadcast
from tests.support import AT

W, OTHER = Broadcast("w", AT), Broadcast("other", AT)


def test_slots_of_a_lead_are_added_up_and_handed_over_once() -> None:
    seen = SeenSlots()
    for broadcast, lead, slots in ((W, 1, 0b11), (W, 1, 0b110), (W, 2, 1), (OTHER, 1, 1)):
        seen.add(broadcast, lead, slots)

    assert seen.leads == 3
    assert seen.take() == {W: {1: 0b111, 2: 1}, OTHER: {1: 1}}
    assert (seen.take(), seen.leads) == ({}, 0)


def test_nothing_is_no_entry() -> None:
    seen = SeenSlots()
    seen.add(W, 1, 0)

    assert (seen.take(), seen.leads) == ({}, 0)


def test_what_could_not_be_stored_is_taken_back_beside_what_came_since() -> None:
    seen = SeenSlots()
    seen.add(W, 1, 0b100)
    seen.add_all(W, {1: 0b1, 2: 0b10})

    assert seen.take() == {W: {1: 0b101, 2: 0b10}}


def test_there_is_room_for_so_many_leads_and_for_more_of_theirs() -> None:
    seen = SeenSlots()
    for lead in range(MAX_LEADS + 5):
        seen.add(W, lead, 1)
    seen.add(W, 0, 0b10)
    taken = seen.take()[W]

    assert (len(taken), taken[0]) == (MAX_LEADS, 0b11)
