"""Who is calling: `Authorization: Bearer dc_<id>_<secret>` made into a `Caller`.

Keys are looked up in PostgreSQL and remembered for a moment, so that a busy caller costs no query each time and a
revoked key still ends within two seconds.
"""

import asyncio
import hmac
from collections import OrderedDict
from typing import NamedTuple

from shared import timesource
from shared.contract.access import Caller
from shared.contract.problems import Kind, Refused
from shared.ledger import keys
from shared.ledger.keys import StoredKey
from shared.postgres.pool import Pool

REMEMBERED_SECONDS = 1.5
_MOST_REMEMBERED = 2_000
_NOBODY = bytes(32)
"""Compared with where there is no such key, so that a wrong id takes as long as a wrong secret."""


class _Entry(NamedTuple):
    key: StoredKey | None
    caller: Caller | None
    until: float


class KeyRing:
    """The keys that were used lately, of all tenants; bounded, the one unused for longest goes first."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[_Entry]] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """Who sent this header; raises `Refused` (401) where that is nobody we know."""
        if not authorization:
            raise no_key("send one as `Authorization: Bearer dc_...`; `deskclock keys create` makes one")
        scheme, _, token = authorization.partition(" ")
        parsed = keys.parse(token.strip()) if scheme.lower() == "bearer" else None
        if parsed is None:
            raise no_key("what was sent does not look like one: `Authorization: Bearer dc_<id>_<secret>`")
        key_id, secret = parsed
        entry = self._entries.get(key_id)
        if entry is None or entry.until <= timesource.monotonic():
            entry = await self._look_up(key_id)
        expected = entry.key.secret_sha256 if entry.key else _NOBODY
        if not hmac.compare_digest(keys.digest(secret), expected) or entry.caller is None:
            raise no_key("this one is unknown or was revoked")
        return entry.caller

    def forget(self, key_id: str) -> None:
        """Look the key up again the next time it is used."""
        self._entries.pop(key_id, None)

    async def _look_up(self, key_id: str) -> _Entry:
        """One query however many callers wait for the same key."""
        task = self._lookups.get(key_id)
        if task is None:
            task = asyncio.ensure_future(self._fetch(key_id))
            self._lookups[key_id] = task
            task.add_done_callback(lambda _: self._lookups.pop(key_id, None))
        return await asyncio.shield(task)

    async def _fetch(self, key_id: str) -> _Entry:
        asked_at = timesource.monotonic()
        async with self._pool.acquire() as connection:
            key = await keys.find(connection, key_id)
        caller = Caller(tenant=key.tenant, key_id=key.id, scopes=frozenset(key.scopes)) if key else None
        entry = _Entry(key, caller, asked_at + REMEMBERED_SECONDS)
        self._entries[key_id] = entry
        self._entries.move_to_end(key_id)
        while len(self._entries) > _MOST_REMEMBERED:
            self._entries.popitem(last=False)
        return entry


def no_key(detail: str) -> Refused:
    """401, with the way out."""
    return Refused(Kind.NO_KEY, f"no valid API key: {detail}", headers={"www-authenticate": 'Bearer realm="deskclock"'})
