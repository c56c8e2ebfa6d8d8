"""The documents as they are served, and the schemas of the types in them."""

from datetime import datetime
from typing import Annotated

import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta, Struct

from room_server.api.documents import asyncapi, openapi
from room_server.api.documents.document import Document, plain, ref, schema_of, schemas
from room_server.api.hook_bodies import ACCEPTED
from room_server.core.decide import STATUS_WORDS
from room_server.core.messages import EMITTED, TIME_DIGITS, Entered, PostWebinarRoute, SetStatus, WebinarId
from room_server.errors import PROBLEMS
from room_server.problems import ProblemDetails
from tests.support import Site, serving, settings_for


class Inner(Struct):
    """A struct inside another one."""

    at: datetime | None
    name: str | None


class Outer(Struct):
    """A struct that holds times in every way that there is."""

    at: datetime
    all: list[datetime | None]
    inner: dict[str, list[Inner]]
    label: str = ""


def test_a_time_has_its_format_and_a_text_has_none() -> None:
    made = schemas([Outer])

    assert made["Outer"]["properties"]["at"] == {"type": "string", "format": "date-time"}
    assert made["Outer"]["properties"]["label"] == {"type": "string", "default": ""}
    assert {"type": "string", "format": "date-time"} in made["Inner"]["properties"]["at"]["anyOf"]
    assert {"type": "string", "format": "date-time"} not in made["Inner"]["properties"]["name"]["anyOf"]


def test_a_time_by_the_clients_clock_may_be_a_text_of_digits_and_no_other_time_may() -> None:
    digits = {"type": "string", "pattern": TIME_DIGITS}
    made = schemas([Entered, SetStatus, PostWebinarRoute])

    assert digits in made["Entered"]["properties"]["timestamp"]["anyOf"]
    assert digits in made["Context"]["properties"]["timestamp"]["anyOf"]
    assert digits not in made["Entered"]["properties"]["lead_id"]["anyOf"]
    assert made["PostWebinarRoute"]["properties"]["timestamp"] == {"type": "string", "format": "date-time"}


def test_what_a_type_holds_is_listed_by_name_and_in_order() -> None:
    assert list(schemas([Outer])) == ["Inner", "Outer"]


def test_a_field_with_listed_values_is_an_enum() -> None:
    made = schemas([SetStatus, ProblemDetails])

    assert made["SetStatus"]["properties"]["status"]["enum"] == list(STATUS_WORDS)
    assert made["ProblemDetails"]["properties"]["code"]["enum"] == list(PROBLEMS)


def test_a_pattern_is_one_that_every_reader_knows() -> None:
    assert schema_of(WebinarId)["pattern"] == "^[A-Za-z0-9_-]{1,64}$"
    assert schema_of(Annotated[str, Meta(pattern="^a$")])["pattern"] == "^a$"
    assert "(?" not in str(schemas([*ACCEPTED.values(), *EMITTED.values()]))


def test_a_field_that_is_called_pattern_is_no_pattern() -> None:
    assert plain({"properties": {"pattern": {"type": "string"}}}) == {"properties": {"pattern": {"type": "string"}}}


def test_what_may_be_left_out_is_no_must_to_a_generator() -> None:
    made = schemas([SetStatus])["SetStatus"]

    assert "default" not in made["properties"]["context"]
    assert made["required"] == ["webinar_id", "status"]


@pytest.mark.parametrize("kind", [*ACCEPTED.values(), *EMITTED.values(), ProblemDetails, Outer])
def test_a_schema_is_one_by_its_own_rules(kind: type) -> None:
    made = schemas([kind])

    assert ref(kind) == {"$ref": f"#/components/schemas/{kind.__name__}"}
    for schema in made.values():
        Draft202012Validator.check_schema(schema)


MADE = {"/openapi.json": openapi.document, "/asyncapi.json": asyncapi.document}
addresses = pytest.mark.parametrize("address", MADE)


@addresses
async def test_a_document_is_served_to_anybody(site: Site, address: str) -> None:
    answer = await site.http.get(address)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == MADE[address](None)


@addresses
async def test_a_known_document_is_not_sent_again(site: Site, address: str) -> None:
    first = await site.http.get(address)
    tag = first.headers["etag"]
    again, other = [await site.http.get(address, headers={"If-None-Match": known}) for known in (tag, '"other"')]

    assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (other.status_code, other.content) == (200, first.content)


@addresses
async def test_a_document_travels_compressed(site: Site, address: str) -> None:
    answer = await site.http.get(address, headers={"Accept-Encoding": "gzip"})

    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < 16_000


@addresses
async def test_a_document_can_only_be_read(site: Site, address: str) -> None:
    refused = await site.http.post(address)

    assert (refused.status_code, set(refused.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert (await site.http.head(address)).status_code == 200


async def test_a_document_names_the_public_address(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, public_url="https://rooms.example.org")) as site:
        http, sockets = [(await site.http.get(address)).json() for address in MADE]

    assert http["servers"] == [{"url": "https://rooms.example.org"}]
    assert (sockets["servers"]["web"]["protocol"], sockets["servers"]["web"]["host"]) == ("wss", "rooms.example.org")


def test_a_document_is_made_once_and_not_before_it_is_asked_for() -> None:
    made = []

    def make(address: str | None) -> dict[str, object]:
        made.append(address)
        return {"servers": address}

    document = Document(make, "http://here")
    assert made == []
    assert (document.body, document.tag, document.body) == (b'{"servers":"http://here"}', document.tag, document.body)
    assert made == ["http://here"]
