"""Policies and rosters applied to a real database, and the shelf that answers from it."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from services.router.versions import policies
from services.router.versions.policies import Plan
from shared.ledger.policies import PolicyShelf
from shared.policy import builtin
from shared.policy.errors import LocatedError, PolicyErrors
from shared.postgres.pool import Connection, Pool

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
TENANT = "acme"
ROSTER = "people: {ana: {skills: {billing: 4}, channels: [email], lead: ben}, ben: {name: Ben}}"
ON_CALL = "on_call: {s: {timezone: UTC, rotation: daily, handoff: '09:00', people: [ana, ben]}}\n"


def policy(first_response: str, extra: str = "") -> str:
    """A file with one target."""
    return f"targets: [{{name: all, calendar: always, first_response: {first_response}}}]\n{extra}"


async def apply(connection: Connection, text: str, tenant: str = TENANT) -> int:
    """Apply a policy as `lead`."""
    return await policies.apply_policy(connection, tenant, text, "lead", NOW)


async def apply_roster(connection: Connection, text: str = ROSTER) -> int:
    """Apply a roster as `lead`."""
    return await policies.apply_roster(connection, TENANT, text, "lead", NOW)


async def faults(work: Awaitable[int]) -> tuple[LocatedError, ...]:
    """What an attempt is refused for."""
    with pytest.raises(PolicyErrors) as refused:
        await work
    return refused.value.errors


async def test_a_tenant_without_a_policy_has_the_built_in_one(pool: Pool) -> None:
    """So that a first ticket works at once."""
    shelf = PolicyShelf()
    async with pool.acquire() as connection:
        assert builtin.policy() is await shelf.current(connection, TENANT)
        assert builtin.policy() is await shelf.version(connection, TENANT, 0)
        assert await policies.show_policy(connection, TENANT) is None


async def test_an_applied_policy_is_used_at_once_and_old_versions_stay(pool: Pool) -> None:
    """Each ticket keeps the version that judged it."""
    shelf = PolicyShelf()
    async with pool.acquire() as connection:
        assert 1 == await apply(connection, policy("1h"))
        first = await shelf.current(connection, TENANT)
        assert 2 == await apply(connection, policy("2h"))
        second = await shelf.current(connection, TENANT)

        assert (1, 2) == (first.version, second.version)
        assert [timedelta(hours=1)] == list(first.sla.targets[0].promises.values())
        assert [timedelta(hours=2)] == list(second.sla.targets[0].promises.values())
        assert first is await shelf.version(connection, TENANT, 1)
        assert builtin.policy() is await shelf.current(connection, "other")
        with pytest.raises(LookupError, match="no policy version 3"):
            await shelf.version(connection, TENANT, 3)


async def test_the_shelf_keeps_so_many_versions_and_no_more(pool: Pool) -> None:
    """The one asked for longest ago goes."""
    shelf = PolicyShelf(kept=2)
    async with pool.acquire() as connection:
        for hours in (1, 2, 3):
            await apply(connection, policy(f"{hours}h"))
        first = await shelf.version(connection, TENANT, 1)
        second = await shelf.version(connection, TENANT, 2)
        assert first is await shelf.version(connection, TENANT, 1)
        await shelf.version(connection, TENANT, 3)

        assert first is await shelf.version(connection, TENANT, 1)
        assert second is not await shelf.version(connection, TENANT, 2)


async def test_the_same_text_changes_nothing(pool: Pool) -> None:
    """Applying twice is applying once."""
    async with pool.acquire() as connection:
        assert [1, 1, 2, 3] == [await apply(connection, policy(text)) for text in ("1h", "1h", "2h", "1h")]
        assert [1, 1] == [await apply_roster(connection), await apply_roster(connection)]
        assert [3, 2, 1] == [line.version for line in await policies.policy_versions(connection, TENANT)]
        assert [1] == [line.version for line in await policies.policy_versions(connection, TENANT, before=2)]
        [line] = await policies.roster_versions(connection, TENANT)

    assert (1, NOW, "lead", len(ROSTER)) == (line.version, line.applied_at, line.applied_by, line.size)


async def test_the_file_is_shown_as_it_was_given(pool: Pool) -> None:
    """Comments and all; the document beside it has the holidays as dates."""
    text = "# ours\ncalendars: {o: {hours: {mon: all day}, holidays: {country: US}}}\n"
    async with pool.acquire() as connection:
        await apply(connection, text)
        await apply(connection, policy("1h"))
        shown = await policies.show_policy(connection, TENANT, 1)
        newest = await policies.show_policy(connection, TENANT)
        assert await policies.show_policy(connection, TENANT, 9) is None
        assert await policies.show_roster(connection, TENANT) is None
        await apply_roster(connection)
        roster = await policies.show_roster(connection, TENANT)

    assert shown is not None
    assert newest is not None
    assert roster is not None
    assert (text, policy("1h"), ROSTER) == (shown.source, newest.source, roster.source)
    assert "2026-07-04" in msgspec.json.decode(shown.document)["calendars"]["o"]["holidays"][0]["dates"]


async def test_a_bad_file_changes_nothing(pool: Pool) -> None:
    """All its faults are told."""
    async with pool.acquire() as connection:
        await apply(connection, policy("1h"))
        found = await faults(apply(connection, policy("1d", "channels: {fax: {}}\n")))
        await faults(apply_roster(connection, "people: {ana: {lead: x}}"))

        assert ["/targets/0/first_response", "/channels/fax"] == [fault.pointer for fault in found]
        assert [1] == [line.version for line in await policies.policy_versions(connection, TENANT)]
        assert 0 == await connection.fetchval("SELECT count(*) FROM agent")


async def test_a_policy_pages_only_people_of_the_roster_who_can_be_reached(pool: Pool) -> None:
    """R23: a lint when it is applied, not a surprise at night."""
    text = policy("1h", ON_CALL)
    async with pool.acquire() as connection:
        [ana, ben] = await faults(apply(connection, text))
        await apply_roster(connection, "people: {ana: {contacts: []}, bent: {}}")
        [unreachable, unknown] = await faults(apply(connection, text))
        await apply_roster(connection, "people: {ana: {contacts: [{apprise: room, secret: 'file:x'}]}, ben: {}}")
        [told] = await faults(apply(connection, text))
        await apply_roster(connection)
        assert 1 == await apply(connection, text)

    assert (2, "/on_call/s/people/0", "/on_call/s/people/1") == (ana.line, ana.pointer, ben.pointer)
    assert "apply the roster first" in ana.remedy
    assert "can't be reached" in unreachable.problem
    assert "can't be reached" in told.problem
    assert "did you mean `bent`?" == unknown.remedy


async def test_a_roster_keeps_whom_the_policy_pages(pool: Pool) -> None:
    """Nobody on call disappears unnoticed."""
    async with pool.acquire() as connection:
        await apply_roster(connection)
        await apply(connection, policy("1h", ON_CALL))
        found = await faults(apply_roster(connection, "people: {ana: {contacts: []}}"))
        assert 2 == await apply_roster(connection, "people: {ana: {}, ben: {}, cy: {}}")

    assert ["ana", "ben"] == [name for fault in found for name in ("ana", "ben") if f"`{name}`" in fault.problem]


async def test_a_roster_makes_agents_and_leaves_what_they_do_alone(pool: Pool) -> None:
    """Status and load stay; who is gone is deactivated and may come back."""
    async with pool.acquire() as connection:
        await apply_roster(connection)
        await connection.execute(
            "UPDATE agent SET status = 'online', primary_used = 5, interruptible_used = 7 WHERE key = 'ana'"
        )
        await apply_roster(
            connection, "people: {ana: {skills: {sql: 2}, channels: [phone, email], capacity: 6, contacts: []}}"
        )
        rows = {row["key"]: row for row in await connection.fetch("SELECT * FROM agent ORDER BY key")}
        await apply_roster(connection, "people: {ana: {capacity: 4}, ben: {}}")
        over = await connection.fetchval("SELECT over_capacity FROM agent WHERE key = 'ana'")
        assert await connection.fetchval("SELECT active FROM agent WHERE key = 'ben'")
        await apply_roster(connection, "people: {}")
        assert 0 == await connection.fetchval("SELECT count(*) FROM agent WHERE active")

    ana, ben = rows["ana"], rows["ben"]
    assert ("online", 5, 7, 6, False) == tuple(
        ana[key] for key in ("status", "primary_used", "interruptible_used", "capacity", "over_capacity")
    )
    assert ({"sql": 2}, ["phone", "email"], []) == (
        msgspec.json.decode(ana["skills"]),
        ana["channels"],
        msgspec.json.decode(ana["contacts"]),
    )
    assert (True, False, "offline") == (ana["active"], ben["active"], ben["status"])
    assert over, "the load is more than the smaller capacity allows"


async def test_a_plan_says_what_would_change_and_changes_nothing(pool: Pool) -> None:
    """Against the version in force, or the built-in one."""
    async with pool.acquire() as connection:
        against_builtin = await policies.plan_policy(connection, TENANT, policy("1h"), NOW)
        await apply(connection, policy("1h"))
        planned = await policies.plan_policy(connection, TENANT, policy("2h"), NOW)
        same = await policies.plan_policy(connection, TENANT, policy("1h"), NOW)
        with pytest.raises(PolicyErrors):
            await policies.plan_policy(connection, TENANT, policy("1d"), NOW)
        assert [1] == [line.version for line in await policies.policy_versions(connection, TENANT)]

    assert (0, 1) == (against_builtin.current, against_builtin.next)
    assert 'targets: "all" added' in against_builtin.changes
    assert Plan(current=1, next=2, changes=('targets: "all" first_response 1h -> 2h',)) == planned
    assert Plan(current=1, next=1, changes=()) == same


async def test_versions_applied_at_the_same_time_get_numbers_of_their_own(pool: Pool) -> None:
    """One after the other, none lost."""

    async def one(hours: int) -> int:
        async with pool.acquire() as connection:
            return await apply(connection, policy(f"{hours}h"))

    assert [1, 2, 3, 4] == sorted(await asyncio.gather(*(one(hours) for hours in range(1, 5))))


async def test_tenants_have_policies_of_their_own(pool: Pool) -> None:
    """One can't change another's."""
    async with pool.acquire() as connection:
        await apply(connection, policy("1h"))

        assert 1 == await apply(connection, policy("2h"), tenant="other")
        assert [1] == [line.version for line in await policies.policy_versions(connection, TENANT)]
