"""Logging on stderr, for people (`console`) or for machines (`json`). Callers never log a token, a name or a chat id.

Each line names the request that it was written for. Values for machines are given to the logger as
`extra={"facts": {…}}`.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from room_server.telemetry.tracing import request_id


class Json(logging.Formatter):
    """One JSON object a line: at, level, logger, message, request_id, the facts, and the traceback of an error."""

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
    """Time, level and message, followed by the request id and the facts."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line, after which logging puts the traceback."""
        facts = "".join(f" {name}={value}" for name, value in _facts_of(record).items())
        return super().formatMessage(record) + facts


def _facts_of(record: logging.LogRecord) -> dict[str, Any]:
    name = request_id.get()
    return {**({"request_id": name} if name else {}), **getattr(record, "facts", {})}


def _encodable(text: str) -> str:
    """The text with lone surrogates, such as from a file name that is no UTF-8, escaped: JSON cannot hold them."""
    return text.encode("utf-8", "backslashreplace").decode()


def configure(form: Literal["console", "json"]) -> None:
    """Log from INFO on, and of libraries that log each request from WARNING on. Replaces what was configured before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else Console("%(asctime)s %(levelname)-8s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for library in ("httpx", "httpcore", "uvicorn.error", "telegram", "opentelemetry"):
        logging.getLogger(library).setLevel(logging.WARNING)
