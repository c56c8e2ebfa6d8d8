"""A row of operations.py: one operation over HTTP, and its successful answers."""

from typing import NamedTuple

from room_server.core.messages import Role


class Answer(NamedTuple):
    """A successful answer. `kind` is the type of its JSON, `dict` for any object; without `media` there is no body.

    Media types other than JSON are text.
    """

    description: str
    kind: type | None = None
    media: tuple[str, ...] = ("application/json",)
    headers: tuple[str, ...] = ("Cache-Control",)


class Operation(NamedTuple):
    """One method of one path. `codes` are its problems, without COMMON_CODES."""

    id: str
    description: str
    answers: dict[int, Answer]
    codes: tuple[str, ...] = ()
    body: type | None = None
    """The type of the body."""
    callers: tuple[str, ...] = ()
    """The ways to authenticate of which one is needed; none needs none."""
    roles: frozenset[Role] = frozenset()
    request_headers: tuple[str, ...] = ()
    """Headers of the request that change the answer."""
    query: tuple[str, ...] = ()
    """Parameters of the query; none is needed."""
    tag: str = "rooms"
