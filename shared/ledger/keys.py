"""API keys in SQL: `dc_<id>_<secret>`, of which only the id and the secret's SHA-256 are kept.

A fast digest is enough: the secret is 256 random bits, there is nothing to guess.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from shared.contract import subjects
from shared.contract.access import Scope
from shared.ledger import QUERIES
from shared.postgres.pool import Connection

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 12
_SECRET_LENGTH = 43
"""43 letters of 62 are 256 bits."""
_KEY = re.compile(r"dc_([0-9a-z]{1,32})_([0-9A-Za-z]{20,128})")


class StoredKey(Struct, frozen=True, kw_only=True):
    """A valid key, as needed to check a caller."""

    id: str
    tenant: str
    secret_sha256: bytes
    scopes: Sequence[str]


class KeyView(Struct, frozen=True, kw_only=True):
    """A key as its owner may see it: never the secret."""

    id: str
    label: str
    scopes: Sequence[str]
    created_at: datetime
    revoked_at: datetime | None


class NewKey(Struct, frozen=True, kw_only=True):
    """A key that was just made; `key` is shown this once."""

    id: str
    key: str
    tenant: str
    scopes: Sequence[str]
    label: str
    created_at: datetime


def parse(key: str) -> tuple[str, str] | None:
    """Id and secret of a key as its owner writes it, or None where it has another form."""
    found = _KEY.fullmatch(key)
    return (found[1], found[2]) if found else None


def digest(secret: str) -> bytes:
    """What is stored in place of the secret."""
    return hashlib.sha256(secret.encode()).digest()


async def create(connection: Connection, tenant: str, scopes: Iterable[Scope], label: str = "") -> NewKey:
    """Make a key for a tenant; raises ValueError where the tenant's name can't be one."""
    if not subjects.TENANT.fullmatch(tenant):
        raise ValueError(
            f"{tenant!r} can't be a tenant: up to 63 small letters, digits, `-` and `_`, beginning with a letter or digit"
        )
    key_id = _random(_ID_LETTERS, _ID_LENGTH)
    secret = _random(_LETTERS, _SECRET_LENGTH)
    allowed = sorted(set(scopes))
    created_at = await connection.fetchval(QUERIES["insert_key"], key_id, tenant, digest(secret), allowed, label)
    return NewKey(
        id=key_id, key=f"dc_{key_id}_{secret}", tenant=tenant, scopes=allowed, label=label, created_at=created_at
    )


async def find(connection: Connection, key_id: str) -> StoredKey | None:
    """The key of that id, unless it was revoked or never existed."""
    row = await connection.fetchrow(QUERIES["find_key"], key_id)
    return StoredKey(**dict(row)) if row else None


async def list_keys(connection: Connection, tenant: str) -> list[KeyView]:
    """All keys of a tenant, the newest first; revoked ones too."""
    return [KeyView(**dict(row)) for row in await connection.fetch(QUERIES["list_keys"], tenant)]


async def revoke(connection: Connection, tenant: str, key_id: str) -> bool:
    """Take a key back; False where the tenant has no valid key of that id. Every replica knows within two seconds."""
    return await connection.fetchval(QUERIES["revoke_key"], tenant, key_id) is not None


def _random(letters: str, length: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))
