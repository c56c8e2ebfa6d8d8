"""What is wrong with a value, in words for a person: msgspec's messages without the names of types and the patterns.

The words of a pattern are the `description` beside it in its type, so every pattern has one.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

TYPES = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "a time in RFC 3339",
}
PLURALS = {"character": "characters", "entry": "entries"}
MOMENT = "expected a time with its offset from UTC, such as 2030-11-22T18:00:00+03:00"
BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_PATTERN = re.compile(r"Expected `str` matching regex (.+)", re.DOTALL)
_TYPE = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_LENGTH = re.compile(r"Expected `([^`]+)` of length ([<>]=?) (\d+)")
_NUMBER = re.compile(r"Expected `([^`]+)` ([<>]=?) (\S+)")
_WORD = re.compile(r"Invalid enum value (.+)", re.DOTALL)


def in_words(message: str, kind: Any) -> tuple[str | None, str]:
    """The path of the field that msgspec's message about a value of the type `kind` names, and what is wrong with it.

    The path is None when the message names none.
    """
    found = _PATH.search(message)
    path = found[1] if found and found[1] else None
    fault = message[: found.start()] if found else message
    if missing := _MISSING.fullmatch(fault):
        return ".".join(filter(None, (path, missing[1]))), "the field is missing"
    return path, _fault_in_words(fault, (path or "").rpartition(".")[2].partition("[")[0], kind)


def _fault_in_words(fault: str, name: str, kind: Any) -> str:
    """What is wrong with the field `name`."""
    if found := _PATTERN.fullmatch(fault):
        return f"expected {_patterns(kind).get(found[1], 'another text')}"
    if found := _LENGTH.fullmatch(fault):
        unit = "character" if found[1] == "str" else "entry"
        counted = f"{found[3]} {unit if found[3] == '1' else PLURALS[unit]}"
        return f"expected {TYPES.get(found[1], found[1])} of {BOUNDS[found[2]]} {counted}"
    if found := _NUMBER.fullmatch(fault):
        return f"expected {TYPES.get(found[1], found[1])}, {BOUNDS[found[2]]} {found[3]}"
    if found := _TYPE.fullmatch(fault):
        return f"expected {_types(found[1])}, not {_types(found[2])}"
    if found := _WORD.fullmatch(fault):
        return f"expected one of {', '.join(_choices(kind).get(name, ()))}, not {found[1]}"
    return MOMENT if "RFC3339" in fault or "timezone" in fault else fault


def _types(names: str) -> str:
    return " or ".join(TYPES.get(name, name) for name in names.split(" | "))


@cache
def _patterns(kind: Any) -> dict[str, str]:
    """The words of each pattern in the type, by the pattern as msgspec writes it."""
    nodes = _nodes(msgspec.json.schema(kind))
    return {repr(node["pattern"]): node["description"] for node in nodes if "pattern" in node}


@cache
def _choices(kind: Any) -> dict[str, tuple[str, ...]]:
    """The words that each field of the type may hold, by its name; of other fields nothing."""
    schema = msgspec.json.schema(kind)
    named = [fields.items() for node in _nodes(schema) if isinstance(fields := node.get("properties"), dict)]
    return {name: words for fields in named for name, field in fields if (words := tuple(_words(field, schema)))}


def _words(field: Any, schema: dict[str, Any]) -> Iterator[str]:
    for node in _nodes(field):
        place = node.get("$ref", "").removeprefix("#/$defs/")
        yield from schema["$defs"][place].get("enum", ()) if place else node.get("enum", ())


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """All objects in a schema."""
    if isinstance(schema, dict):
        yield schema
        schema = list(schema.values())
    for part in schema if isinstance(schema, list) else ():
        yield from _nodes(part)
