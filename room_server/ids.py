"""Names that are never given twice: a random word of this process, and a number. One call to the kernel for all."""

import secrets
from itertools import count

_PROCESS = secrets.token_urlsafe(12)
_NUMBERS = count(1)


def new_id() -> str:
    """For a command or a commit; not a secret, since the next one can be guessed from it."""
    return f"{_PROCESS}-{next(_NUMBERS):x}"


def new_epoch() -> str:
    """Random; names one life of a room's versions."""
    return secrets.token_hex(4)
