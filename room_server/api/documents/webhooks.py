"""What the server sends to the site, for both documents: one request, its headers, its answers. docs/site-events.md."""

from room_server.api.documents.document import Json, ref
from room_server.core.messages import STREAMED
from room_server.core.site_event import SiteEvent, SiteRequest

KINDS = (SiteRequest, *STREAMED.values())
"""The types whose schemas are needed."""
SUMMARY = "Tells the site what happened: 1 to 100 events, until it takes them."
HEADERS = {
    "webhook-id": "The same for each try of the same events.",
    "webhook-timestamp": "Unix seconds of this try.",
    "webhook-signature": "`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64; one for each secret, by spaces.",
    "user-agent": "`room-server/` and its version.",
}
ANSWERS = {
    "2XX": "Taken, unless the body begins as an HTML document.",
    "400": "Refused, as by 409, 413 and 422: fewer are sent, until the refused event is found and parked.",
    "410": "The receiver is switched off.",
    "default": "Anything else, or no answer in 15 seconds: the same is sent again later, as `Retry-After` asks.",
}


def refine(schemas: dict[str, Json]) -> None:
    """Say in the schema of an event that its `data` is what its `type` tells."""
    schemas[SiteEvent.__name__]["oneOf"] = [
        {"properties": {"type": {"const": name}, "data": ref(kind)}} for name, kind in STREAMED.items()
    ]


def webhooks() -> Json:
    """The `webhooks` of OpenAPI 3.1."""
    parameters = [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in HEADERS.items()
    ]
    post = {
        "operationId": "site_events",
        "tags": ["events"],
        "summary": SUMMARY,
        "description": f"{SUMMARY} Sent to each address of `ROOM_SERVER_SITE_EVENTS_URL`, signed as Standard Webhooks.",
        "security": [],
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(SiteRequest)}}},
        "responses": {status: {"description": text} for status, text in ANSWERS.items()},
    }
    return {"site_events": {"post": post}}
