"""Checks of values and answers against a document, with an independent implementation of JSON Schema."""

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

Json = dict[str, Any]


def resolved(document: Json, node: Json) -> Json:
    """The node, or what it refers to inside the document."""
    while "$ref" in node:
        found: Any = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name.replace("~1", "/").replace("~0", "~")]
        node = found
    return node


def references(node: Any) -> Iterator[str]:
    """Every reference in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def closed(schema: Any) -> Any:
    """The schema with unknown fields forbidden: the document allows them for later versions, today all are listed."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    return (
        {**made, "additionalProperties": False} if schema.get("type") == "object" and "properties" in schema else made
    )


class Reader:
    """A reader that knows a document and nothing else."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._components = {"schemas": closed(document["components"]["schemas"])}

    def faults(self, schema: Json, value: Any) -> list[str]:
        """The value's violations of a schema of the document; an unlisted field is one, too."""
        validator = Draft202012Validator({**schema, "components": self._components}, format_checker=FormatChecker())
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def path_of(document: Json, address: str) -> str:
    """The path of an OpenAPI document for an address; paths without parameters take precedence."""
    paths = sorted(document["paths"], key=lambda path: path.count("{"))
    found: str = next(path for path in paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), address))
    return found
