"""Secrets by reference: `env:NAME` or `file:/path`, read when they are used, never kept or logged."""

import base64
import binascii
import os
from pathlib import Path

from services.escalation.errors import SecretMissing

_PREFIX = "whsec_"


def webhook_keys(reference: str) -> list[bytes]:
    """Signing keys of a webhook; several, separated by spaces, while one is rotated. Raises SecretMissing."""
    keys = []
    for secret in _read(reference).split():
        try:
            keys.append(base64.b64decode(secret.removeprefix(_PREFIX), validate=True))
        except (binascii.Error, ValueError):
            raise SecretMissing(
                f"the secret {reference} is not in the form of Standard Webhooks: whsec_ and base64"
            ) from None
    if not keys or not all(keys):
        raise SecretMissing(f"the secret {reference} is empty")
    return keys


def _read(reference: str) -> str:
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        value = os.environ.get(name)
        if value is None:
            raise SecretMissing(f"the environment has no variable {name}: set it for this process")
        return value
    if scheme == "file":
        try:
            return Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretMissing(f"the secret file {name} can't be read: {type(error).__name__}") from None
    raise SecretMissing(
        "a webhook needs a secret to be signed with: give the contact `secret: env:NAME` or `file:/path`"
    )
