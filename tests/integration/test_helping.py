"""What a router does about tickets that nobody can take, on a real database (routing-rules 3.6)."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.router import helping
from services.router.intake import Intake
from services.router.metrics.tickets import RouterMetrics
from services.router.store import queue as queue_store
from services.router.versions import policies
from shared.contract.events import Data, Opened, TicketEvent, Updated
from shared.contract.tickets import Urgency
from shared.ledger import help as help_rows
from shared.ledger.help import ASSIGNED, CANCELLED, Ending
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Policy, Routing
from shared.policy.errors import PolicyErrors
from shared.policy.parse import parse_policy
from shared.postgres.pool import Pool
from tests.integration.desk import NOW, Ears, drift, finish, give, hire, load, make, owners, put, reasons, waiting

HOUR = timedelta(hours=1)


class Named(PolicyShelf):
    """The built-in policy with a fallback."""

    def __init__(self, person: str) -> None:
        super().__init__()
        policy = parse_policy("targets: []", version=1)
        self._policy = msgspec.structs.replace(policy, routing=Routing(fallback=person))

    async def current(self, _connection: object, _tenant: str) -> Policy:
        """It is in force everywhere."""
        return self._policy

    async def version(self, _connection: object, _tenant: str, _number: int) -> Policy:
        """Whatever the number."""
        return self._policy


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
async def still(pool: Pool, clock_control: Any) -> Pool:
    """The database at NOW."""
    await clock_control.freeze(NOW)
    return pool


async def requests(pool: Pool) -> list[dict[str, Any]]:
    """Help that is asked for."""
    rows = await pool.fetch(
        "SELECT ticket_id, reason, due_at, about FROM escalation_request ORDER BY due_at, ticket_id"
    )
    return [{**dict(row), "about": msgspec.json.decode(row["about"])} for row in rows]


async def opens(pool: Pool, ticket_id: Any) -> None:
    """Escalation takes the request of a ticket."""
    await pool.execute("DELETE FROM escalation_request WHERE ticket_id = $1", ticket_id)
    await pool.execute(
        """
        INSERT INTO escalation (id, tenant, ticket_id, target, cycle, policy_version, ladder, reason, state, opened_at,
                                anchor_at, next_step_at, about)
        VALUES (gen_random_uuid(), 'default', $1, 'routing', 1, 0, 'x', 'unroutable', 'open', $2, $2, $2, '{}')
        """,
        ticket_id,
        NOW,
    )


async def test_nobody_is_called_for_a_helpdesk_whose_roster_works_no_tickets(still: Pool) -> None:
    """It gives them to its people itself; a roster with somebody who can't take them is another thing."""
    first, second = waiting(skill="z"), waiting(skill="z")
    await put(still, first)
    await make(still).run("default", "default")
    assert ({first.ticket_id: "no_skill"}, []) == (await reasons(still), await requests(still))

    async with still.acquire() as connection:
        await policies.apply_roster(connection, "default", "people: {ana: {skills: [a], channels: email}}", "test", NOW)
    await put(still, second)
    await make(still).run("default", "default")
    assert {first.ticket_id, second.ticket_id} == {request["ticket_id"] for request in await requests(still)}


async def test_each_reason_asks_for_help_when_the_rule_says(still: Pool) -> None:
    """At once without the skill, at half of the slack where nobody is there, never for who is only busy."""
    await hire(still, "ana", "a", capacity=0)
    await hire(still, "ben", "b", status="offline")
    busy, lost, night = waiting(skill="a"), waiting(skill="z"), waiting(skill="b", due=timedelta(hours=4))
    await put(still, busy, lost, night)
    await make(still).run("default", "default")
    assert {busy.ticket_id: "full", lost.ticket_id: "no_skill", night.ticket_id: "offline"} == await reasons(still)
    first, second = await requests(still)
    assert (lost.ticket_id, "unroutable", NOW) == (first["ticket_id"], first["reason"], first["due_at"])
    assert {"why": "no_skill", "channel": "email", "needs": [["z", 1]]} == first["about"]
    assert (night.ticket_id, NOW + (night.latest_start_at - NOW) / 2) == (second["ticket_id"], second["due_at"])
    assert {"why": "offline", "channel": "email", "needs": [["b", 1]]} == second["about"]


async def test_nobody_is_woken_for_a_ticket_of_the_night_before_its_calendar_opens(
    still: Pool, clock_control: Any
) -> None:
    """Half of the open time that is left, also when its urgency and so its promise changes in the night."""
    night, opens_at = NOW.replace(hour=22), NOW.replace(hour=9) + timedelta(days=1)
    await clock_control.freeze(night)
    await hire(still, "ana", status="offline")
    policy = """
        calendars: {office: {hours: {mon-fri: "09:00-17:00"}}}
        targets:
          - {name: fast, calendar: office, when: {urgency: urgent}, first_response: 2h}
          - {name: all, calendar: office, first_response: 4h}
    """
    async with still.acquire() as connection:
        await policies.apply_policy(connection, "default", policy, "test", night)
    ears: Any = Ears()
    intake = Intake(still, PolicyShelf(), make(still), ears, RouterMetrics(CollectorRegistry()))
    told: tuple[Data, ...] = (Opened(channel="email"), Updated(urgency=Urgency.URGENT))
    for n, data in enumerate(told):
        event = TicketEvent(tenant="default", id=f"{n}", source="desk", ticket="1", occurred_at=night, data=data)
        await intake.process([event])
        effort = await still.fetchval("SELECT due_at - latest_start_at FROM queued")
        [request] = await requests(still)
        assert opens_at + (HOUR * (4 - 2 * n) - effort) / 2 == request["due_at"]


async def test_tickets_deep_in_the_queue_are_asked_for_too(still: Pool) -> None:
    """Eighty wait; the night takes everybody away."""
    await hire(still, "ana", capacity=6)
    await put(still, *[waiting() for _ in range(80)])
    assignment = make(still)
    await assignment.run("default", "default")
    assert [] == await requests(still)
    await still.execute("UPDATE agent SET status = 'offline'")
    for _ in range(10):
        await assignment.sweep()
    assert 79 == len(await requests(still))


async def test_who_comes_but_is_busy_ends_the_wait_for_somebody(still: Pool) -> None:
    """What was to be asked for later is withdrawn; what is due stands."""
    await hire(still, "ben", "b", status="offline")
    later, due = waiting(skill="b", due=4 * HOUR), waiting(skill="b", due=-HOUR)
    await put(still, later, due)
    assignment = make(still)
    await assignment.run("default", "default")
    assert {later.ticket_id, due.ticket_id} == {one["ticket_id"] for one in await requests(still)}
    await still.execute("UPDATE agent SET status = 'online', capacity = 0")
    await assignment.run("default", "default", refresh=True)
    assert {"full"} == set((await reasons(still)).values())
    assert [due.ticket_id] == [one["ticket_id"] for one in await requests(still)]


async def test_what_is_due_is_not_put_off(still: Pool) -> None:
    """Somebody is hired who is not there yet: whoever is about to be told still is."""
    await hire(still, "ana", "a")
    lost = waiting(skill="z", due=4 * HOUR)
    await put(still, lost)
    assignment = make(still)
    await assignment.run("default", "default")
    await hire(still, "zoe", "z", status="offline")
    await assignment.run("default", "default", refresh=True)
    assert {lost.ticket_id: "offline"} == await reasons(still)
    assert [(NOW, "no_skill")] == [(one["due_at"], one["about"]["why"]) for one in await requests(still)]


async def test_an_owner_ends_what_is_asked_for_in_the_same_transaction(still: Pool, ears: Ears) -> None:
    """Requests go, escalations are resolved, and it is said once."""
    await hire(still, "ben", "b", status="offline", capacity=100)
    entries = [waiting(skill="b") for _ in range(3)]
    await put(still, *entries)
    assignment = make(still, ears)
    await assignment.run("default", "default")
    await opens(still, entries[0].ticket_id)
    await still.execute("UPDATE agent SET status = 'online'")
    await assignment.run("default", "default", refresh=True)
    assert 3 == len(await owners(still))
    assert [] == await requests(still)
    assert ("resolved", "assigned") == tuple(await still.fetchrow("SELECT state, resolution FROM escalation") or ())
    assert 1 == [event["type"] for event in ears.heard].count("sla.escalation.resolved")


async def test_a_ticket_that_comes_back_into_the_queue_is_still_known_to_be_asked_for(still: Pool) -> None:
    """What a fallback gives back, and somebody else takes, ends the escalation all the same."""
    lost = waiting(skill="z")
    await hire(still, "ana", "a")
    await put(still, lost)
    assignment = make(still, shelf=Named("ana"))
    await assignment.run("default", "default")
    assert {lost.ticket_id: "ana"} == await owners(still)
    await opens(still, lost.ticket_id)
    await gives_back(still, lost)
    await hire(still, "zoe", "z")
    await assignment.run("default", "default", refresh=True)
    assert {lost.ticket_id: "zoe"} == await owners(still)
    assert "resolved" == await still.fetchval("SELECT state FROM escalation")


async def gives_back(pool: Pool, entry: Any) -> None:
    """Whoever has it gives it back."""
    async with pool.acquire() as connection, connection.transaction():
        [gone] = await queue_store.release(connection, "default", [entry.ticket_id], "released", NOW)
        back = msgspec.structs.replace(entry, excluded=(gone.agent,))
        await queue_store.enqueue(connection, [back])


async def test_the_fallback_gets_it_beyond_their_capacity_and_once(still: Pool) -> None:
    """Six routers at once, 450 tickets: one owner each, the load is their sum, and it is marked as too much."""
    await hire(still, "ana", "a", capacity=12, status="offline")
    await put(still, *[waiting(skill="z") for _ in range(450)])
    shelf, ears = Named("ana"), Ears()
    await asyncio.gather(*(make(still, ears, shelf).run("default", "default", refresh=True) for _ in range(6)))
    assert 450 == len(await owners(still))
    assert {"ana"} == set((await owners(still)).values())
    assert (0, 2700, 0, True) == await load(still, "ana")
    assert 0 == await drift(still)
    assert 450 == [event["type"] for event in ears.heard].count("sla.ticket.assigned")
    assert 450 == len(await requests(still))  # it is still for somebody to see to
    wait = await still.fetchrow("SELECT count(*) AS n, min(reason) AS reason FROM wait")
    assert wait is not None
    assert (450, "no_skill") == (wait["n"], wait["reason"])


async def test_what_the_fallback_has_is_handed_on_like_anything_else(still: Pool) -> None:
    """Solved, it frees the load again."""
    await hire(still, "ana", "a", status="offline")
    lost = waiting(skill="z")
    await put(still, lost)
    await make(still, shelf=Named("ana")).run("default", "default")
    await finish(still, lost.ticket_id)
    assert (0, 0, 0, False) == await load(still, "ana")


@pytest.mark.parametrize("is_known", [False, True])
async def test_a_fallback_who_is_not_on_the_roster_gets_nothing(still: Pool, is_known: bool) -> None:
    """It waits, and is asked for."""
    await hire(still, "ana", "a")
    if is_known:
        await hire(still, "gone", "a")
        await still.execute("UPDATE agent SET active = false, status = 'offline' WHERE key = 'gone'")
    lost = waiting(skill="z")
    await put(still, lost)
    await make(still, shelf=Named("gone")).run("default", "default")
    assert ({lost.ticket_id: "no_skill"}, {}) == (await reasons(still), await owners(still))
    assert 1 == len(await requests(still))


async def test_a_fallback_named_later_gets_what_waits(still: Pool) -> None:
    """Within ten sweeps, and after a crash between the two transactions too."""
    await hire(still, "ana", "a")
    lost = waiting(skill="z")
    await put(still, lost)
    await make(still).run("default", "default")
    assert {} == await owners(still)
    assignment = make(still, shelf=Named("ana"))
    for _ in range(10):
        await assignment.sweep()
    assert {lost.ticket_id: "ana"} == await owners(still)


async def test_all_who_declined_are_asked_once_more_then_it_waits(still: Pool, ears: Ears) -> None:
    """The second time nobody is asked again, and help was asked for both times."""
    await hire(still, "ana", "a")
    declined = waiting(excluded=("ana",))
    await put(still, declined)
    assignment = make(still, ears)
    await assignment.run("default", "default")
    assert {declined.ticket_id: "ana"} == await owners(still)
    assert [] == await requests(still)  # they have it again
    assert await still.fetchval("SELECT was_cleared FROM assignment")
    await still.execute("UPDATE assignment SET ended_at = $1, end_reason = 'released'", NOW)
    await still.execute("UPDATE agent SET primary_used = 0, interruptible_used = 0")
    again = waiting(excluded=("ana",))
    await put(still, again)
    await still.execute("UPDATE queued SET was_cleared = true")
    for _ in range(3):
        await assignment.run("default", "default", refresh=True)
    assert {again.ticket_id: "excluded"} == await reasons(still)
    assert [(again.ticket_id, "excluded")] == [(one["ticket_id"], one["about"]["why"]) for one in await requests(still)]


async def test_asking_once_more_reaches_whoever_is_free_and_help_stays_asked_where_nobody_is(still: Pool) -> None:
    """All declined, one of them is offline by now and the other full: it waits as `full`, and somebody is told."""
    await hire(still, "ana", "a", status="offline")
    await hire(still, "ben", "a", capacity=0)
    declined = waiting(excluded=("ana", "ben"))
    await put(still, declined)
    await make(still).run("default", "default")
    assert {declined.ticket_id: "full"} == await reasons(still)
    assert [(declined.ticket_id, NOW)] == [(one["ticket_id"], one["due_at"]) for one in await requests(still)]


async def test_a_request_that_cannot_be_written_takes_the_reason_with_it(
    still: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction: a reason without its consequence can't be."""
    await hire(still, "ana", "a")
    lost = waiting(skill="z")
    await put(still, lost)

    async def fails(*_: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(help_rows, "ask", fails)
        with pytest.raises(RuntimeError):
            await make(still).run("default", "default")
    assert ({lost.ticket_id: "new"}, []) == (await reasons(still), await requests(still))
    await make(still).run("default", "default")
    assert 1 == len(await requests(still))


async def test_ending_asks_nothing_more_of_tickets_nobody_was_asked_about(still: Pool) -> None:
    """One look."""
    await hire(still, "ana", "a")
    entries = [waiting(skill="z"), waiting(skill="z"), waiting(skill="z")]
    await put(still, *entries)
    await make(still).run("default", "default")
    asked, by_hand, named = (entry.ticket_id for entry in entries)
    async with still.acquire() as connection, connection.transaction():
        await help_rows.end_if_any(connection, [Ending(ticket_id=asked, resolution=CANCELLED)], NOW)
        await help_rows.end_if_any(connection, [Ending(ticket_id=by_hand, resolution=ASSIGNED)], NOW)
        nobodys = Ending(ticket_id=named, resolution=ASSIGNED, agent="ana")
        assert [] == await help_rows.end_if_any(connection, [nobodys], NOW)
    assert [named] == [one["ticket_id"] for one in await requests(still)]
    await give(still, [entries[2]], "ana")
    async with still.acquire() as connection, connection.transaction():
        await help_rows.end_if_any(connection, [nobodys], NOW)
    assert [] == await requests(still)


async def test_hand_over_leaves_alone_what_somebody_is_changing(still: Pool) -> None:
    """It never waits for a queue row."""
    await hire(still, "ana", "a")
    lost, held = waiting(skill="z"), waiting(skill="z")
    await put(still, lost, held)
    await make(still).run("default", "default")
    async with still.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM queued WHERE ticket_id = $1 FOR UPDATE", held.ticket_id)
        async with still.acquire() as connection, connection.transaction():
            done = await helping.hand_over(connection, "default", "default", "ana", NOW)
    assert (lost.ticket_id,) == done.tickets


ROSTER = "people: {ana: {name: Ana, channels: [email]}, ben: {name: Ben, channels: [email]}}"
POLICY = "targets: []\nrouting:\n  fallback: %s\n"


async def test_a_policy_whose_fallback_is_not_on_the_roster_is_refused(pool: Pool) -> None:
    """With the line, and the way out."""
    async with pool.acquire() as connection:
        await policies.apply_roster(connection, "default", ROSTER, "lead", NOW)
        with pytest.raises(PolicyErrors) as refused:
            await policies.apply_policy(connection, "default", POLICY % "anna", "lead", NOW)
        [error] = refused.value.errors
        assert ("/routing/fallback", 3) == (error.pointer, error.line)
        assert ("nobody on the roster has the key `anna`", "did you mean `ana`?") == (error.problem, error.remedy)
        assert 1 == await policies.apply_policy(connection, "default", POLICY % "ana", "lead", NOW)


async def test_a_roster_without_the_fallback_is_refused(pool: Pool) -> None:
    """Nobody is left to take what nobody can."""
    async with pool.acquire() as connection:
        await policies.apply_roster(connection, "default", ROSTER, "lead", NOW)
        await policies.apply_policy(connection, "default", POLICY % "ana", "lead", NOW)
        without = "people: {ben: {name: Ben, channels: [email]}}"
        with pytest.raises(
            PolicyErrors, match="`ana` is not in this file, and policy version 1 gives them what nobody"
        ):
            await policies.apply_roster(connection, "default", without, "lead", NOW)
