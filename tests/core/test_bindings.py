"""The names of people."""

from room_server.core.bindings import Person, PersonKind, lead, partner


def test_a_person_is_named_by_kind_and_number() -> None:
    assert (str(lead(42)), str(partner(7))) == ("lead:42", "partner:7")
    assert lead(42) == Person(PersonKind.LEAD, 42)
    assert lead(42) != partner(42)
