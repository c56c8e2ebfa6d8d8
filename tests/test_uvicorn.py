"""The internals of uvicorn that this product uses, which any version may change: hence the bound in pyproject.toml."""

import ast
import inspect
import textwrap
from collections.abc import Iterator

import pytest
from uvicorn import Config, Server
from uvicorn.lifespan.on import LifespanOn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols import utils
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from room_server.protocols.bounded_http import BoundedHttp

INSIDE: dict[type, set[str]] = {
    HttpToolsProtocol: {
        *("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing"),
        *("on_message_begin", "on_header", "on_headers_complete", "on_body", "on_message_complete", "_should_upgrade"),
        "_start_asgi_task",
        *("_unset_keepalive_if_required", "app_state", "config", "connections", "cycle", "flow", "headers", "logger"),
        *("loop", "parser", "pipeline", "server_state", "transport", "url", "ws_protocol_class"),
    },
    RequestResponseCycle: {
        *("disconnected", "keep_alive", "message_event", "more_body", "response_complete", "response_started"),
        "transport",
    },
    FlowControl: {"resume_reading"},
    ServerState: {"connections", "tasks"},
    Config: {"date_header", "lifespan_class", "load", "loaded_app", "timeout_graceful_shutdown", "ws_protocol_class"},
    ProxyHeadersMiddleware: {"trusted_hosts"},
    Server: {"_serve", "lifespan", "on_tick", "serve", "server_state", "servers", "started", "startup"},
    LifespanOn: {"shutdown", "state"},
    Multiprocess: {"config", "join_all", "keep_subprocess_alive", "processes", "run", "should_exit", "sockets"},
    Process: {"exitcode", "is_ready", "process", "start"},
}
"""Methods and attributes that the product and its tests use or override, by class."""


def of_self(kind: type, context: type[ast.expr_context]) -> Iterator[str]:
    """The attributes of `self` that the methods of a class read, or set."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind)))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, context) and ast.unparse(node.value) == "self":
            yield node.attr


@pytest.mark.parametrize("kind", INSIDE, ids=lambda kind: kind.__name__)
def test_what_is_used_is_there(kind: type) -> None:
    given = {
        name for part in kind.__mro__ if part.__module__.startswith("uvicorn") for name in of_self(part, ast.Store)
    }

    assert INSIDE[kind] - given - set(dir(kind)) == set()


def test_the_functions_are_there() -> None:
    assert [*inspect.signature(utils.get_remote_addr).parameters] == ["transport"]
    assert [*inspect.signature(utils.is_ssl).parameters] == ["transport"]


def test_nothing_else_is_used_of_the_protocol_that_ours_extends() -> None:
    own = {*vars(BoundedHttp), *of_self(BoundedHttp, ast.Store)}
    replaced = {name for name in own if name in dir(HttpToolsProtocol) and not name.startswith("__")}
    inherited = {*of_self(BoundedHttp, ast.Load)} - own

    assert replaced | inherited | {"logger"} == INSIDE[HttpToolsProtocol]
