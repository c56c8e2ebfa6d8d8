"""Logging for people (`console`) or for machines (`json`), on stderr. No token, name or chat id is ever logged.

A line says which request it was written for. Facts for machines go with a record as `extra=facts(…)`.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from room_server.telemetry.tracing import request_id


class Json(logging.Formatter):
    """One JSON object a line: at, level, logger, message, request_id, facts, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _encodable(record.getMessage()),
            **_facts_of(record),
        }
        if record.exc_info:
            line["traceback"] = _encodable(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


class Console(logging.Formatter):
    """Time, level, message, and behind it the facts."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The first line; a traceback follows it."""
        said = "".join(f" {name}={value}" for name, value in _facts_of(record).items())
        return super().formatMessage(record) + said


def _facts_of(record: logging.LogRecord) -> dict[str, Any]:
    name = request_id.get()
    return {**({"request_id": name} if name else {}), **getattr(record, "facts", {})}


def _encodable(text: str) -> str:
    """Bytes of a file name that are no UTF-8 must not cost the line."""
    return text.encode("utf-8", "backslashreplace").decode()


def configure(form: Literal["console", "json"]) -> None:
    """Send everything from INFO on to stderr; libraries that narrate are heard from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else Console("%(asctime)s %(levelname)-8s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for narrator in ("httpx", "httpcore", "uvicorn.error", "telegram", "opentelemetry"):
        logging.getLogger(narrator).setLevel(logging.WARNING)
