"""What both documents share: how each is served, and the JSON Schemas that msgspec makes of the wire's own types."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import msgspec
from msgspec import inspect
from starlette.requests import Request
from starlette.responses import Response

from room_server.api.responses import conditional
from room_server.core.decide import STATUS_WORDS
from room_server.core.messages import TIME_DIGITS, SetStatus
from room_server.errors import PROBLEMS
from room_server.problems import ProblemDetails

Json = dict[str, Any]
TITLE = "room-server"
REF = "#/components/schemas/{name}"
"""Both documents keep their schemas at the same place."""
ENUMS: dict[type, tuple[str, Iterable[str]]] = {
    SetStatus: ("status", STATUS_WORDS),
    ProblemDetails: ("code", PROBLEMS),
}
"""A type's field that is any text to the decoder, and the values that it may have."""
CLAIMED_TIME = {inspect.IntType, inspect.DateTimeType}
"""The types of a time by the client's clock, which may also be a text of digits (`api/hook_bodies`)."""
_NO_NEWLINE = r"(?!\n)$"
"""Python's patterns end in this, since its `$` also matches before a last newline. JSON Schema's does not, and many
of its readers know no lookahead."""


class Document:
    """The endpoint of a document: `make(address)` runs when it is first asked for; `address` is PUBLIC_URL."""

    def __init__(self, make: Callable[[str | None], Json], address: str | None) -> None:
        self._make = make
        self._address = address

    @cached_property
    def body(self) -> bytes:
        """The JSON."""
        return msgspec.json.encode(self._make(self._address))

    @cached_property
    def tag(self) -> str:
        """The ETag."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'

    async def answer(self, request: Request) -> Response:
        """The document, or 304. Anybody may read it, from anywhere: it holds no secret."""
        return conditional(request, self.body, {"ETag": self.tag, "Cache-Control": "no-cache"})


def ref(kind: type) -> Json:
    """A reference to the schema of a type."""
    return {"$ref": REF.format(name=kind.__name__)}


def schemas(kinds: Iterable[type]) -> dict[str, Json]:
    """The schemas of these types and of all that they hold, by name."""
    listed = list(dict.fromkeys(kinds))
    _, made = msgspec.json.schema_components(listed, ref_template=REF)
    for struct in _structs(inspect.multi_type_info(listed)):
        properties = made[struct.cls.__name__]["properties"]
        for field in struct.fields:
            members = {type(part) for part in _parts(field.type)}
            if inspect.DateTimeType in members:
                _date(properties[field.encode_name])
            if members >= CLAIMED_TIME:
                properties[field.encode_name]["anyOf"].append({"type": "string", "pattern": TIME_DIGITS})
        if struct.cls in ENUMS:
            name, values = ENUMS[struct.cls]
            properties[name]["enum"] = list(values)
    return {name: plain(schema) for name, schema in sorted(made.items())}


def plain(schema: Any) -> Any:
    """The schema without lookaheads, and without `default: null`, for which code generators would require a value."""
    if isinstance(schema, dict):
        return {
            name: value.replace(_NO_NEWLINE, "$") if name == "pattern" and isinstance(value, str) else plain(value)
            for name, value in schema.items()
            if (name, value) != ("default", None)
        }
    return [plain(one) for one in schema] if isinstance(schema, list) else schema


def schema_of(kind: Any) -> Json:
    """The schema of a type that has no name of its own, such as a parameter's."""
    made: Json = plain(msgspec.json.schema(kind))
    return made


def _structs(kinds: Iterable[inspect.Type]) -> Iterator[inspect.StructType]:
    """Every struct in these types, once."""
    seen: dict[type, inspect.StructType] = {}
    waiting = list(kinds)
    while waiting:
        for part in _parts(waiting.pop()):
            if isinstance(part, inspect.StructType) and part.cls not in seen:
                seen[part.cls] = part
                waiting += [field.type for field in part.fields]
    yield from seen.values()


def _parts(kind: inspect.Type) -> Iterator[inspect.Type]:
    """The type and those that it is made of, without the fields of structs."""
    yield kind
    match kind:
        case inspect.UnionType(types=types):
            for one in types:
                yield from _parts(one)
        case inspect.ListType(item_type=item):
            yield from _parts(item)
        case inspect.DictType(value_type=value):
            yield from _parts(value)


def _date(schema: Json) -> None:
    """Set the format of a time, which msgspec does only for types that require a time zone. All we send have one."""
    for one in [schema, *schema.get("anyOf", [])]:
        if one.get("type") == "string" and set(one) == {"type"}:
            one["format"] = "date-time"
