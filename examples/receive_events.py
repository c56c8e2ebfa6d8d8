"""Receive the events of a room server over HTTP, and keep each of them once. See docs/site-events.md.

    ROOM_SERVER_SITE_EVENTS_SECRET=whsec_… python examples/receive_events.py events.db --port 8080

Each event is stored by its id before the answer; put your own work into `handle`, which runs once for each. Needs
nothing but Python's standard library. Put a server with TLS before it.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import sqlite3
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

TOLERANCE = 300
"""Seconds by which the time of a request may be off."""
MAX_BYTES = 1024 * 1024
"""Larger requests than the server makes are refused."""


def handle(event: dict[str, Any]) -> None:
    """Your own work, in the order of the events. What takes long belongs into another process that reads the table."""
    print(event["type"], event["id"], flush=True)  # noqa: T201 - its work


def is_genuine(headers: Any, body: bytes, secrets: list[str]) -> bool:
    """Whether one of the secrets signed this id, time and body, and the time is about now (Standard Webhooks)."""
    name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(time.time() - int(stamp)) > TOLERANCE:
        return False
    content = f"{name}.{stamp}.".encode("latin-1") + body
    given = [word.partition(",")[2] for word in headers.get("webhook-signature", "").split() if word.startswith("v1,")]
    return any(hmac.compare_digest(sign(secret, content), one.encode("latin-1")) for secret in secrets for one in given)


def sign(secret: str, content: bytes) -> bytes:
    """The signature in base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256))


def store(database: sqlite3.Connection, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Store all of them or none; those that were not there before."""
    with database:
        rows = [(event["id"], event["type"], json.dumps(event)) for event in events]
        return [
            event
            for event, row in zip(events, rows, strict=True)
            if database.execute("INSERT OR IGNORE INTO events (id, type, event) VALUES (?, ?, ?)", row).rowcount
        ]


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 once the events of a request are stored; each connection has one request."""

    timeout = 5
    """Seconds that a caller may be silent: one is served at a time."""
    database: sqlite3.Connection
    secrets: list[str]

    def do_POST(self) -> None:
        """One request."""
        body = self.body()
        if body is None:
            return self.answer(413)
        if not is_genuine(self.headers, body, self.secrets):
            return self.answer(401)
        new = store(self.database, json.loads(body)["data"]["events"])
        self.answer(204)
        for event in new:
            handle(event)
        return None

    def body(self) -> bytes | None:
        """The body, also of a request that a proxy has cut into chunks; None when it is too large."""
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            length = self.headers.get("content-length", "")
            size = int(length) if length.isdecimal() else 0
            return self.rfile.read(size) if size <= MAX_BYTES else None
        body = b""
        while (size := int(self.rfile.readline(20), 16)) > 0:
            if len(body) + size > MAX_BYTES:
                return None
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status: int) -> None:
        """A status, and no body."""
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """No line for each request."""


def main() -> None:
    """Receive until Ctrl-C."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("database", help="an SQLite file, made if it is missing; the table is `events`")
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8080)
    given = arguments.parse_args()
    Receiver.secrets = os.environ["ROOM_SERVER_SITE_EVENTS_SECRET"].split()
    Receiver.database = sqlite3.connect(given.database)
    Receiver.database.execute("PRAGMA journal_mode = WAL")
    Receiver.database.execute(
        "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, id TEXT UNIQUE, type TEXT, event TEXT)"
    )
    with HTTPServer((given.host, given.port), Receiver) as server:
        print(f"ready http://{given.host}:{server.server_port}", flush=True)  # noqa: T201 - for whoever started it
        server.serve_forever()


if __name__ == "__main__":
    main()
