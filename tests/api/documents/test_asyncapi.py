"""The AsyncAPI document against the rules of AsyncAPI 3.0.0 and the code: all of it is in there, and nothing else is.

Python has no validator for AsyncAPI 3. What its specification asks of the parts that are used here is checked by hand;
the project's own JSON Schema is asked besides, where npm is there to fetch it.
"""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from jsonschema import Draft7Validator

from room_server.api.documents import asyncapi
from room_server.core.messages import STREAMED
from room_server.core.permissions import MAY_READ, Reading
from room_server.core.wire import SUBPROTOCOL
from room_server.errors import CLOSE_CODES, PROBLEMS, CloseCode
from tests.api.documents.checking import Json, references, resolved

DOCUMENT = asyncapi.document(None)
CHANNELS: dict[str, Json] = DOCUMENT["channels"]
ADDRESSES = [None, "https://rooms.example.org", "http://localhost:8000/rooms/"]
NPM = shutil.which("npm")
SPECS = "@asyncapi/specs@6.11.1"

REQUIRED: dict[str, set[str]] = {
    "document": {"asyncapi", "info"},
    "info": {"title", "version"},
    "server": {"host", "protocol"},
    "operation": {"action", "channel"},
}
"""Fields that must be there, by object of the specification."""
ALLOWED: dict[str, set[str]] = {
    "document": {"id", "servers", "defaultContentType", "channels", "operations", "components"},
    "info": {"description", "termsOfService", "contact", "license", "tags", "externalDocs"},
    "server": {"pathname", "description", "title", "summary", "variables", "security", "tags", "bindings"},
    "channel": {"address", "messages", "title", "summary", "description", "servers", "parameters", "bindings"},
    "operation": {"title", "summary", "description", "security", "tags", "bindings", "traits", "messages", "reply"},
    "message": {"headers", "payload", "correlationId", "contentType", "name", "title", "summary", "description"},
    "parameter": {"enum", "default", "description", "examples", "location"},
    "components": {"schemas", "servers", "channels", "operations", "messages", "securitySchemes", "parameters"},
}
"""Fields that may be there; and extensions, which begin with `x-`."""


def parameters(channel: Json) -> Json:
    """Those of a channel's address."""
    named: Json = channel.get("parameters", {})
    return named


def objects(document: Json) -> list[tuple[str, Json]]:
    """Every object of the document that the tables know, with its kind."""
    components = document["components"]
    return [
        ("document", document),
        ("info", document["info"]),
        ("components", components),
        *(("server", one) for one in document["servers"].values()),
        *(("channel", one) for one in document["channels"].values()),
        *(("operation", one) for one in document["operations"].values()),
        *(("message", one) for one in components["messages"].values()),
        *(("parameter", one) for channel in document["channels"].values() for one in parameters(channel).values()),
    ]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_object_has_the_fields_that_it_must_have_and_no_other(address: str | None) -> None:
    for kind, one in objects(asyncapi.document(address)):
        required = REQUIRED.get(kind, set())
        assert required <= one.keys(), kind
        assert {name for name in one if not name.startswith("x-")} <= required | ALLOWED[kind], kind


def test_every_reference_leads_somewhere_and_every_part_is_referred_to() -> None:
    parts = {f"#/components/{kind}/{name}" for kind, named in DOCUMENT["components"].items() for name in named}
    told = set(references(DOCUMENT))

    assert all(resolved(DOCUMENT, {"$ref": reference}) for reference in told)
    assert {reference for reference in told if reference.startswith("#/components/")} == parts


def test_an_operation_sends_the_messages_of_its_channel() -> None:
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] == "send"
        channel = operation["channel"]["$ref"]
        listed = {f"{channel}/messages/{message}" for message in resolved(DOCUMENT, operation["channel"])["messages"]}
        assert {message["$ref"] for message in operation["messages"]} == listed, name
    used = [operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()]
    assert sorted(used) == sorted(f"#/channels/{name}" for name in CHANNELS)


def test_an_address_has_the_parameters_that_are_described() -> None:
    for channel in CHANNELS.values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"] or "")) == set(parameters(channel))


def test_a_server_is_where_people_reach_it() -> None:
    told = [asyncapi.document(address)["servers"]["web"] for address in ADDRESSES]

    assert [(one["protocol"], one["host"], one.get("pathname")) for one in told] == [
        ("ws", "{host}", None),
        ("wss", "rooms.example.org", None),
        ("ws", "localhost:8000", "/rooms"),
    ]
    assert [set(one.get("variables", {})) for one in told] == [{"host"}, set(), set()]


def test_every_hook_is_an_event_with_its_own_payload_and_nothing_else_is() -> None:
    messages = CHANNELS["events"]["messages"]

    assert list(messages) == [*STREAMED]
    for name, kind in STREAMED.items():
        message = resolved(DOCUMENT, messages[name])
        assert message["payload"] == {"$ref": f"#/components/schemas/{kind.__name__}"}
        assert message["headers"]["properties"]["hook"] == {"const": name}
        assert message["headers"]["required"] == ["hook", "request_id", "actor"]


def test_the_roles_of_a_socket_are_those_of_the_code() -> None:
    for name, reading in (("room", Reading.ROOM), ("monitor", Reading.COUNTS)):
        told = re.search(r"Roles: (.*)\.", CHANNELS[name]["description"])
        assert told is not None
        assert told[1].split(", ") == sorted(MAY_READ[reading])


def test_every_close_code_is_listed_with_what_to_do() -> None:
    closes = {
        str(code.value): {"client": verdict.value, "reason": reason} for code, (verdict, reason) in CLOSE_CODES.items()
    }

    assert CHANNELS["room"]["x-close-codes"] == closes
    del closes[str(CloseCode.WEBINAR_GONE.value)]
    assert CHANNELS["monitor"]["x-close-codes"] == closes


def test_a_refusal_of_a_handshake_has_its_status_and_title() -> None:
    for name in ("room", "monitor"):
        told = CHANNELS[name]["x-refusals"]["codes"]
        assert told == {code: PROBLEMS[code]._asdict() for code in told}


def test_a_handshake_offers_what_the_server_speaks() -> None:
    for name in ("room", "monitor"):
        headers = CHANNELS[name]["bindings"]["ws"]["headers"]
        assert set(headers["properties"]) == {"Sec-WebSocket-Protocol", "Authorization", "Origin"}
        assert SUBPROTOCOL in headers["properties"]["Sec-WebSocket-Protocol"]["description"]


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The JSON Schema of AsyncAPI 3.0.0 as its project publishes it."""
    folder = tmp_path_factory.mktemp("asyncapi")
    command = [str(NPM), "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", SPECS]
    if subprocess.run(command, capture_output=True, check=False, timeout=60).returncode:
        pytest.skip("npm cannot fetch the schema here")
    return json.loads((folder / "node_modules/@asyncapi/specs/schemas/3.0.0.json").read_text("utf-8"))


@pytest.mark.skipif(NPM is None, reason="npm is not installed here")
def test_the_document_is_valid_by_the_schema_of_asyncapi(official: Any) -> None:
    validator = Draft7Validator(official)

    assert [error.message for address in ADDRESSES for error in validator.iter_errors(asyncapi.document(address))] == []
    assert not validator.is_valid({**DOCUMENT, "operations": {"broken": {"action": "shout"}}})
