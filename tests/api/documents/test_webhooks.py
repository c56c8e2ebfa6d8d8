"""What the documents say of the requests to the site, against the requests that it gets."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from room_server.api.documents import asyncapi, openapi
from room_server.api.documents.webhooks import ANSWERS, HEADERS
from room_server.core.messages import STREAMED
from room_server.core.site_delivery import GONE, REFUSING
from room_server.core.site_hooks import CheckSite
from room_server.operations.site_check import check
from tests.core.builders import click, complete, cta, enter, stop
from tests.site.receiver import site_receiver
from tests.site.sending import sending
from tests.state.acts import done
from tests.support import OPERATOR, transactions

OPENAPI = openapi.document(None)
POST: dict[str, Any] = OPENAPI["webhooks"]["site_events"]["post"]


def validator(document: dict[str, Any]) -> Draft202012Validator:
    """Of the body of a request, by a document's schemas."""
    return Draft202012Validator({"$ref": "#/components/schemas/SiteRequest", "components": document["components"]})


@pytest.mark.parametrize("document", [OPENAPI, asyncapi.document(None)])
async def test_every_request_is_as_the_documents_say(document: dict[str, Any], valkey_url: str) -> None:
    told = {parameter["name"] for parameter in POST["parameters"]}
    async with site_receiver() as site, sending(valkey_url, site) as events:
        async with events.delivering():
            for hook in (cta(), enter(1), click(1), stop(), complete(1)):
                await done(events.store, hook)
            await check(transactions(events.store), OPERATOR, CheckSite(nonce="n"))
            await events.heard("core_site_checked:n")
            await events.heard("post_webinar_route:demo:1")
        for request in site.requests:
            assert told <= request.headers.keys()
            assert list(validator(document).iter_errors(request.json)) == []
        heard = {event["type"] for event in site.table.values()}

    assert heard == STREAMED.keys()


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "something_else"},
        {"data": {"events": []}},
        {"data": {}},
    ],
)
def test_anything_else_is_none(changed: dict[str, Any]) -> None:
    event = {"id": "x", "type": "client_webinar_entered", "timestamp": "2026-11-22T19:00:00Z", "webinar_id": "w",
             "actor": None, "data": {"webinar_id": "w", "lead_id": 1, "timestamp": 1}}  # fmt: skip
    body = {"type": "room_server.events", "timestamp": "2026-11-22T19:00:00Z", "data": {"events": [event]}}
    checked = validator(OPENAPI)

    assert checked.is_valid(body)
    assert not checked.is_valid({**body, **changed})
    assert not checked.is_valid({**body, "data": {"events": [{**event, "type": "no_hook"}]}})


def test_the_answers_are_those_of_the_code() -> None:
    """A status that the code treats in its own way is named."""
    text = " ".join(f"{status} {what}" for status, what in ANSWERS.items())

    assert all(str(status) in text for status in (*REFUSING, GONE))
    assert POST["responses"].keys() == ANSWERS.keys()


def test_headers_and_events_are_the_same_in_both_documents() -> None:
    message = asyncapi.document(None)["components"]["messages"]["site_events"]

    assert list(message["headers"]["properties"]) == [parameter["name"] for parameter in POST["parameters"]]
    assert message["headers"]["required"] == list(HEADERS)
    assert len(OPENAPI["components"]["schemas"]["SiteEvent"]["oneOf"]) == len(STREAMED)
