"""The body of a hook, from bytes to one typed value: its size, its syntax, its fields."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request

from room_server.core import registration, wording
from room_server.core.decide import STATUS_WORDS
from room_server.core.messages import INBOUND, TIME_DIGITS, Inbound, SetStatus
from room_server.core.planning import PlanWebinar
from room_server.core.site_hooks import SITE_HOOKS, RegisterLeads, SiteHook
from room_server.errors import BadInput, Refusal
from room_server.operations.webinars import check_plan

TELEGRAM_UPDATE = "telegram_update"
"""The hook by which Telegram itself tells of something (see api.telegram_updates)."""
ACCEPTED: dict[str, type[Inbound | SiteHook]] = {**INBOUND, **SITE_HOOKS}
"""Every hook that may come in, by name."""
MAX_BODY = 16 * 1024
"""Bytes of a hook's body, if MAX_BODIES does not name the hook."""
MAX_BODIES = {"core_roster_register": 256 * 1024, TELEGRAM_UPDATE: 256 * 1024}
NOT_PLAIN = {
    b"\x1f\x8b": "it is compressed; send it as it is",
    b"\xef\xbb\xbf": "it begins with a byte order mark; leave that out",
}
"""What may stand where an object is expected, by its first bytes, and what to do about it."""
CLAIMED_TIMES = {"timestamp", "completed_at"}
"""The fields that hold a time by the client's clock, in a payload and in its `context`."""
MAX_FAULTS = 6 * registration.MAX_LEADS
"""Most wrong fields that an answer names: all of them, unless there are too many leads."""
_DECODERS: dict[str, msgspec.json.Decoder[Inbound | SiteHook]] = {
    name: msgspec.json.Decoder(kind) for name, kind in ACCEPTED.items()
}


class _AnyLeads(Struct):
    leads: list[Any]


_LEADS = msgspec.json.Decoder(_AnyLeads)
_SYNTAX = msgspec.json.Decoder(msgspec.Raw)


async def read_body(request: Request, name: str) -> bytes:
    """The whole body of the hook of this name.

    Raises BadInput: `body_too_large`, or `request_timeout` when the caller left before its end.
    """
    most = MAX_BODIES.get(name, MAX_BODY)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(name, most)
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise BadInput("request_timeout", "the body never arrived whole")
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large(name, most)
        more = message.get("more_body", False)
    return bytes(body)


def _too_large(name: str, most: int) -> Refusal:
    hint = "; register fewer leads at a time" if name == "core_roster_register" else ""
    return BadInput("body_too_large", f"the body of this hook has at most {most} bytes{hint}")


def decode(name: str, body: bytes) -> Inbound | SiteHook:
    """The typed hook. Raises BadInput: `malformed_body` when it is no JSON object, else what is wrong with a field."""
    check_syntax(body)
    try:
        hook = _typed(name, body)
    except msgspec.ValidationError as error:
        if name == "core_roster_register" and "`$.leads[" in str(error):
            _check_leads(registration.faults(_leads(body)))
        raise _invalid(str(error), ACCEPTED[name]) from None
    if isinstance(hook, SetStatus) and hook.status not in STATUS_WORDS:
        detail = "status is `start` or `stop`; all else is internal"
        raise BadInput("webinar_status_mutation_forbidden", detail, field="status")
    if isinstance(hook, RegisterLeads):
        _check_leads(registration.twins(hook.leads))
    if isinstance(hook, PlanWebinar):
        check_plan(hook)
    return hook


def _typed(name: str, body: bytes) -> Inbound | SiteHook:
    """The typed hook; a time that is a text of digits, as PHP has them, is the number. Raises ValidationError."""
    try:
        return _DECODERS[name].decode(body)
    except msgspec.ValidationError as error:
        if "RFC3339" not in str(error):
            raise
        return _DECODERS[name].decode(_with_times_as_numbers(body))


def _with_times_as_numbers(body: bytes) -> bytes:
    """The body with the digits of its claimed times as numbers; as it is where it cannot be read."""
    try:
        payload = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body
    for holder in (payload, payload.get("context")):
        if isinstance(holder, dict):
            digits = {name: holder[name] for name in CLAIMED_TIMES & holder.keys() if _is_digits(holder[name])}
            holder.update({name: int(text) for name, text in digits.items()})
    return msgspec.json.encode(payload)


def _is_digits(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(TIME_DIGITS, value) is not None


def _leads(body: bytes) -> list[Any]:
    """The leads as they came, each with its faults; none where they cannot be told apart, as when there are two lists.

    Then the answer names the first fault alone.
    """
    try:
        return _LEADS.decode(body).leads
    except msgspec.MsgspecError:
        return []


def _check_leads(faults: Iterator[tuple[str, str]]) -> None:
    """Raises BadInput, which names the field of every lead that is wrong."""
    found = list(islice(faults, MAX_FAULTS + 1))
    if found:
        told = [f"{field}: {problem}" for field, problem in found[:MAX_FAULTS]]
        more = ["and more"] if len(found) > MAX_FAULTS else []
        raise BadInput("invalid_payload", "; ".join([*told, *more]), field=found[0][0])


def check_syntax(body: bytes) -> None:
    """Raises BadInput when the body is no JSON object. The typed decoder would stop at a wrong field before that."""
    if body.lstrip(b" \t\r\n")[:1] != b"{":
        hint = next((f": {text}" for begin, text in NOT_PLAIN.items() if body.startswith(begin)), "")
        raise BadInput("malformed_body", f"the body is not a JSON object{hint}")
    try:
        _SYNTAX.decode(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("malformed_body", f"the body is not JSON: {error}") from None


def _invalid(message: str, kind: type[Inbound | SiteHook]) -> Refusal:
    """The refusal for msgspec's message about a body of this kind."""
    field, fault = wording.in_words(message, kind)
    return BadInput("invalid_payload", f"{field}: {fault}" if field else fault, field=field)
