"""The id that joins the log lines of one request, and OpenTelemetry's spans when that is installed and configured.

The id is in a context variable of the request's task, and is stored with a room's change and with a message, so that
each process that continues the work logs the same one. Without OpenTelemetry a span does nothing. No span holds a
token, a name or a chat id.
"""

import logging
import re
import secrets
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from importlib.metadata import entry_points, version
from itertools import count
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request whose work is being done; empty for work that no request caused."""
HEADER = b"x-request-id"
SANE = re.compile(rb"[A-Za-z0-9_-]{8,64}")
"""The ids that are taken from callers. None can be a token: those are longer and have dots."""
NOTHING: AbstractContextManager[Any] = nullcontext()
ENABLED_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
"""Environment variables of which any one turns OpenTelemetry on (its specification, SDK configuration)."""

_running: list[tuple[Any, Any]] = []
"""OpenTelemetry's tracer provider and our tracer, once configured; else empty."""
FLUSH_MILLISECONDS = 2000
"""How long sending the last spans may take when a process ends."""


class RequestId:
    """ASGI: gives each request an id, the caller's if it matches SANE, and puts it into the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._process = secrets.token_hex(6).encode()
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the id for as long as the request's task runs."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = b"%s-%06x" % (self._process, next(self._numbers))
        for key, value in scope["headers"]:
            if key == HEADER and SANE.fullmatch(value):
                name = value

        def with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, name)]
            return send(message)

        if _running:
            _join_trace(scope["headers"])
        request_id.set(name.decode())  # not reset: it ends with the task, after the last line about the request
        await self._app(scope, receive, with_id)


@contextmanager
def working_for(name: str) -> Iterator[None]:
    """In the block, work is done for the request of this id; empty: for none."""
    before = request_id.set(name)
    try:
        yield
    finally:
        request_id.reset(before)


def span(name: str, **attributes: str | int) -> AbstractContextManager[Any]:
    """A span of the current trace around the block; without OpenTelemetry, a context manager that does nothing."""
    if not _running:
        return NOTHING
    return _span(name, attributes)


@contextmanager
def _span(name: str, attributes: dict[str, str | int]) -> Iterator[Any]:
    """Of an error only the code or the type is recorded: its text may hold what a span must not."""
    recorded = {f"room_server.{key}": value for key, value in attributes.items()}
    if current := request_id.get():
        recorded["room_server.request_id"] = current
    no_text = {"record_exception": False, "set_status_on_exception": False}
    _, tracer = _running[0]
    with tracer.start_as_current_span(name, attributes=recorded, **no_text) as made:
        try:
            yield made
        except Exception as error:
            made.set_attribute("error.type", getattr(error, "code", type(error).__name__))
            raise


def configure(environ: Mapping[str, str]) -> None:
    """Turn OpenTelemetry on if its own environment variables say so; log a warning if it is not installed."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none"
    if _running or off or not any(environ.get(name, "").strip() for name in ENABLED_BY):
        return
    if exporter == "otlp":
        protocol = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() or "http/protobuf"
        exporter = f"otlp_proto_{protocol.partition('/')[0]}"
    try:
        provider = _provider(exporter)
    except (ImportError, LookupError) as error:
        logger.warning("OpenTelemetry is asked for and cannot be had (%s): install room-server[otel]", error)
    else:
        _running.append((provider, provider.get_tracer("room_server", version("room-server"))))


def flush() -> None:
    """Send the spans that have not been sent: a process that ends by a signal does not do so by itself."""
    for provider, _ in _running:
        provider.force_flush(FLUSH_MILLISECONDS)


def _join_trace(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Continue the caller's trace (W3C Trace Context) until the request's task ends."""
    from opentelemetry import context, propagate  # noqa: PLC0415 - an optional dependency

    carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    context.attach(propagate.extract(carrier))


def _provider(exporter: str) -> Any:
    """A provider that sends spans in batches, from a thread of its own. Raises ImportError, LookupError."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an optional dependency
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    found = list(entry_points(group="opentelemetry_traces_exporter", name=exporter))
    if not found:
        raise LookupError(f"no exporter {exporter}")
    resource = Resource.create({"service.version": version("room-server")})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "room-server"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(found[0].load()()))
    return provider
