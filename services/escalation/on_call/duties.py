"""Who may be on call, gathered for one instant: rotations of the policy, overrides, and shifts that were imported.

A step asks inside the transaction that claims it (R19). Whose turn it is is a question of today, so the rotation of the
policy in force counts; one that is gone from it is taken from the escalation's own version, which stays (R26).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import asyncpg
from msgspec import Struct, structs

from services.escalation.domain.rotation import Duty
from services.escalation.store import on_call
from services.escalation.store.on_call import FeedState, Key, MadeOverride
from shared.ledger.policies import PolicyShelf
from shared.policy import builtin
from shared.policy.document import Policy, Rotation
from shared.policy.paging import ON_CALL
from shared.postgres.pool import Connection
from shared.runtime.logs import Log

AROUND = timedelta(days=40)
"""So far from an instant overrides and imported shifts are looked at, to tell the bounds of its shift."""

_log = Log(__name__)


class Roster(Struct, frozen=True, kw_only=True):
    """The rotations of one tenant, with what a reader wants to know beside."""

    policy_version: int
    duties: Mapping[str, Duty]
    overrides: Mapping[str, list[MadeOverride]]
    feeds: Mapping[str, FeedState]


class Need(Struct, frozen=True):
    """What the steps of one tenant and policy version ask for."""

    tenant: str
    policy: Policy | None
    """None where the version can't be had."""
    names: frozenset[str]
    """Rotations."""


def rotations_of(recipients: Iterable[str]) -> frozenset[str]:
    """The rotations among recipients."""
    return frozenset(name.removeprefix(ON_CALL) for name in recipients if name.startswith(ON_CALL))


async def gather(
    connection: Connection, shelf: PolicyShelf, needs: Iterable[Need], at: datetime
) -> dict[Need, dict[str, Duty]]:
    """For each need, those of its rotations that are known."""
    wanted = set(needs)
    in_force = {
        tenant: await _current(connection, shelf, tenant) for tenant in {need.tenant for need in wanted if need.names}
    }
    chosen: dict[Need, dict[str, Duty]] = {}
    for need in wanted:
        chosen[need] = found = {}
        for policy in (need.policy, in_force.get(need.tenant)):
            if policy is not None:
                known = need.names & policy.on_call.keys()
                found.update({name: Duty(rotation=policy.on_call[name], version=policy.version) for name in known})
    return await _filled(connection, chosen, at)


async def of_tenant(
    connection: Connection,
    shelf: PolicyShelf,
    tenant: str,
    at: datetime,
    *,
    is_now: bool = True,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Roster:
    """Every rotation of the policy in force, or, where `at` is not now, of the one that holds then.

    Overrides and imports are those from `AROUND` before `since` to as long after `until`, else around `at`.
    """
    if is_now:
        policy = await shelf.current(connection, tenant)
    else:
        version = await on_call.policy_version_at(connection, tenant, at)
        policy = await shelf.version(connection, tenant, builtin.VERSION if version is None else version)
    keys = [(tenant, name) for name in policy.on_call]
    start, end = (since or at) - AROUND, (until or at) + AROUND
    overrides = await on_call.load_overrides(connection, keys, start, end)
    imported = await on_call.load_imported(connection, _fed(tenant, policy.on_call), start, end)
    feeds = await on_call.load_feeds(connection, _fed(tenant, policy.on_call))
    return Roster(
        policy_version=policy.version,
        duties={
            name: Duty(
                rotation=rotation,
                version=policy.version,
                overrides=on_call.as_overrides(overrides.get((tenant, name), ())),
                imported=tuple(imported.get((tenant, name), ())),
                feed_version=feeds[tenant, name].version if (tenant, name) in feeds else None,
            )
            for name, rotation in policy.on_call.items()
        },
        overrides={name: found for (_, name), found in overrides.items()},
        feeds={name: state for (_, name), state in feeds.items()},
    )


async def _filled(
    connection: Connection, chosen: dict[Need, dict[str, Duty]], at: datetime
) -> dict[Need, dict[str, Duty]]:
    plans = {(need.tenant, name): duty for need, found in chosen.items() for name, duty in found.items()}
    if not plans:
        return chosen
    start, end = at - AROUND, at + AROUND
    overrides = {
        key: on_call.as_overrides(made)
        for key, made in (await on_call.load_overrides(connection, plans.keys(), start, end)).items()
    }
    fed = {key for key, duty in plans.items() if duty.rotation.feed is not None}
    imported = await on_call.load_imported(connection, fed, start, end) if fed else {}
    feeds = await on_call.load_feeds(connection, fed) if fed else {}

    def full(key: Key, duty: Duty) -> Duty:
        return structs.replace(
            duty,
            overrides=overrides.get(key, ()),
            imported=tuple(imported.get(key, ())),
            feed_version=feeds[key].version if key in feeds else None,
        )

    return {
        need: {name: full((need.tenant, name), duty) for name, duty in found.items()} for need, found in chosen.items()
    }


async def _current(connection: Connection, shelf: PolicyShelf, tenant: str) -> Policy | None:
    """The policy in force; None where it can't be read, so that the escalation's own is used and somebody is paged."""
    try:
        return await shelf.current(connection, tenant)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        raise  # the database's trouble, not the policy's
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, somebody is paged
        _log.error("policy_missing", "The policy in force can't be used", error=error, tenant=tenant)
        return None


def _fed(tenant: str, rotations: Mapping[str, Rotation]) -> list[Key]:
    return [(tenant, name) for name, rotation in rotations.items() if rotation.feed is not None]
