"""The payloads of the links to the bot: who can make them, which are taken, and what they may look like."""

import re

import pytest
from msgspec.structs import replace

from room_server.core.bindings import Person, lead, partner
from room_server.core.messages import MAX_LEAD_ID
from room_server.state.store import Store
from room_server.telegram.deep_links import DeepLinks, open_links
from tests.support import TOKEN_SECRET, settings_for

OURS = DeepLinks((b"the first secret", b"the secret before it"))
PEOPLE = [lead(1), lead(42), lead(MAX_LEAD_ID), partner(1), partner(MAX_LEAD_ID)]


@pytest.mark.parametrize("person", PEOPLE, ids=str)
def test_a_payload_names_its_person_in_what_telegram_takes(person: Person) -> None:
    payload = OURS.payload(person)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", payload)
    assert OURS.person(payload) == person


def test_no_two_people_share_a_payload_and_it_stays_the_same() -> None:
    assert len({OURS.payload(person) for person in PEOPLE}) == len(PEOPLE)
    assert OURS.payload(lead(42)) == OURS.payload(lead(42))


def test_the_secrets_of_a_rotation_verify_and_the_first_makes() -> None:
    before, after = DeepLinks((b"the secret before it",)), DeepLinks((b"the first secret",))

    assert OURS.person(before.payload(lead(42))) == lead(42)
    assert OURS.payload(lead(42)) == after.payload(lead(42))
    assert after.person(before.payload(lead(42))) is None


PAYLOAD = OURS.payload(lead(42))
FORGED = [
    *("", "l42", "l42-", "42", "start", PAYLOAD[:-1], PAYLOAD + "A", " " + PAYLOAD, PAYLOAD + "\n"),
    PAYLOAD.replace("l42", "l43"),
    PAYLOAD.replace("l42", "p42"),
    PAYLOAD.replace("l42", "l042"),
    PAYLOAD.replace("l42", "l٤٢"),
    "l42-" + "A" * 22,
    "l9007199254740992-" + PAYLOAD[-22:],
    "l0-" + PAYLOAD[-22:],
    DeepLinks((b"another installation's",)).payload(lead(42)),
]


@pytest.mark.parametrize("payload", FORGED)
def test_what_is_not_ours_names_nobody(payload: str) -> None:
    assert OURS.person(payload) is None


def test_no_other_last_letter_is_taken() -> None:
    """The last of 22 letters carries 2 bits of the MAC: the 15 others that decode to the same bytes are not ours."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    assert [letter for letter in letters if OURS.person(PAYLOAD[:-1] + letter)] == [PAYLOAD[-1]]


def test_the_webhooks_secret_is_another_one_and_what_telegram_takes() -> None:
    first, second = OURS.webhook_secrets

    assert first != second
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret) for secret in (first, second))


async def test_with_a_public_key_only_all_processes_share_a_random_secret(store: Store) -> None:
    elsewhere = replace(settings_for("redis://unused"), token_secret="", token_public_key="a key")
    one, other = [(await open_links(elsewhere, store)).payload(lead(42)) for _ in range(2)]

    assert one == other
    assert DeepLinks((b"",)).person(one) is None


async def test_with_a_token_secret_nothing_is_stored(store: Store) -> None:
    links = await open_links(settings_for("redis://unused"), store)

    assert links.payload(lead(42)) == DeepLinks((TOKEN_SECRET.encode(),)).payload(lead(42))
    assert await store.call("EXISTS", store.keys.bot("secret")) == 0
