"""Compiled policy versions, kept in memory as long as they are asked for."""

import asyncio
from collections import OrderedDict

from shared.ledger import QUERIES
from shared.policy import builtin, parse
from shared.policy.document import Policy
from shared.policy.zones import tzdata_version
from shared.postgres.pool import Connection
from shared.runtime.logs import Log

_log = Log(__name__)

VERSIONS_KEPT = 256


class PolicyShelf:
    """Answers with the same object for the same version, so that what others compile from it can be kept too."""

    def __init__(self, *, kept: int = VERSIONS_KEPT) -> None:
        """`kept` bounds how many versions, of all tenants, stay in memory."""
        self._kept = kept
        self._policies: OrderedDict[tuple[str, int], Policy] = OrderedDict()
        self._candidates: dict[tuple[str, int], Policy] = {}

    def lay(self, tenant: str, policy: Policy) -> None:
        """Answer with a version that isn't stored, for trials; `current` goes on without it."""
        self._candidates[tenant, policy.version] = policy

    async def current(self, connection: Connection, tenant: str) -> Policy:
        """The newest version whose time has come, asked of the database each time: one index probe, and it is used at once."""
        newest = await connection.fetchval(QUERIES["newest_policy_version"], tenant)
        return await self.version(connection, tenant, newest or builtin.VERSION)

    async def version(self, connection: Connection, tenant: str, number: int) -> Policy:
        """One version; 0 is the built-in policy. Raises LookupError where the tenant has no such version."""
        if number == builtin.VERSION:
            return builtin.policy()
        key = (tenant, number)
        if key in self._candidates:
            return self._candidates[key]
        policy = self._policies.get(key)
        if policy is None:
            policy = self._policies.setdefault(key, await _load(connection, tenant, number))
            while len(self._policies) > self._kept:
                self._policies.popitem(last=False)
        else:
            self._policies.move_to_end(key)
        return policy


async def _load(connection: Connection, tenant: str, number: int) -> Policy:
    document = await connection.fetchval(QUERIES["load_policy_document"], tenant, number)
    if document is None:
        raise LookupError(f"tenant {tenant!r} has no policy version {number}")
    applied_with, have = parse.zones_of(document), tzdata_version()
    if applied_with != have:
        _log.warning(
            "time_zones_differ",
            f"policy version {number} was applied with time zones of {applied_with or 'an unknown edition'}, here they are of "
            f"{have}: apply it again with `--to open`, so that open tickets are judged by these",
            tenant=tenant,
        )
    return await asyncio.to_thread(parse.stored_policy, document, version=number)
