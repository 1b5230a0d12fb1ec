"""`kill -9` and SIGSTOP at each kill point, of one of two copies and of both, while promises break."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import httpx
from msgspec import structs

from shared import timesource
from shared.runtime.points import Point
from tests.faults.suite.desk import Desk
from tests.faults.suite.duties import Burst, Due
from tests.faults.suite.ledgers import Verdict, explained, judge, open_incidents, token_for
from tests.faults.suite.replicas import Replica
from tests.faults.suite.rows import Row

LEASE_SECONDS = 10.0
TAKEN_OVER_SECONDS = LEASE_SECONDS + 1.0
_AGAIN_SECONDS = TAKEN_OVER_SECONDS + 4.0
"""What was taken back is sent again after a moment."""
REDELIVERED_SECONDS = 16.0
"""JetStream gives what a dead router had to the other one after 15 s."""
_AT_ONCE = 8
_BURSTS = 10
_TOLD_SECONDS = 30.0
_LATER = timedelta(minutes=6)
_IN_ESCALATION = frozenset(Point) - {Point.K1_RECEIVED, Point.K2_STORED}
_HARMLESS = frozenset({Point.K3_DUE, Point.K4_STEPPING, Point.K5_STEPPED, Point.K9_CONCLUDED})
"""Dying there repeats nothing; what else the process has in hand at that moment may be repeated, so it gets one at a time."""
_IN_BATCHES = frozenset({Point.K1_RECEIVED, Point.K2_STORED, Point.K3_DUE, Point.K4_STEPPING, Point.K5_STEPPED})


def side_of(desk: Desk, point: Point) -> list[Replica]:
    """Whose processes pass it."""
    return desk.routers if point in {Point.K1_RECEIVED, Point.K2_STORED} else desk.escalations


def row_for(point: Point, *, is_both: bool) -> Row:
    """An empty row."""
    within = REDELIVERED_SECONDS if point is Point.K1_RECEIVED else TAKEN_OVER_SECONDS
    return Row(fault=f"kill -9 at {point}, {'both' if is_both else 'one of two'}", within=within)


async def heal(desk: Desk, *, but: Sequence[Replica] = ()) -> None:
    """Every copy runs and is ready."""
    dead = [one for one in desk.replicas if one.is_dead and one not in but]
    for one in dead:
        one.launch()
    await asyncio.gather(*(one.ready() for one in dead))


async def arm(desk: Desk, doomed: Sequence[Replica], point: Point, how: str = "kill") -> None:
    """Start these anew, to die at one of the first passings."""
    most = 2 if point in _IN_BATCHES else 4
    for one in doomed:
        await one.end()
        one.launch(armed=f"{point}:{desk.random.randint(1, most)}:{how}")
    await asyncio.gather(*(one.ready() for one in doomed))


async def kill(desk: Desk, row: Row, point: Point, where: str, *, is_both: bool) -> None:
    """One round."""
    doomed = side_of(desk, point) if is_both else [desk.random.choice(side_of(desk, point))]
    await heal(desk, but=doomed)
    await arm(desk, doomed, point)
    if point is Point.K10_ANSWERING:
        await _answered(desk, row, doomed, where)
        return
    bursts = await _until_all(desk, doomed, lambda one: one.is_dead, is_apart=point in _HARMLESS)
    if not all(one.was_killed for one in doomed):
        row.fails(f"{where}: {point} was not reached")
    since = timesource.unix_time()
    if is_both:
        await timesource.pause(desk.random.random())
        await heal(desk)
        since = timesource.unix_time()
    verdict = await told(desk, bursts, 1)
    back = verdict.last_at - max(since, *(burst.ends for burst in bursts))
    if point in _IN_ESCALATION and back > _AGAIN_SECONDS:
        row.fails(f"{where}: the last was told {back:.1f} s after the kill, {_AGAIN_SECONDS:g} s allowed")
    back = await _taken_over(desk, since) or back
    await concluded(desk, bursts)
    row.add(await told(desk, bursts, 1), where, most_twice=1, recovery=max(back, 0.0))
    await go_on(desk, row, bursts, where, most_twice=1)


async def kill_some(desk: Desk, row: Row, points: Sequence[Point], where: str) -> None:
    """A copy dies at each of these points, all within a few seconds; one of each service goes on."""
    doomed = [await desk.replica(side_of(desk, point)[0].module) for point in points]
    for one, point in zip(doomed, points, strict=True):
        one.launch(armed=f"{point}:{desk.random.randint(1, 2)}")
    await asyncio.gather(*(one.ready() for one in doomed))
    bursts = await _until_all(desk, doomed, lambda one: one.is_dead)
    since = timesource.unix_time()
    alive = [point for one, point in zip(doomed, points, strict=True) if not one.was_killed]
    if alive:
        row.fails(f"{where}: not reached: {', '.join(alive)}")
    for one in doomed:
        await one.end(signal.SIGKILL)
    await told(desk, bursts, 1)
    await concluded(desk, bursts)
    verdict = await told(desk, bursts, 1)
    row.add(verdict, where, most_twice=1, recovery=await _taken_over(desk, since))
    await go_on(desk, row, bursts, where, most_twice=1)


async def freeze(desk: Desk, row: Row, point: Point, where: str, *, seconds: float) -> None:
    """One copy stands still for so long, another takes over, and what the first still believes is worth nothing."""
    await heal(desk)
    [still] = doomed = [desk.random.choice(side_of(desk, point))]
    await arm(desk, doomed, point, "stop")
    bursts = await _until_all(desk, doomed, lambda one: one.is_stopped)
    since = timesource.unix_time()
    if not still.is_stopped:
        row.fails(f"{where}: {point} was not reached")
    await timesource.pause(seconds)
    verdict = await told(desk, bursts, 1)
    known = await _concluded(desk)
    still.send(signal.SIGCONT)
    await concluded(desk, bursts)
    await timesource.pause(1.0)
    changed = known - await _concluded(desk)
    if changed:
        row.fails(f"{where}: the woken one wrote over {len(changed)} attempts, as {min(changed)}")
    verdict = await told(desk, bursts, 1)
    row.add(
        verdict, where, most_twice=1, recovery=max(verdict.last_at - max(since, *(one.ends for one in bursts)), 0.0)
    )
    await go_on(desk, row, bursts, where, most_twice=1)


async def told(desk: Desk, bursts: Sequence[Burst], *steps: int, within: float = _TOLD_SECONDS) -> Verdict:
    """Wait until everybody due was told, or the patience ends; then judge."""
    due, tickets = due_of(bursts, *steps), tickets_of(bursts)
    until = timesource.monotonic() + within
    while (verdict := await judge(desk, due, tickets)).lost and timesource.monotonic() < until:
        await timesource.pause(0.05)
    if verdict.lost:
        verdict = structs.replace(verdict, why=await explained(desk, verdict.lost))
    return verdict


async def concluded(desk: Desk, bursts: Sequence[Burst]) -> None:
    """Wait until the answers to all pages are stored: their answer windows begin then (R3)."""
    await desk.until(
        "SELECT NOT EXISTS (SELECT FROM page p JOIN escalation e ON e.id = p.escalation_id JOIN ticket t ON t.id = e.ticket_id"
        " WHERE t.external_id = ANY ($1) AND p.state IN ('pending', 'sending'))",
        tickets_of(bursts),
    )


async def go_on(desk: Desk, row: Row, bursts: Sequence[Burst], where: str, *, most_twice: int = 0) -> None:
    """The ladder goes on by itself, and the end of it all is told to whoever was paged."""
    await heal(desk)
    await concluded(desk, bursts)
    await desk.advance(_LATER)
    second = await told(desk, bursts, 1, 2)
    await end(desk, row, bursts, where)
    final = await judge(desk, due_of(bursts, 1, 2), tickets_of(bursts))
    if second.lost:
        row.fails(f"{where}: of the next step {await explained(desk, second.lost)}")
        row.lost += len(second.lost)
    if final.keyed_twice or final.avoidable or final.worst_twice > most_twice:
        row.fails(f"{where}: told again later: {final.keyed_twice} keyed, {final.worst_twice} of one unkeyed")


async def end(desk: Desk, row: Row, bursts: Sequence[Burst], where: str) -> None:
    """All is solved; no keyed receiver goes on showing an incident."""
    tickets = tickets_of(bursts)
    for start in range(0, len(tickets), 500):
        await desk.solve(tickets[start : start + 500])
    until = timesource.monotonic() + _TOLD_SECONDS
    while (left := await open_incidents(desk, tickets)) and timesource.monotonic() < until:
        await timesource.pause(0.05)
    if left:
        row.fails(f"{where}: {len(left)} incidents stay open at the provider, as {min(left)}")
    with suppress(TimeoutError):
        await desk.until("SELECT NOT EXISTS (SELECT FROM outbox)", within=20)
        return
    row.fails(f"{where}: the outbox does not drain")


def due_of(bursts: Sequence[Burst], *steps: int) -> set[Due]:
    """Of all of them."""
    return set().union(*(burst.due(*steps) for burst in bursts))


def tickets_of(bursts: Sequence[Burst]) -> list[str]:
    """Of all of them."""
    return [ticket for burst in bursts for ticket in burst.tickets]


async def _until_all(
    desk: Desk, doomed: Sequence[Replica], is_down: Callable[[Replica], bool], *, is_apart: bool = False
) -> list[Burst]:
    """Let promises break until all of these are down; apart, so that hardly two pages are in hand at once."""
    bursts = []
    for _ in range(_BURSTS):
        if is_apart:
            bursts.append(await desk.breaking(_AT_ONCE, begins=0.3, within=1.5, kinds="ru"))
        else:
            bursts.append(await desk.breaking(_AT_ONCE, begins=0.3, within=0.5))
        until = timesource.monotonic() + (2.0 if is_apart else 1.2)
        while timesource.monotonic() < until:
            if all(is_down(one) for one in doomed):
                return bursts
            await timesource.pause(0.01)
    return bursts


async def _taken_over(desk: Desk, since: float) -> float:
    """Seconds from the kill until the last page that the dead had in hand was taken back; 0 where it had none."""
    at: float | None = await desk.pool.fetchval(
        """
        SELECT max(extract(epoch FROM finished_at - (deskclock_now() - clock_timestamp())))::double precision
        FROM page_attempt WHERE detail = 'the process stopped while it was sending'
        """
    )
    return 0.0 if at is None else max(at - since, 0.0)


async def _concluded(desk: Desk) -> set[tuple[object, ...]]:
    rows = await desk.pool.fetch(
        "SELECT page_id::text, n, outcome, finished_at, detail FROM page_attempt WHERE finished_at IS NOT NULL"
    )
    return {tuple(row.values()) for row in rows}


async def _answered(desk: Desk, row: Row, doomed: Sequence[Replica], where: str) -> None:
    """People answer; a call that ends without an answer is made again, of whoever is there."""
    bursts = [await desk.breaking(_AT_ONCE, begins=0.3, within=0.5)]
    verdict = await told(desk, bursts, 1)
    since, deaths = timesource.unix_time(), sum(one.deaths for one in doomed)
    async with httpx.AsyncClient(trust_env=False, timeout=10.0) as http:
        for ticket in bursts[0].tickets:
            if not await _acknowledge(desk, http, token_for(desk, ticket), [*doomed, *desk.escalations]):
                row.fails(f"{where}: {ticket} could not be acknowledged")
    if sum(one.deaths + one.was_killed for one in doomed) < deaths + len(doomed):
        row.fails(f"{where}: {Point.K10_ANSWERING} was not reached")
    answered = await desk.pool.fetchval(
        "SELECT count(*) FROM escalation e JOIN ticket t ON t.id = e.ticket_id"
        " WHERE e.state = 'acknowledged' AND t.external_id = ANY ($1)",
        list(bursts[0].tickets),
    )
    row.add(verdict, where, recovery=timesource.unix_time() - since)
    if answered != len(bursts[0].tickets):
        row.fails(f"{where}: {len(bursts[0].tickets) - answered} answers were lost")
    await concluded(desk, bursts)
    await desk.advance(_LATER)
    await timesource.pause(1.0)
    later = await judge(desk, due_of(bursts, 1), tickets_of(bursts))
    if later.needless:
        row.fails(f"{where}: {len(later.needless)} paged though somebody had answered")
    await end(desk, row, bursts, where)


async def _acknowledge(desk: Desk, http: httpx.AsyncClient, token: str, copies: Sequence[Replica]) -> bool:
    for _ in range(3):
        for one in copies:
            with suppress(httpx.TransportError):
                answer = await http.post(f"{one.url}/v1/ack/{token}")
                if answer.status_code == httpx.codes.OK:
                    return True
        await heal(desk)
    return False
