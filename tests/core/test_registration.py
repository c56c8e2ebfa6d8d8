"""What a registration makes of a lead's entry, and how what is wrong with many leads is named."""

from itertools import product
from typing import Any

import msgspec
import pytest

from room_server.core.registration import Lead, faults, merged, twins
from room_server.core.room import RosterEntry

KNOWN = RosterEntry(lead_id=42, name="Анна", candidate_chat_id=7, partner_chat_id=-8, partner_id=9, locale="en")


def lead(**fields: Any) -> Lead:
    """A lead as it is decoded."""
    return msgspec.convert({"lead_id": 42, **fields}, Lead)


def test_what_is_not_said_stays_and_null_clears() -> None:
    assert merged(lead(), KNOWN) == KNOWN
    assert merged(lead(name="Anna"), KNOWN) == msgspec.structs.replace(KNOWN, name="Anna")
    assert merged(lead(partner_chat_id=None), KNOWN) == msgspec.structs.replace(KNOWN, partner_chat_id=None)
    cleared = lead(name=None, candidate_chat_id=None, partner_chat_id=None, partner_id=None, locale=None)
    assert merged(cleared, KNOWN) == RosterEntry(lead_id=42)


def test_a_new_lead_has_what_is_said() -> None:
    assert merged(lead(), None) == RosterEntry(lead_id=42)
    assert merged(lead(locale="en"), None) == RosterEntry(lead_id=42, locale="en")


def test_a_whole_entry_takes_the_place_of_the_known_one() -> None:
    assert merged(RosterEntry(lead_id=42), KNOWN) == RosterEntry(lead_id=42)


def test_whole_numbers_may_be_texts_of_their_digits() -> None:
    texts = {"lead_id": "42", "candidate_chat_id": "7", "partner_chat_id": "-1001234567890", "partner_id": "9"}

    assert lead(**texts) == Lead(lead_id=42, candidate_chat_id=7, partner_chat_id=-1001234567890, partner_id=9)


ODD: list[Any] = [0, -1, 2**53, 42.5, True, None, "", "042", "4 2", "4_2", "٤٢", [], {}]
BAD: list[tuple[str, Any]] = [
    *[("lead_id", odd) for odd in ODD],
    *product(["candidate_chat_id"], [2**53, 1.5, "7,9E+10", "-0", "+7", True]),
    *product(["partner_id"], [0, -1, "-1", 2**53]),
    *product(["name"], [5, "x" * 201, ["x"]]),
    *product(["locale"], ["de", "RU", "ru\n", 1]),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_wrong_field_is_named_with_its_place(field: str, value: Any) -> None:
    good = {"lead_id": 1}
    found = list(faults([good, {"lead_id": 42, field: value}]))

    assert [path for path, _ in found] == [f"leads[1].{field}"]
    with pytest.raises(msgspec.ValidationError):
        lead(**{field: value})


def test_all_faults_of_all_leads_are_named() -> None:
    found = dict(faults([{}, "x", {"lead_id": 1, "locale": "de", "partner_id": 0}, {"lead_id": 2}]))

    assert set(found) == {"leads[0].lead_id", "leads[1]", "leads[2].locale", "leads[2].partner_id"}
    assert found["leads[0].lead_id"] == "the field is missing"


def test_a_lead_that_stands_twice_is_named_where_it_stands_again() -> None:
    assert list(twins([lead(), lead(lead_id=1), lead(lead_id="42")])) == [
        ("leads[2].lead_id", "42 stands in leads[0] too")
    ]
