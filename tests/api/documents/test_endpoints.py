"""The documents as they are served."""

import pytest

from room_server.api.documents import asyncapi, openapi
from room_server.api.documents.endpoints import Document
from tests.support import Site, serving, settings_for

MADE = {"/openapi.json": openapi.document, "/asyncapi.json": asyncapi.document}
addresses = pytest.mark.parametrize("address", MADE)


@addresses
async def test_a_document_is_served_to_anybody(site: Site, address: str) -> None:
    answer = await site.http.get(address)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == MADE[address](None)


@addresses
async def test_who_has_a_document_is_not_sent_it_again(site: Site, address: str) -> None:
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
    assert int(answer.headers["content-length"]) < 12_000


@addresses
async def test_a_document_can_only_be_read(site: Site, address: str) -> None:
    refused = await site.http.post(address)

    assert (refused.status_code, set(refused.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert (await site.http.head(address)).status_code == 200


async def test_a_document_says_where_people_reach_the_server(valkey_url: str) -> None:
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
