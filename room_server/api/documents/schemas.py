"""JSON Schemas of the values that travel, made by msgspec from the very types that decode and encode them."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import inspect

from room_server.core.decide import STATUS_WORDS
from room_server.core.messages import SetStatus
from room_server.errors import PROBLEMS
from room_server.problems import ProblemDetails

Schema = dict[str, Any]
REF = "#/components/schemas/{name}"
"""Both kinds of document keep their schemas at the same place."""
WORDS: dict[type, tuple[str, Iterable[str]]] = {
    SetStatus: ("status", STATUS_WORDS),
    ProblemDetails: ("code", PROBLEMS),
}
"""Fields that are any text to the decoder, and one of these words by a table of the code."""
_NO_NEWLINE = r"(?!\n)$"
"""Python's `$` also stands before a last newline; in JSON Schema it does not, and many readers know no lookahead."""


def ref(kind: type) -> Schema:
    """Where the schema of a type stands in a document."""
    return {"$ref": REF.format(name=kind.__name__)}


def schemas(kinds: Iterable[type]) -> dict[str, Schema]:
    """The schemas of these types and of all that they hold, by name."""
    listed = list(dict.fromkeys(kinds))
    _, made = msgspec.json.schema_components(listed, ref_template=REF)
    for struct in _structs(inspect.multi_type_info(listed)):
        properties = made[struct.cls.__name__]["properties"]
        for field in struct.fields:
            if any(isinstance(part, inspect.DateTimeType) for part in _parts(field.type)):
                _date(properties[field.encode_name])
        if struct.cls in WORDS:
            name, words = WORDS[struct.cls]
            properties[name]["enum"] = list(words)
    return {name: plain(schema) for name, schema in sorted(made.items())}


def plain(schema: Any) -> Any:
    """The schema with patterns that every reader knows and no `default: null`, which generators take for a must."""
    if isinstance(schema, dict):
        return {
            name: value.replace(_NO_NEWLINE, "$") if name == "pattern" and isinstance(value, str) else plain(value)
            for name, value in schema.items()
            if (name, value) != ("default", None)
        }
    return [plain(one) for one in schema] if isinstance(schema, list) else schema


def of(kind: Any) -> Schema:
    """The schema of a type that has no name of its own: a parameter's."""
    made: Schema = plain(msgspec.json.schema(kind))
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
    """The type and what it is put together from, but not the fields of structs."""
    yield kind
    match kind:
        case inspect.UnionType(types=types):
            for one in types:
                yield from _parts(one)
        case inspect.ListType(item_type=item):
            yield from _parts(item)
        case inspect.DictType(value_type=value):
            yield from _parts(value)


def _date(schema: Schema) -> None:
    """Msgspec tells a time's format only where the decoder insists on a time zone; what we send always has one."""
    for one in [schema, *schema.get("anyOf", [])]:
        if one.get("type") == "string" and set(one) == {"type"}:
            one["format"] = "date-time"
