"""Servers that stop, freeze, forget or repeat themselves, while promises break; and services restarted in turn."""

import asyncio
import random
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from shared import timesource
from tests.faults.suite.desk import TENANT, Desk
from tests.faults.suite.duties import Burst
from tests.faults.suite.kills import go_on, heal, told
from tests.faults.suite.links import Ambush, Mode
from tests.faults.suite.replicas import Replica
from tests.faults.suite.rows import Row

BACK_SECONDS = 5.0
_TICKETS = 24
_BEFORE_SECONDS = 1.0
_COMMIT = b"COMMIT;"
_RED_SECONDS = 15.0
_HELD_SECONDS = 40.0
"""The database gives back what a frozen transaction held after 20 s, and an attempt's lease ends after 10."""


async def database_stopped(desk: Desk, row: Row, where: str, *, seconds: float, is_killed: bool) -> None:
    """PostgreSQL goes while promises break and comes back; readiness is red meanwhile, liveness green."""
    await heal(desk)
    bursts = [await desk.breaking(_TICKETS, begins=_BEFORE_SECONDS, within=2.0)]
    await timesource.pause(_BEFORE_SECONDS + 0.3 + desk.random.random())
    server = desk.servers.postgres
    await asyncio.to_thread(server.kill if is_killed else server.stop)
    gone_at = timesource.monotonic()
    await _require_red(desk, row, where)
    await timesource.pause(max(seconds - (timesource.monotonic() - gone_at), 0.0))
    await asyncio.to_thread(server.start)
    back_at = timesource.unix_time()
    await _ready_again(desk, row, where, back_at)
    await _conclude(desk, row, bursts, where, back_at, most_twice=1)


async def commits_ambushed(desk: Desk, row: Row, where: str, *, rounds: int) -> None:
    """Connections end in COMMIT, before it arrives or before its answer does; nobody is told which."""
    await heal(desk)
    chance = random.Random(desk.random.random())
    met = dict.fromkeys(Ambush, 0)

    def ambush(piece: bytes) -> Ambush | None:
        if _COMMIT not in piece or chance.random() > 0.2:
            return None
        how = chance.choice(list(Ambush))
        met[how] += 1
        return how

    links = [one.links["postgres"] for one in desk.replicas]
    bursts: list[Burst] = []
    for link in links:
        link.ambush = ambush
    try:
        for _ in range(rounds):
            bursts.append(await desk.breaking(8, begins=0.4, within=0.8))
            await timesource.pause(1.2)
    finally:
        for link in links:
            link.ambush = None
    if not all(met.values()):
        row.fails(f"{where}: no COMMIT was met: {met}")
    await _conclude(desk, row, bursts, where, timesource.unix_time(), most_twice=2)


async def sockets_frozen(desk: Desk, row: Row, where: str, server: str, *, seconds: float, is_lost: bool) -> None:
    """A router's and an escalation's connections to a server freeze; where lost, those never wake again."""
    await heal(desk)
    froze = [desk.random.choice(desk.routers), desk.random.choice(desk.escalations)]
    bursts = [await desk.breaking(_TICKETS, begins=_BEFORE_SECONDS, within=2.0)]
    await timesource.pause(_BEFORE_SECONDS + 0.5)
    since = timesource.unix_time()
    for one in froze:
        one.links[server].lose() if is_lost else one.links[server].turn(Mode.FREEZE)
    verdict = await told(desk, bursts, 1, within=_HELD_SECONDS)
    if verdict.lost:
        row.fails(f"{where}: meanwhile {verdict.why}")
    await timesource.pause(max(since + seconds - timesource.unix_time(), 0.0))
    if not is_lost:
        since = timesource.unix_time()
        for one in froze:
            one.links[server].turn(Mode.PASS)
    await _ready_again(desk, row, where, since)
    for one in froze:
        if one.is_dead:
            row.fails(f"{where}: {one.name} did not live through it")
        elif await one.ask("live") != httpx.codes.OK:
            row.fails(f"{where}: {one.name} is not live")
    late = [await desk.breaking(8, begins=0.3, within=0.3)]
    await _conclude(desk, row, [*bursts, *late], where, timesource.unix_time(), most_twice=1, count=False)


async def nats_gone(desk: Desk, row: Row, where: str, *, seconds: float, is_wiped: bool) -> None:
    """NATS goes while promises break: pages go on, as timers are in the database; events wait in the outbox."""
    await heal(desk)
    first = await desk.breaking(_TICKETS, begins=2.0, within=1.0)
    await desk.until(
        "SELECT count(*) = $2 FROM ticket WHERE external_id = ANY ($1)", list(first.tickets), len(first.tickets)
    )
    nats = desk.servers.nats
    await asyncio.to_thread(nats.kill)
    verdict = await told(desk, [first], 1, within=20)
    row.recovery = max(row.recovery, verdict.last_at - first.ends)
    if verdict.lost:
        row.fails(f"{where}: {len(verdict.lost)} not paged while NATS is away")
    await timesource.pause(seconds)
    if is_wiped:
        for one in (Path(nats._data),):
            for inside in one.iterdir():
                shutil.rmtree(inside) if inside.is_dir() else inside.unlink()
    await asyncio.to_thread(nats.start)
    back_at = timesource.unix_time()
    await _ready_again(desk, row, where, back_at, count=False)
    with suppress(TimeoutError):
        await desk.until("SELECT NOT EXISTS (SELECT FROM outbox)", within=30)
    if await desk.pool.fetchval("SELECT EXISTS (SELECT FROM outbox)"):
        row.fails(f"{where}: the outbox does not drain after NATS is back")
    second = await _published_when_back(desk, row, where)
    if is_wiped:  # the helpdesk says everything again, as after a comparison with its own list
        await desk.repeat(first)
    await _conclude(desk, row, [first, *second], where, back_at, count=False)


async def repeated(desk: Desk, row: Row, where: str) -> None:
    """Every event three times and in any order, as messages of their own."""
    await heal(desk)
    burst = await desk.breaking(_TICKETS, begins=1.5, within=1.0, copies=3)
    await _conclude(desk, row, [burst], where, burst.ends)


async def poisoned(desk: Desk, row: Row, where: str) -> None:
    """Messages that no reader can use, among good ones: set aside with their reason, and others flow."""
    await heal(desk)
    before = await desk.dead_letters()
    poison = [
        b"",
        b"\x00\xff",
        b"{",
        b'{"specversion":"1.0"}',
        b'{"a":' * 2000,
        b'{"specversion":"1.0","id":"x","source":"s","type":"ticket.opened","subject":"1","time":"never","data":{}}',
    ]
    for body in poison:
        await desk.client.jetstream().publish(f"tickets.{TENANT}.opened", body)
    burst = await desk.breaking(_TICKETS, begins=0.5, within=0.5)
    await _conclude(desk, row, [burst], where, burst.ends)
    found = await desk.dead_letters() - before
    if found != len(poison):
        row.fails(f"{where}: {found} dead letters of {len(poison)}")


async def in_turn(desk: Desk, row: Row, where: str) -> None:
    """Each copy is ended in good order and started again while promises break, as in an upgrade."""
    await heal(desk)
    bursts: list[Burst] = []
    for one in desk.replicas:
        bursts.append(await desk.breaking(8, begins=0.3, within=1.5))
        code = await one.end()
        if code != 0:
            row.fails(f"{where}: {one.name} ended with {code}: {one.last_words[-300:]}")
        one.launch()
        await one.ready()
    await _conclude(desk, row, bursts, where, bursts[-1].ends)


async def skewed(desk: Desk, row: Row, where: str, *, seconds: float) -> None:
    """The hosts' clocks are minutes off, one this way and one that way; only the database's decides."""
    for one, skew in zip(desk.replicas, (seconds, -seconds, seconds, -seconds), strict=True):
        await one.end()
        one.launch(skew=skew)
    await asyncio.gather(*(one.ready() for one in desk.replicas))
    burst = await desk.breaking(_TICKETS, begins=0.5, within=1.0)
    verdict = await told(desk, [burst], 1)
    row.add(verdict, where, recovery=max(verdict.last_at - burst.ends, 0.0))
    early = await desk.pool.fetchval(
        "SELECT count(*) FROM page p JOIN escalation e ON e.id = p.escalation_id WHERE p.attempted_at < e.anchor_at"
    )
    if early:
        row.fails(f"{where}: {early} pages before they were due")
    await go_on(desk, row, [burst], where)
    for one in desk.replicas:
        await one.end()
        one.launch()
    await asyncio.gather(*(one.ready() for one in desk.replicas))


async def _published_when_back(desk: Desk, row: Row, where: str) -> list[Burst]:
    """What is said after NATS is back is heard."""
    for _ in range(40):
        try:
            return [await desk.breaking(8, begins=1.0, within=0.5)]
        except Exception:  # noqa: BLE001 - the streams are being made again
            await timesource.pause(0.5)
    row.fails(f"{where}: the streams are not made again within 20 s")
    return []


async def _conclude(
    desk: Desk,
    row: Row,
    bursts: Sequence[Burst],
    where: str,
    since: float,
    *,
    most_twice: int = 0,
    count: bool = True,
) -> None:
    verdict = await told(desk, bursts, 1)
    back = max(verdict.last_at - max(since, *(burst.ends for burst in bursts)), 0.0)
    row.add(verdict, where, most_twice=most_twice, recovery=back if count else None)
    await go_on(desk, row, bursts, where, most_twice=most_twice)


async def _require_red(desk: Desk, row: Row, where: str) -> None:
    """Each copy says that it is not ready, and that it lives."""

    async def turns_red(one: Replica) -> None:
        until = timesource.monotonic() + _RED_SECONDS
        while timesource.monotonic() < until:
            if await one.ask("ready") == httpx.codes.SERVICE_UNAVAILABLE:
                break
            await timesource.pause(0.1)
        else:
            row.fails(f"{where}: {one.name} stays ready without its server")
        if await one.ask("live") != httpx.codes.OK:
            row.fails(f"{where}: {one.name} is not live without its server")

    await asyncio.gather(*(turns_red(one) for one in desk.replicas))


async def _ready_again(desk: Desk, row: Row, where: str, since: float, *, count: bool = True) -> None:
    """Every copy is ready again by itself."""
    try:
        await asyncio.gather(*(one.ready() for one in desk.replicas))
    except AssertionError as error:
        row.fails(f"{where}: {error}")
        return
    took = timesource.unix_time() - since
    if count:
        row.recovery = max(row.recovery, took)
    if count and row.within is not None and took > row.within:
        row.fails(f"{where}: ready again after {took:.1f} s, {row.within:g} s allowed")
