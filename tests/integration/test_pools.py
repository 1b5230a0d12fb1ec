"""Queue families: who takes whose tickets, when another pool comes in, and preferences that are insisted upon for a while."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from services.router import recording
from services.router.assignment import Assignment
from services.router.domain.queue import Groups, QueueEntry, place_in_queue
from services.router.store import pools as pools_store
from services.router.store import queue as queue_store
from services.router.store.agents import AgentStatus
from services.router.versions import policies
from services.router.views import load_views
from shared import ids
from shared.contract.events import Requester, StatusChanged, Updated
from shared.contract.tickets import Channel, Status, Urgency
from shared.policy.document import Routing
from shared.postgres.pool import Pool
from tests.integration.desk import NOW, RULES, Ears, drift, finish, hire, make, owners, people, put, reasons
from tests.integration.rolling import START, TENANT, RollingDesk, event, opened

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
USUAL = Routing()


def waiting(
    pool: str = "east",
    *,
    skill: str = "a",
    channel: Channel = Channel.EMAIL,
    due: timedelta = 2 * HOUR,
    overflow: tuple[str, float] | None = None,
    insists: Groups = (),
    urgency: Urgency = Urgency.NORMAL,
    routing: Routing = USUAL,
    ticket_id: UUID | None = None,
) -> QueueEntry:
    """A ticket to which an answer was promised just now."""
    return place_in_queue(
        ticket_id=ticket_id or ids.uuid7(NOW),
        tenant="default",
        pool=pool,
        channel=channel,
        rule=RULES[channel],
        needs=((skill, 1),),
        prefers=(),
        urgency=urgency,
        queued_at=NOW,
        due_at=NOW + due,
        promised=due,
        now=NOW,
        insists=insists,
        overflow=overflow,
        routing=routing,
    )


@pytest.fixture
def ears() -> Ears:
    """What was said."""
    return Ears()


@pytest.fixture
async def assignment(pool: Pool, ears: Ears, clock_control) -> Assignment:  # type: ignore[no-untyped-def]
    """On a Monday at noon."""
    await clock_control.freeze(NOW)
    return make(pool, ears)


async def employ(pool: Pool, key: str, pools: Sequence[str] = (), skills: str = "a", **more: object) -> None:
    """Somebody who takes tickets of these pools."""
    await hire(pool, key, skills, **more)  # type: ignore[arg-type]
    await pool.execute("UPDATE agent SET pools = $2 WHERE key = $1", key, list(pools))


async def test_tickets_of_a_pool_go_to_its_people_only(assignment: Assignment, pool: Pool) -> None:
    """Who is in no pool takes tickets of all of them."""
    await employ(pool, "ana", ["west"])
    await employ(pool, "ben", ["west", "east"], capacity=6)
    first, second = waiting(due=HOUR), waiting()
    await put(pool, first, second)

    assert 1 == await assignment.sweep()
    assert {first.ticket_id: "ben"} == await owners(pool)
    assert {second.ticket_id: "full"} == await reasons(pool)

    await employ(pool, "eva")
    assert 1 == await assignment.sweep()
    assert {first.ticket_id: "ben", second.ticket_id: "eva"} == await owners(pool)


async def test_nobody_in_the_pool_has_the_skill_whoever_has_it_elsewhere(assignment: Assignment, pool: Pool) -> None:
    """Reasons are those of the ticket's own pool."""
    await employ(pool, "ana", ["west"], "z")
    await employ(pool, "ben", ["east"])
    await employ(pool, "eva", ["east"], "c", status="offline")
    lost, off = waiting(skill="z"), waiting(skill="c")
    await put(pool, lost, off)

    await assignment.sweep()

    assert {lost.ticket_id: "no_skill", off.ticket_id: "offline"} == await reasons(pool)


async def test_a_run_touches_nobody_of_another_pool(assignment: Assignment, pool: Pool) -> None:
    """Another team's people are changed by somebody just now: the run doesn't wait for that."""
    await employ(pool, "ana", ["west"])
    await employ(pool, "ben", ["east"])
    ticket = waiting()
    await put(pool, ticket)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM agent WHERE key = 'ana' FOR UPDATE")
        async with asyncio.timeout(4):
            await assignment.run("default", "east")
    assert {ticket.ticket_id: "ben"} == await owners(pool)


async def test_a_run_waits_for_no_other_pool(assignment: Assignment, pool: Pool) -> None:
    """One that goes on elsewhere all the while does not hold it up."""
    await employ(pool, "ben", ["east"])
    ticket = waiting()
    await put(pool, ticket, waiting("west"))
    async with pool.acquire() as connection, connection.transaction():
        opened = await pools_store.open_run(connection, "default", "west", pools_store.Terms())
        assert opened.is_mine
        assert not (await assignment.run("default", "east")).is_busy
    assert {ticket.ticket_id: "ben"} == await owners(pool)


async def test_who_comes_wakes_their_own_pools_only(assignment: Assignment, pool: Pool) -> None:
    """A run of another pool would have left a mark, as that one is held."""
    await employ(pool, "ben", ["east"], status="offline")
    await employ(pool, "ana", ["west"], status="offline")
    east, west = waiting(), waiting("west")
    await put(pool, east, west)
    async with pool.acquire() as connection, connection.transaction():
        await pools_store.open_run(connection, "default", "west", pools_store.Terms())
        await people(pool, assignment).set_status("default", "ben", AgentStatus.ONLINE)
        assert 0 == await pools_store.load_dirty(connection, "default", "west")
    assert {east.ticket_id: "ben"} == await owners(pool)
    assert ["west"] == await pool_names(pool, "ana")


async def pool_names(pool: Pool, *agents: str) -> list[str]:
    """Where somebody waits for these agents."""
    async with pool.acquire() as connection:
        return await pools_store.list_pools_of_agents(connection, "default", agents)


async def test_pools_of_agents_are_those_where_somebody_waits_for_them(assignment: Assignment, pool: Pool) -> None:
    """Their own, all of them where they have none, and those into which others overflow."""
    await employ(pool, "ana", ["west", "north"])
    await employ(pool, "eva")
    await put(pool, waiting(overflow=("north", 0.0)), waiting("south"))
    assert [] == await pool_names(pool, "ana")
    assert ["east", "south"] == await pool_names(pool, "ana", "eva")

    await pool.execute("UPDATE queued SET guest_of = overflow_pool")
    assert ["north"] == await pool_names(pool, "ana")
    assert [] == await pool_names(pool, "nobody")


async def test_another_pool_comes_in_when_its_time_has_come(
    assignment: Assignment, pool: Pool, ears: Ears, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """Half of the promise later, not before; the event says so, the record where it was taken."""
    await employ(pool, "ana", ["west"])
    await employ(pool, "ben", ["east"], status="offline")
    ticket = waiting(overflow=("west", 0.5))
    await put(pool, ticket)
    await clock_control.freeze(NOW + HOUR - MINUTE)
    assert 0 == await assignment.sweep()
    assert {ticket.ticket_id: "offline"} == await reasons(pool)

    await clock_control.freeze(NOW + HOUR)
    assert 1 == await assignment.sweep()

    assert {ticket.ticket_id: "ana"} == await owners(pool)
    assert "west" == await pool.fetchval("SELECT pool FROM assignment")
    [data] = [event["data"] for event in ears.heard if event["type"] == "sla.ticket.assigned"]
    assert isinstance(data, dict)
    assert (["free", "overflow"], "west") == (data["reasons"], data["pool"])


async def test_its_own_people_may_take_what_overflows(assignment: Assignment, pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """It finds more people, not others; and that is no overflow."""
    await employ(pool, "ana", ["west"], status="offline")
    await employ(pool, "ben", ["east"], status="offline")
    ticket = waiting(overflow=("west", 0.5))
    await put(pool, ticket)
    await clock_control.freeze(NOW + HOUR)
    await assignment.sweep()
    assert ["west"] == [name for _, name in await waiting_pools(pool) if name != "east"]

    await people(pool, assignment).set_status("default", "ben", AgentStatus.ONLINE)

    assert {ticket.ticket_id: "ben"} == await owners(pool)
    assert "east" == await pool.fetchval("SELECT pool FROM assignment")
    assert [] == await waiting_pools(pool)


async def waiting_pools(pool: Pool) -> list[tuple[str, str]]:
    """What the sweep looks at."""
    async with pool.acquire() as connection:
        return sorted(await pools_store.list_waiting_pools(connection))


async def test_guests_and_a_pools_own_tickets_stand_in_one_line(assignment: Assignment, pool: Pool) -> None:
    """By the same key, of one kind and of many."""
    await employ(pool, "ana", ["west"], "abc", capacity=6)
    await employ(pool, "ben", ["east"], "abc", status="offline")
    tickets = [
        waiting(
            "east" if number % 2 else "west",
            skill="abc"[number // 2 % 3],
            due=HOUR + number * MINUTE,
            overflow=("west", 0.0) if number % 2 else None,
        )
        for number in range(12)
    ]
    await put(pool, *reversed(tickets))
    for ticket in tickets:
        await assignment.sweep()
        assert [ticket.ticket_id] == list(await owners(pool))
        await finish(pool, ticket.ticket_id)


async def test_many_guests_of_one_kind_keep_the_exact_order(assignment: Assignment, pool: Pool) -> None:
    """More than one transaction reads, in both lines."""
    await employ(pool, "ana", ["west"], capacity=6 * 60)
    tickets = [
        waiting(
            "east" if number % 3 else "west", due=HOUR + number * MINUTE, overflow=("west", 0.0) if number % 3 else None
        )
        for number in range(200)
    ]
    await put(pool, *tickets)

    await assignment.sweep()

    assert {ticket.ticket_id for ticket in tickets[:60]} == set(await owners(pool))


async def test_a_host_says_nothing_of_why_its_guests_wait(assignment: Assignment, pool: Pool) -> None:
    """Their own people are off; that those of the other pool are busy is not the reason."""
    await employ(pool, "ana", ["west"], capacity=0)
    await employ(pool, "ben", ["east"], status="offline")
    ticket = waiting(overflow=("west", 0.0))
    await put(pool, ticket)

    for _ in range(12):
        await assignment.sweep()

    assert {ticket.ticket_id: "offline"} == await reasons(pool)


async def test_nobody_in_its_pool_has_the_skill_so_the_other_comes_in_at_once(
    assignment: Assignment, pool: Pool, ears: Ears
) -> None:
    """It is not lost: somebody there has it, and is only off."""
    await employ(pool, "ana", ["west"], "z", status="offline")
    await employ(pool, "ben", ["east"])
    ticket, lost = waiting(skill="z", overflow=("west", 0.5)), waiting(skill="y", overflow=("west", 0.5))
    await put(pool, ticket, lost)

    await assignment.run("default", "east", refresh=True)

    assert {ticket.ticket_id: "offline", lost.ticket_id: "no_skill"} == await reasons(pool)
    assert [str(lost.ticket_id)] == [e["subject"] for e in ears.heard if e["type"] == "sla.ticket.unroutable"]
    await people(pool, assignment).set_status("default", "ana", AgentStatus.ONLINE)
    assert {ticket.ticket_id: "ana"} == await owners(pool)


async def test_what_is_queued_anew_overflows_by_its_new_time(assignment: Assignment, pool: Pool) -> None:
    """A promise that was moved later closes the other pool again; one that was not keeps it open."""
    open_now = waiting(overflow=("west", 0.0))
    await put(pool, open_now)
    await assignment.sweep()
    assert "west" == await pool.fetchval("SELECT guest_of FROM queued")
    async with pool.acquire() as connection:
        await queue_store.enqueue(connection, [open_now])
        assert "west" == await pool.fetchval("SELECT guest_of FROM queued")
        await queue_store.enqueue(connection, [waiting(overflow=("west", 0.5), ticket_id=open_now.ticket_id)])
        assert await pool.fetchval("SELECT guest_of FROM queued") is None
        await queue_store.enqueue(connection, [waiting("west", ticket_id=open_now.ticket_id)])
    assert ("west", None) == tuple(await pool.fetchrow("SELECT pool, overflow_pool FROM queued") or ())


async def test_a_preference_is_insisted_upon_until_its_time(assignment: Assignment, pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """The last group goes first; what was needed always is."""
    await employ(pool, "eva", ["east"], "vw")
    await employ(pool, "ana", ["east"], "a")
    await employ(pool, "ben", ["east"], "av")
    await employ(pool, "cy", ["east"], "avw", status="offline")
    ticket = waiting(insists=(("v",), ("w",)), routing=Routing(relax=(0.25, 0.75)))
    await put(pool, ticket)
    assert 0 == await assignment.sweep()
    assert {ticket.ticket_id: "offline"} == await reasons(pool)

    await clock_control.freeze(NOW + HOUR / 2 - MINUTE)
    assert 0 == await assignment.sweep()
    await clock_control.freeze(NOW + HOUR / 2)
    assert 1 == await assignment.sweep()

    assert {ticket.ticket_id: "ben"} == await owners(pool)
    assert [("offline", 2)] == [
        (row["reason"], row["n"])
        for row in await pool.fetch("SELECT reason, jsonb_array_length(needs) - 1 AS n FROM wait")
    ]


async def test_all_groups_are_given_up_in_the_end(assignment: Assignment, pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """More groups than instants: the rest goes with the last."""
    await employ(pool, "ana", ["east"])
    await employ(pool, "cy", ["east"], "avwx", status="offline")
    ticket = waiting(insists=(("v",), ("w",), ("x",)), routing=Routing(relax=(0.25, 0.5)))
    await put(pool, ticket)
    await clock_control.freeze(NOW + HOUR - MINUTE)
    assert 0 == await assignment.sweep()
    assert [["v"], ["w"]] == msgspec.json.decode(await pool.fetchval("SELECT insists FROM queued"))

    await clock_control.freeze(NOW + HOUR)
    assert 1 == await assignment.sweep()
    assert {ticket.ticket_id: "ana"} == await owners(pool)


async def test_nobody_has_what_is_insisted_upon_so_it_is_given_up_at_once(
    assignment: Assignment, pool: Pool, ears: Ears
) -> None:
    """A preference makes no ticket unroutable, deep in the queue neither."""
    await employ(pool, "ana", ["east"], capacity=6)
    tickets = [waiting(insists=(("v",), ("w",)), due=HOUR + n * MINUTE) for n in range(40)]
    await put(pool, *tickets)

    assert 1 == (await assignment.run("default", "east", refresh=True)).assigned
    await assignment.run("default", "east", refresh=True)

    assert {tickets[0].ticket_id: "ana"} == await owners(pool)
    assert {"full"} == set((await reasons(pool)).values())
    assert [] == [event for event in ears.heard if event["type"] == "sla.ticket.unroutable"]


async def test_a_place_in_the_queue_is_counted_within_its_pool(assignment: Assignment, pool: Pool) -> None:
    """Others of the same kind wait elsewhere."""
    await employ(pool, "ana", ["east", "west"], status="offline")
    mine = [waiting(due=HOUR + n * MINUTE) for n in range(3)]
    await put(pool, *mine, *(waiting("west", due=HOUR / 2, overflow=("east", 0.0)) for _ in range(5)))
    await assignment.sweep()
    async with pool.acquire() as connection:
        views = await load_views(connection, [ticket.ticket_id for ticket in mine])
    places = [views[ticket.ticket_id][1].queue for ticket in mine]
    assert [1, 2, 3] == [place.position for place in places if place is not None]


async def test_strict_priority_orders_what_can_be_saved_by_urgency(
    assignment: Assignment, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """Also after it was queued again; within an urgency by due time."""
    strict = Routing(strict_priority=True)
    await employ(pool, "ana", ["east"], capacity=6)
    normal = waiting(due=HOUR, routing=strict)
    urgent = waiting(due=3 * HOUR, routing=strict, urgency=Urgency.URGENT)
    sooner = waiting(due=2 * HOUR, routing=strict, urgency=Urgency.URGENT)
    await put(pool, normal, urgent, sooner)
    async with pool.acquire() as connection:
        await queue_store.enqueue(connection, [normal, urgent, sooner])
    for ticket in (sooner, urgent, normal):
        await assignment.sweep()
        assert [ticket.ticket_id] == list(await owners(pool))
        await finish(pool, ticket.ticket_id)


POLICY = """
targets: [{name: all, calendar: always, first_response: 2h}]
pools:
  - {name: fires, when: {urgency: urgent}}
  - {name: east, when: {attributes.town: Oldtown}, overflow: {to: fires, after: 25%}}
skills: [{prefer: [vip], insist: true, when: {requester.tier: gold}}]
routing: {relax: [50%]}
"""


async def test_a_ticket_that_comes_under_another_rule_waits_in_its_pool(pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """With all that the policy says of that pool; what it waited for before is forgotten."""
    desk = RollingDesk(pool)
    await desk.at(timedelta())
    await desk.apply(POLICY)
    await employ(pool, "ana", ["east"], channels=[Channel.PHONE], tenant=TENANT)
    facts = {"attributes": {"town": "Oldtown"}, "requester": Requester(key="c", tier="gold")}
    await desk.record([opened("1", START, **facts)])
    assert ("east", "fires", START + HOUR / 2, 1) == await place(pool)
    await make(pool, shelf=desk.shelf).run(TENANT, "east")
    assert ["no_skill"] == list((await reasons(pool)).values())

    now = await desk.at(MINUTE)
    await desk.record([event("1", 1, now, Updated(urgency=Urgency.URGENT))])

    assert ("fires", None, None, 1) == await place(pool)
    assert ["new"] == list((await reasons(pool)).values())
    assert ["ticket.routed"] * 2 == [
        name for row in await pool.fetch("SELECT subjects FROM outbox ORDER BY written_at") for name in map(kind, row["subjects"]) if name == "ticket.routed"
    ]  # fmt: skip


def kind(subject: str) -> str:
    """`ticket.routed` of `sla.acme.ticket.routed`."""
    return subject.split(".", 2)[2]


async def place(pool: Pool) -> tuple[object, ...]:
    """Pool, where it overflows and when, and how many groups the only ticket insists on."""
    row = await pool.fetchrow("SELECT pool, overflow_pool, overflow_at, jsonb_array_length(insists) FROM queued")
    return tuple(row or ())


async def test_who_applies_a_policy_hears_of_pools_without_people(pool: Pool) -> None:
    """And who applies a roster of people without pools; neither is refused."""
    async with pool.acquire() as connection:
        await policies.apply_roster(connection, TENANT, "people: {ana: {channels: email, pools: [west]}}", "lead", NOW)
        found = await policies.put_in_force(connection, TENANT, POLICY, "lead", NOW)
        assert [(4, "/pools/0/name"), (5, "/pools/1/name"), (3, "/pools"), (3, "/pools")] == [
            (warning.line, warning.pointer) for warning in found.warnings
        ]
        assert [] == await policies.roster_warnings(connection, TENANT, "people: {ana: {channels: email}}")
        [doubt] = await policies.roster_warnings(
            connection, TENANT, "people: {ana: {channels: email}, ben: {channels: email, pools: [fire]}}"
        )
        assert "did you mean `fires`?" == doubt.remedy


async def test_who_gets_room_wakes_all_their_pools(pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """Not only the one whose ticket it was; others are left alone."""
    desk = RollingDesk(pool)
    await desk.at(timedelta())
    await desk.apply(POLICY)
    await employ(pool, "ana", ["default", "fires"], tenant=TENANT)
    await desk.record([opened("1", START)])
    await make(pool, shelf=desk.shelf).run(TENANT, "default")
    await desk.record([opened("2", START, urgency=Urgency.URGENT), opened("3", START, attributes={"town": "Oldtown"})])
    now = await desk.at(MINUTE)
    async with pool.acquire() as connection, connection.transaction():
        done = event("1", 1, now, StatusChanged(status=Status.SOLVED))
        recorded = await recording.record(connection, desk.shelf, [done])
    assert {(TENANT, "default"), (TENANT, "fires")} == recorded.saved.pools


async def test_a_new_policy_moves_open_tickets_to_its_pools(pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """With their order: what the version says of the queue holds for them, too."""
    desk = RollingDesk(pool)
    await desk.at(timedelta())
    await desk.apply(POLICY.split("pools:", maxsplit=1)[0])
    await desk.record([opened("1", START, attributes={"town": "Oldtown"}), opened("2", START, urgency=Urgency.URGENT)])
    assert ["default", "default"] == [row["pool"] for row in await pool.fetch("SELECT pool FROM queued")]
    await desk.at(MINUTE)

    await desk.apply_to_open(POLICY.replace("routing: {", "routing: {strict_priority: true, "))

    rows = await pool.fetch(
        "SELECT q.pool, q.order_rank FROM queued q JOIN ticket t ON t.id = q.ticket_id ORDER BY external_id"
    )
    assert [("east", 2), ("fires", 0)] == [tuple(row) for row in rows]


async def test_a_deadlock_reaches_no_caller(assignment: Assignment, pool: Pool) -> None:
    """Somebody locks agents in the wrong order: the run begins again, and all that was to be given is."""
    await employ(pool, "ana", capacity=6)
    await employ(pool, "ben", capacity=6)
    await put(pool, waiting(), waiting())
    async with pool.acquire() as other:
        async with other.transaction():
            await other.execute("SET LOCAL deadlock_timeout = '30s'")  # so that the run is the one to be ended
            await other.execute("SELECT FROM agent WHERE key = 'ben' FOR UPDATE")
            run = asyncio.create_task(assignment.run("default", "east"))
            while not await pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                await asyncio.wait([run], timeout=0.01)
            await other.execute("SELECT FROM agent WHERE key = 'ana' FOR UPDATE")
        assert 2 == (await run).assigned
    assert 1 == assignment._metrics.retries._value.get()
    assert 0 == await drift(pool)
