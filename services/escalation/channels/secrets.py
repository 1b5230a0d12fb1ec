"""Secrets by reference: `env:DESKCLOCK_SECRET_...` or `file:...`, read when they are used, never kept, logged or shown.

A roster comes from a tenant: it may name what the operator set aside for pages, and nothing else of this process.
"""

import base64
import binascii
import os
import re
import stat
from pathlib import Path

from services.escalation.errors import SecretMissing

_SIGNING = "whsec_"
_ENVIRONMENT = re.compile(r"DESKCLOCK_SECRET_[A-Za-z0-9_]+")
_LARGEST = 16 * 1024


class Secrets:
    """Reads secrets from the environment, and from files in one folder."""

    def __init__(self, folder: str = "") -> None:
        """`folder` is DESKCLOCK_SECRETS_DIR; empty: none are read from files."""
        self._folder = folder

    def read(self, reference: str) -> str:
        """The secret, without space around it; raises SecretMissing, which says what to do and never what it read."""
        scheme, _, name = reference.partition(":")
        if scheme == "env":
            return _from_environment(name, reference)
        if scheme == "file":
            return self._from_file(name, reference)
        if reference:
            raise SecretMissing(
                "the contact's secret is not a reference: write `env:DESKCLOCK_SECRET_NAME` or `file:NAME`"
            )
        raise SecretMissing("the contact has no secret: give it `secret: env:DESKCLOCK_SECRET_NAME` or `file:NAME`")

    def signing_keys(self, reference: str) -> list[bytes]:
        """Signing keys of a webhook; several, separated by spaces, while one is rotated. Raises SecretMissing."""
        keys = []
        for secret in self.read(reference).split():
            try:
                keys.append(base64.b64decode(secret.removeprefix(_SIGNING), validate=True))
            except (binascii.Error, ValueError):
                raise SecretMissing(
                    f"the secret {reference} is not in the form of Standard Webhooks: whsec_ and base64"
                ) from None
        if not all(keys):
            raise SecretMissing(f"the secret {reference} is empty")
        return keys

    def _from_file(self, name: str, reference: str) -> str:
        if not self._folder:
            raise SecretMissing(
                f"the secret {reference} stands in a file: say in DESKCLOCK_SECRETS_DIR where such files are"
            )
        try:
            folder = Path(self._folder).resolve(strict=True)
            path = (folder / name).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise _unreadable(reference, error) from None
        if not path.is_relative_to(folder):
            raise SecretMissing(f"the secret {reference} is not in DESKCLOCK_SECRETS_DIR: put the file there")
        try:
            content = _content(path)
        except (OSError, ValueError) as error:
            raise _unreadable(reference, error) from None
        return _not_empty(content, reference)


def _from_environment(name: str, reference: str) -> str:
    if not _ENVIRONMENT.fullmatch(name):
        raise SecretMissing(
            "a secret's variable begins with DESKCLOCK_SECRET_: rename it, as in `env:DESKCLOCK_SECRET_PAGER`"
        )
    value = os.environ.get(name)
    if value is None:
        raise SecretMissing(f"the environment has no variable {name}: set it for this process")
    return _not_empty(value, reference)


def _content(path: Path) -> str:
    """A small file's text; opened so that neither a pipe nor a link put in its place is followed."""
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise IsADirectoryError
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError
    return content.decode()


def _not_empty(value: str, reference: str) -> str:
    if not value.strip():
        raise SecretMissing(f"the secret {reference} is empty")
    return value.strip()


def _unreadable(reference: str, error: Exception) -> SecretMissing:
    return SecretMissing(f"the secret {reference} can't be read: {type(error).__name__}")
