"""Unique ids: a random prefix per process plus a counter, which costs one system call per process, not per id."""

import secrets
from itertools import count

_PROCESS = secrets.token_urlsafe(12)
_NUMBERS = count(1)


def new_id() -> str:
    """An id for a command or a commit. It is no secret: it lets others guess the next one."""
    return f"{_PROCESS}-{next(_NUMBERS):x}"
