"""The token secret of an installation on the embedded server: made once, kept in the data folder (mode 0600)."""

import os
import re
import secrets
from pathlib import Path

from msgspec.structs import replace

from room_server.config import PREFIX, Settings
from room_server.errors import ConfigurationError

NAME = "token_secret"


def with_token_secret(settings: Settings) -> Settings:
    """The settings with a key for tokens: with the embedded server, one is made when none is set.

    Raises ConfigurationError when none is set and Redis is shared, or the file cannot be used.
    """
    if settings.token_secrets() or settings.token_public_key:
        return settings
    if settings.redis_url:
        raise ConfigurationError(
            f"{PREFIX}TOKEN_SECRET is not set: it signs and verifies the tokens of all processes on this Redis "
            f"(or set {PREFIX}TOKEN_PUBLIC_KEY). Make one with: openssl rand -hex 32"
        )
    return replace(settings, token_secret=_secret(settings.path() / NAME))


def _secret(path: Path) -> str:
    """The secret in the file; the first process makes it."""
    try:
        if not path.exists():
            _make(path)
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"{PREFIX}DATA_DIR: {error}") from error
    if not re.fullmatch(rb"[!-~]{32,}", secret):
        raise ConfigurationError(f"{path} holds no secret; remove it, and a new one is made (old tokens then end)")
    return secret.decode()


def _make(path: Path) -> None:
    """Write another file and link it: the secret is there whole or not at all, and never replaces another one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{NAME}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    finally:
        new.unlink()
