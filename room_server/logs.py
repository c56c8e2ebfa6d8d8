"""Logging for people (`console`) or for machines (`json`), on stderr. No token, name or chat id is ever logged."""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import msgspec


class Json(logging.Formatter):
    """One JSON object a line: at, level, logger, message, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _encodable(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = _encodable(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


def _encodable(text: str) -> str:
    """Bytes of a file name that are no UTF-8 must not cost the line."""
    return text.encode("utf-8", "backslashreplace").decode()


def configure(form: Literal["console", "json"]) -> None:
    """Send everything from INFO on to stderr; libraries that narrate are heard from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for narrator in ("httpx", "httpcore", "uvicorn.error", "telegram"):
        logging.getLogger(narrator).setLevel(logging.WARNING)
