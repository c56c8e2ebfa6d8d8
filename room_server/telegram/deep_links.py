"""The links that connect a person's Telegram: `https://t.me/<bot>?start=<payload>`.

A payload names the person and proves that this installation made it; nothing is stored until it is pressed. Telegram
allows 1 to 64 of `A-Z a-z 0-9 _ -` (Bot features, Deep linking).
"""

import base64
import hmac
import re

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from room_server.config import Settings
from room_server.core.bindings import Person, PersonKind
from room_server.core.messages import MAX_LEAD_ID
from room_server.shared_read import SharedRead
from room_server.state import bot
from room_server.state.store import Store

MAC_BYTES = 16
NAME_SECONDS = 5.0
"""How old the bot's name may be: everybody in a room asks for a link."""
_LETTERS = {PersonKind.LEAD: "l", PersonKind.PARTNER: "p"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}
_PAYLOAD = re.compile(r"(([lp])([1-9][0-9]{0,15}))-([A-Za-z0-9_-]{22})")
"""The letter of the kind and the number; then the MAC over both, in base64url."""
_LINK = b"room-server: links that connect Telegram"
_WEBHOOK = b"room-server: the secret of Telegram's webhook"
"""What each key is derived for: a key for one purpose says nothing of another (RFC 5869, 3.2)."""


class DeepLinks:
    """Makes payloads with the first secret, and verifies those of every secret."""

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        self._keys = [derived(secret, _LINK) for secret in secrets]
        self.webhook_secrets = [derived(secret, _WEBHOOK).hex() for secret in secrets]
        """What Telegram sends along with an update (`setWebhook`, secret_token): told is the first, all are taken."""

    def payload(self, person: Person) -> str:
        """The payload for this person, at most 40 characters."""
        name = f"{_LETTERS[person.kind]}{person.id}"
        return f"{name}-{_mac(self._keys[0], name)}"

    def person(self, payload: str) -> Person | None:
        """Whom a payload of ours names; None for any other text."""
        found = _PAYLOAD.fullmatch(payload)
        if found is None or int(found[3]) > MAX_LEAD_ID:
            return None
        matches = [hmac.compare_digest(_mac(key, found[1]), found[4]) for key in self._keys]
        return Person(_KINDS[found[2]], int(found[3])) if any(matches) else None

    def url(self, bot_name: str, person: Person) -> str:
        """The link that a person presses."""
        return f"https://t.me/{bot_name}?start={self.payload(person)}"


async def open_links(settings: Settings, store: Store) -> DeepLinks:
    """The links of this installation: by its TOKEN_SECRET, else by a random secret in Redis. Raises StateUnavailable.

    All processes of an installation must have the same TOKEN_SECRET, or none and a TOKEN_PUBLIC_KEY.
    """
    secrets = tuple(secret.encode() for secret in settings.token_secrets())
    return DeepLinks(secrets or (await bot.random_secret(store),))


class OfferedLinks:
    """The links that pages offer. They need the bot's name, which a worker finds out; it is read once in a while."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._name = SharedRead(self._read_name, NAME_SECONDS)
        self._links: DeepLinks | None = None

    async def url(self, person: Person) -> str | None:
        """The link for this person; None without a bot that hears of it. Raises StateUnavailable."""
        name = await self._name.get() if self._settings.telegram_updates != "off" else None
        return (await self.links()).url(name, person) if name else None

    async def links(self) -> DeepLinks:
        """The links of this installation. Raises StateUnavailable."""
        if self._links is None:
            self._links = await open_links(self._settings, self._store)
        return self._links

    async def webhook_secrets(self) -> list[str]:
        """The secrets of which Telegram sends one; none without a webhook. Raises StateUnavailable."""
        return (await self.links()).webhook_secrets if self._settings.telegram_updates == "webhook" else []

    async def _read_name(self) -> str:
        return await bot.name(self._store) or ""


def derived(secret: bytes, purpose: bytes) -> bytes:
    """The key of 32 bytes for one purpose (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)


def _mac(key: bytes, name: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, name.encode(), "sha256")[:MAC_BYTES]).rstrip(b"=").decode()
