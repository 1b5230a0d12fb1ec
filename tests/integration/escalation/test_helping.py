"""Help that the router asks for becomes an escalation, once, and only where somebody can be told."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from services.escalation.helping import Helping
from shared import timesource
from shared.contract.help import About, Why
from shared.contract.tickets import Channel
from shared.ledger import help as help_rows
from shared.ledger.help import Cause, Ending, Request
from shared.policy.document import Ladder, Step
from tests.integration.escalation.conftest import TENANT

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
TEN = timedelta(minutes=10)
LOST = About(why=Why.NO_SKILL, channel=Channel.EMAIL, needs=(("klingon", 2), ("billing", 1)))
CALLED = About(why=Why.MANUAL, channel=Channel.EMAIL, by="ana", said="they  are\nangry")


def helping(world: Any, **options: Any) -> Helping:
    """A worker."""
    return Helping(world.pool, world.shelf, world.relay, world.metrics, **options)


async def ask(
    world: Any, ticket_id: UUID, due_at: datetime = START, cause: Cause = Cause.UNROUTABLE, about: About = LOST
) -> None:
    """The router asks for help with a ticket."""
    asked = Request(tenant=TENANT, ticket_id=ticket_id, cause=cause, due_at=due_at, about=about)
    async with world.pool.acquire() as connection:
        await help_rows.ask(connection, [asked], START)


async def end(world: Any, ticket_id: UUID, resolution: str, now: datetime = START) -> list[Any]:
    """The router says that it is over."""
    async with world.pool.acquire() as connection, connection.transaction():
        endings = [Ending(ticket_id=ticket_id, resolution=resolution)]
        return await help_rows.end_if_any(connection, endings, now)


def counted(world: Any, reason: str, outcome: str) -> float | None:
    found: float | None = world.registry.get_sample_value(
        "sla_help_requests_total", {"reason": reason, "outcome": outcome}
    )
    return found


async def drain(world: Any) -> None:
    """Take requests, and what follows."""
    while await helping(world).run_once():
        pass
    await world.drain()


async def test_a_due_request_becomes_an_escalation_that_says_what_is_missing(world) -> None:
    """Its page names the skills and its text nothing that was promised."""
    await world.people("ana", "ben", "head")
    lost = await world.ticket(escalate="wake the lead")
    await ask(world, lost)
    await drain(world)
    [made] = await world.escalations()
    assert ("routing", 1, "unroutable", "wake the lead", "open") == tuple(
        made[name] for name in ("target", "cycle", "reason", "ladder", "state")
    )
    [page] = world.provider.sent
    assert ("ana", "page") == (page.person, page.kind)
    assert page.text.startswith(
        "NOBODY CAN TAKE IT: ticket 881 (zendesk, email, high, gold customer): "
        "nobody on the roster takes email with klingon (level 2), billing\n"
    )
    assert "unless somebody acknowledges or takes it" in page.text
    assert "Owner: nobody" in page.text
    assert [] == await world.pool.fetch("SELECT FROM escalation_request")
    [opened] = world.relay.data("escalation.opened")
    assert {"why": "no_skill", "channel": "email", "needs": [["klingon", 2], ["billing", 1]]} == opened["about"]
    assert (1, 0) == (counted(world, "unroutable", "opened"), counted(world, "unroutable", "unheard"))
    labels = {"channel": "email", "step": "1", "reason": "unroutable"}
    assert 1 == world.registry.get_sample_value("sla_escalations_total", labels)


async def test_what_is_asked_for_later_waits_for_its_time(world, clock_control) -> None:
    """And its ladder counts from then, however late it is taken."""
    await world.people("ana", "ben", "head")
    await ask(world, await world.ticket(), START + TEN)
    assert (START + TEN, 0) == ((await helping(world).pulse()).due_at, await helping(world).run_once())
    await clock_control.freeze(START + 2 * TEN)
    await drain(world)
    [made] = await world.escalations()
    assert START + TEN == made["anchor_at"]
    assert [("ben", 1)] == [
        (page["person"], page["step"]) for page in await world.pages()
    ]  # the present step only (R4)


async def test_two_workers_make_one_escalation_of_each_request(world) -> None:
    """300 requests, four at once in small batches."""
    ids = [await world.ticket(str(number)) for number in range(300)]
    for ticket_id in ids:
        await ask(world, ticket_id)

    async def work() -> int:
        worker, done = helping(world, batch=7), 0
        while taken := await worker.run_once():
            done += taken
        return done

    done = await asyncio.gather(*(work() for _ in range(4)))
    assert 300 == sum(done)
    assert sorted(ids) == sorted(one["ticket_id"] for one in await world.escalations())
    assert 300 == len(world.relay.data("escalation.opened"))


async def test_a_worker_that_dies_before_its_commit_leaves_the_request(world, monkeypatch) -> None:
    """The row and the escalation are one transaction."""
    await ask(world, await world.ticket())
    dying = helping(world)

    async def dies(*_: Any) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(dying, "_answer", dies)
    for _ in range(2):
        try:
            await dying.run_once()
        except RuntimeError:
            continue
    assert [] == await world.escalations()
    assert 1 == await helping(world).run_once()
    assert 1 == len(await world.escalations())


async def test_without_a_ladder_it_is_said_that_nobody_could_be_told(world) -> None:
    """Once, and nothing is opened: the console is not a lead."""
    world.shelf.policy = replace(world.shelf.policy, escalations={})
    await ask(world, await world.ticket())
    await drain(world)
    assert [] == await world.escalations()
    [said] = world.relay.data("escalation.unheard")
    assert ("881", "routing", "unroutable", "no_skill") == (
        said["ticket"], said["target"], said["reason"], said["about"]["why"],
    )  # fmt: skip
    assert 1 == counted(world, "unroutable", "unheard")
    assert 0 == await helping(world).run_once()


async def test_an_unreadable_policy_still_reaches_somebody(world) -> None:
    """One tenant's trouble holds nobody else, and the console is paged."""

    class Broken:
        async def version(self, *_: object) -> None:
            raise LookupError("no such version")

        current = version

    await ask(world, await world.ticket())
    shelf, world.shelf = world.shelf, Broken()
    assert 1 == await helping(world).run_once()
    world.shelf = shelf
    await world.drain()
    assert [("channel/console", None)] == [(page["recipient"], page["person"]) for page in await world.pages()]


async def test_a_ticket_that_somebody_is_told_of_is_left_alone(world) -> None:
    """Whatever its reason is by now, a second request wakes nobody."""
    await world.people("ana", "ben", "head")
    lost = await world.ticket()
    await ask(world, lost)
    await drain(world)
    await ask(world, lost, about=replace(LOST, why=Why.OFFLINE))
    await drain(world)
    assert (1, 1) == (len(await world.escalations()), len(world.provider.sent))
    assert 1 == counted(world, "unroutable", "live")
    assert [] == await world.pool.fetch("SELECT FROM escalation_request")


async def test_a_person_who_asks_while_people_are_told_wakes_nobody_twice(world) -> None:
    """Also where two asked in the same instant."""
    await world.people("ana", "ben", "head")
    lost = await world.ticket()
    await ask(world, lost)
    await drain(world)
    await ask(world, lost, cause=Cause.MANUAL, about=CALLED)
    await drain(world)
    [one] = await world.escalations()
    assert (1, "open", 1) == (one["generation"], one["state"], one["step"])
    assert (1, 1) == (len(world.provider.sent), counted(world, "manual", "live"))


async def test_both_requests_of_one_ticket_are_one_call(world) -> None:
    """The person's words stand in it."""
    await world.people("ana", "ben", "head")
    lost = await world.ticket()
    await ask(world, lost)
    await ask(world, lost, cause=Cause.MANUAL, about=CALLED)
    await drain(world)
    [page] = world.provider.sent
    assert "HELP IS WANTED" in page.text
    assert "ana asks for help: they are angry" in page.text
    assert (1, 1) == (counted(world, "manual", "opened"), counted(world, "unroutable", "live"))


async def test_once_it_is_over_whoever_was_paged_hears_so_and_the_next_one_is_a_cycle_later(world) -> None:
    """The live index holds; both are kept."""
    await world.people("ana", "ben", "head")
    lost = await world.ticket()
    for _ in range(2):
        await ask(world, lost)
        await drain(world)
        [ended] = await end(world, lost, "assigned")
        assert ("routing", "assigned") == (ended.target, ended.resolution)
        await drain(world)
    assert [1, 2] == sorted(one["cycle"] for one in await world.escalations())
    assert ["page", "resolve"] * 2 == [page.kind.value for page in world.provider.sent]
    resolve = world.provider.sent[1]
    assert "ASSIGNED: ticket 881 (zendesk, email, high, gold customer): somebody has it now" in resolve.text


async def test_what_a_person_asked_for_outlives_an_owner_but_not_the_ticket(world) -> None:
    """Before it is taken, and after."""
    await world.people("ana", "ben", "head")
    called = await world.ticket()
    await ask(world, called, cause=Cause.MANUAL, about=CALLED)
    assert [] == await end(world, called, "assigned")
    await drain(world)
    assert [] == await end(world, called, "assigned")
    assert ["open"] == [one["state"] for one in await world.escalations()]
    [ended] = await end(world, called, "cancelled")
    assert "cancelled" == ended.resolution
    await ask(world, called, cause=Cause.MANUAL, about=CALLED)
    await end(world, called, "cancelled")
    assert [] == await world.pool.fetch("SELECT FROM escalation_request")


async def test_asking_again_after_an_acknowledgement_goes_on_at_the_next_step(world, clock_control) -> None:
    """A generation of its own, at once, and the steps after it keep their distance (R8)."""
    ladder = Ladder(
        name="wake the lead",
        steps=tuple(
            Step(after=after, page=(f"person/{name}",))
            for after, name in ((timedelta(), "ana"), (TEN, "ben"), (TEN, "head"))
        ),
        otherwise=("person/ana",),
    )
    world.use(ladder)
    await world.people("ana", "ben", "head")
    called = await world.ticket(due_in=timedelta(days=9))
    await ask(world, called, cause=Cause.MANUAL, about=CALLED)
    await drain(world)
    [made] = await world.escalations()
    await world.answering.by_key(TENANT, made["id"], "ana")
    later = START + timedelta(hours=3)
    await clock_control.freeze(later)
    await ask(world, called, later, Cause.MANUAL, CALLED)
    await drain(world)
    assert ["ana", "ben"] == [page.person for page in world.provider.sent]
    [again] = await world.escalations()
    assert (2, "open", later + TEN) == (again["generation"], again["state"], again["next_step_at"])
    assert 1 == counted(world, "manual", "again")
    await clock_control.freeze(later + TEN)
    await world.drain()
    assert ["ana", "ben", "head"] == [page.person for page in world.provider.sent]


async def test_asking_again_after_the_end_of_the_ladder_begins_anew(world, clock_control) -> None:
    """Nobody answered: everybody is asked again."""
    await world.people("ana", "ben", "head")
    called = await world.ticket(due_in=timedelta(days=9))
    await ask(world, called, cause=Cause.MANUAL, about=CALLED)
    at = START
    for _ in range(4):
        await drain(world)
        at += TEN
        await clock_control.freeze(at)
    assert ["exhausted"] == [one["state"] for one in await world.escalations()]
    before = len(world.provider.sent)
    await ask(world, called, at, Cause.MANUAL, CALLED)
    await drain(world)
    assert ["ana"] == [page.person for page in world.provider.sent[before:]]


async def test_an_owner_before_the_request_is_due_leaves_nothing(world, clock_control) -> None:
    """It had an owner in time."""
    lost = await world.ticket(due_in=timedelta(days=9))
    await ask(world, lost, START + TEN)
    assert [] == await end(world, lost, "assigned")
    await clock_control.freeze(START + TEN)
    assert 0 == await helping(world).run_once()


async def test_an_end_while_it_is_being_taken_waits_and_ends_it(world) -> None:
    """Nobody is paged for a ticket that found an owner in the same instant, whoever is first."""
    await world.people("ana", "ben", "head")
    lost = await world.ticket(due_in=timedelta(days=9))
    await ask(world, lost)
    taking = helping(world)
    inside, go_on = asyncio.Event(), asyncio.Event()
    answer = taking._answer

    async def slowly(*args: Any) -> Any:
        inside.set()
        await go_on.wait()
        return await answer(*args)

    taking._answer = slowly
    taken = asyncio.create_task(taking.run_once())
    await inside.wait()
    ending = asyncio.create_task(end(world, lost, "assigned"))
    await blocked(world.pool)
    go_on.set()
    assert 1 == await taken
    assert 1 == len(await ending)
    await world.drain()
    assert ["resolved"] == [one["state"] for one in await world.escalations()]
    assert [] == world.provider.sent


async def blocked(pool: Any) -> None:
    """Wait until somebody waits for a lock."""
    async with asyncio.timeout(10):
        while not await pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            await timesource.pause(0.01)


async def test_while_the_database_clock_has_jumped_nobody_is_called(world) -> None:
    """As with promises (R33)."""
    await ask(world, await world.ticket())
    assert (await helping(world, is_halted=lambda: True).pulse()).due_at is None
    assert (await helping(world).pulse()).due_at == START


async def test_the_lead_of_nobody_is_a_gap_that_is_skipped_at_once(world) -> None:
    """A ladder that begins with the owner and their lead goes to the next step (R22)."""
    steps = (Step(after=timedelta(), page=("owner", "lead")), Step(after=TEN, page=("person/ben",)))
    world.use(Ladder(name="wake the lead", steps=steps, otherwise=("person/head",)))
    await world.people("ben", "head")
    await ask(world, await world.ticket())
    await drain(world)
    assert ["ben"] == [page.person for page in world.provider.sent]


async def test_an_acknowledgement_by_link_names_what_it_is_about(world) -> None:
    """The page behind the link says why, as no promise does."""
    await world.people("ana", "ben", "head")
    await ask(world, await world.ticket())
    await drain(world)
    [page] = world.provider.sent
    looked = await world.answering.look(page.link.rpartition("/")[2])
    assert LOST == looked.page.about
    assert looked.page.due_at is None
