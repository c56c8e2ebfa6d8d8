"""The OpenAPI document is valid, and has all of the interface and nothing else."""

from openapi_spec_validator import OpenAPIV31SpecValidator

from room_server.api.documents import asyncapi, openapi
from room_server.api.documents.operations import COMMON_CODES, OPERATIONS, OTHER_METHODS
from room_server.core.wire import SUBPROTOCOL
from room_server.errors import PROBLEMS
from tests.api.documents.checking import Json, references, resolved
from tests.api.documents.test_operations import ROWS

DOCUMENT = openapi.document(None)
COMMAND_LINE = {"webinar_exists"}
"""Codes that only the command line can cause: the hook of a plan changes a webinar that is there."""


def operations() -> list[tuple[str, str, Json]]:
    """Path, method and operation of everything in the document."""
    return [
        (path, method, item[method])
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method not in {"parameters", "x-other-methods"}
    ]


def responses() -> list[tuple[str, Json]]:
    """Status and response of everything in the document."""
    told = [(status, node) for _, _, one in operations() for status, node in one["responses"].items()]
    others = [("405", item["x-other-methods"]) for item in DOCUMENT["paths"].values()]
    return [(status, resolved(DOCUMENT, node)) for status, node in [*told, *others]]


def codes() -> set[str]:
    """Every code of any response."""
    return {code for _, response in responses() for code in response.get("x-codes", [])}


def test_the_document_is_valid_by_the_rules_of_openapi() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []
    assert list(OpenAPIV31SpecValidator(openapi.document("https://rooms.example.org")).iter_errors()) == []


def test_the_document_has_every_row() -> None:
    rows = {(path, method, row.id) for path, methods in OPERATIONS.items() for method, row in methods.items()}

    assert {(path, method, operation["operationId"]) for path, method, operation in operations()} == rows


def test_every_reference_leads_somewhere_and_every_part_is_referred_to() -> None:
    parts = {
        f"#/components/{kind}/{name}"
        for kind, named in DOCUMENT["components"].items()
        for name in named
        if kind != "securitySchemes"
    }

    assert set(references(DOCUMENT)) == parts


def test_every_problem_code_is_in_one_of_the_two_documents_and_nothing_else_is() -> None:
    sockets = {code for socket in asyncapi.SOCKETS.values() for code in socket.codes}

    assert DOCUMENT["components"]["schemas"]["ProblemDetails"]["properties"]["code"]["enum"] == list(PROBLEMS)
    assert codes() == {code for row in ROWS for code in row.codes} | {*COMMON_CODES, *OTHER_METHODS.values()} | {
        "method_not_allowed"
    }
    assert codes() | sockets == PROBLEMS.keys() - COMMAND_LINE


def test_a_code_has_its_own_status() -> None:
    for status, response in responses():
        told = response.get("x-codes", [])
        assert ("application/problem+json" in response.get("content", {})) == bool(told)
        own = {str(PROBLEMS[code].status) for code in told}
        assert own <= {status} or (told, status) == (["webinar_status_mutation_forbidden"], "405")


def test_a_header_goes_with_the_status_that_calls_for_it() -> None:
    told = {"401": "WWW-Authenticate", "405": "Allow", "429": "Retry-After", "304": "ETag"}
    for status, response in responses():
        assert told.get(status, "Cache-Control") in response["headers"]


def test_every_way_to_authenticate_is_described() -> None:
    named = {name for _, _, one in operations() for way in one["security"] for name in way}

    assert named == set(DOCUMENT["components"]["securitySchemes"])
    headers = {scheme.get("name") for scheme in DOCUMENT["components"]["securitySchemes"].values()} - {None}
    assert headers == {"webhook-id", "webhook-timestamp", "webhook-signature", "X-Telegram-Bot-Api-Secret-Token"}


def test_the_two_documents_name_each_other_and_what_a_socket_speaks() -> None:
    assert "/asyncapi.json" in DOCUMENT["info"]["description"]
    assert "/openapi.json" in asyncapi.ABOUT
    assert SUBPROTOCOL in asyncapi.SECURITY["subprotocol"]["description"]


def test_a_summary_is_one_short_line() -> None:
    assert [one["summary"] for _, _, one in operations() if not 0 < len(one["summary"]) <= 120] == []
