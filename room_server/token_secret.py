"""The token secret that an embedded installation makes for itself, once, in the data folder (mode 0600)."""

import os
import re
import secrets
from pathlib import Path

from msgspec.structs import replace

from room_server.config import PREFIX, Settings
from room_server.errors import ConfigurationError

NAME = "token_secret"


def with_token_secret(settings: Settings) -> Settings:
    """The settings with a way to verify tokens. Raises ConfigurationError when there can be none."""
    if settings.token_secrets() or settings.token_public_key:
        return settings
    if settings.redis_url:
        raise ConfigurationError(
            f"{PREFIX}TOKEN_SECRET is not set: it signs and verifies the tokens of all processes on this Redis "
            f"(or set {PREFIX}TOKEN_PUBLIC_KEY). Make one with: openssl rand -hex 32"
        )
    return replace(settings, token_secret=_kept(settings.path() / NAME))


def _kept(path: Path) -> str:
    """The secret in the file, made by whoever comes first."""
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
    """Write it beside and link it: all of it or nothing, and never over another's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f"{NAME}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink()
