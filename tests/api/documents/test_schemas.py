from datetime import datetime
from typing import Annotated

import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta, Struct

from room_server.api.documents import schemas
from room_server.core.decide import STATUS_WORDS
from room_server.core.messages import EMITTED, INBOUND, SetStatus, WebinarId
from room_server.errors import PROBLEMS
from room_server.problems import ProblemDetails


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


def test_a_time_says_that_it_is_one_and_a_text_does_not() -> None:
    made = schemas.schemas([Outer])

    assert made["Outer"]["properties"]["at"] == {"type": "string", "format": "date-time"}
    assert made["Outer"]["properties"]["label"] == {"type": "string", "default": ""}
    assert {"type": "string", "format": "date-time"} in made["Inner"]["properties"]["at"]["anyOf"]
    assert {"type": "string", "format": "date-time"} not in made["Inner"]["properties"]["name"]["anyOf"]


def test_what_a_type_holds_is_listed_by_name_and_in_order() -> None:
    assert list(schemas.schemas([Outer])) == ["Inner", "Outer"]


def test_a_word_of_a_table_is_told_as_one_of_its_words() -> None:
    made = schemas.schemas([SetStatus, ProblemDetails])

    assert made["SetStatus"]["properties"]["status"]["enum"] == list(STATUS_WORDS)
    assert made["ProblemDetails"]["properties"]["code"]["enum"] == list(PROBLEMS)


def test_a_pattern_is_one_that_every_reader_knows() -> None:
    assert schemas.of(WebinarId)["pattern"] == "^[A-Za-z0-9_-]{1,64}$"
    assert schemas.of(Annotated[str, Meta(pattern="^a$")])["pattern"] == "^a$"
    assert "(?" not in str(schemas.schemas([*INBOUND.values(), *EMITTED.values()]))


def test_a_field_that_is_called_pattern_is_no_pattern() -> None:
    assert schemas.plain({"properties": {"pattern": {"type": "string"}}}) == {
        "properties": {"pattern": {"type": "string"}}
    }


def test_what_may_be_left_out_is_no_must_to_a_generator() -> None:
    made = schemas.schemas([SetStatus])["SetStatus"]

    assert "default" not in made["properties"]["context"]
    assert made["required"] == ["webinar_id", "status"]


@pytest.mark.parametrize("kind", [*INBOUND.values(), *EMITTED.values(), ProblemDetails, Outer])
def test_a_schema_is_one_by_its_own_rules(kind: type) -> None:
    made = schemas.schemas([kind])

    assert schemas.ref(kind) == {"$ref": f"#/components/schemas/{kind.__name__}"}
    for schema in made.values():
        Draft202012Validator.check_schema(schema)
