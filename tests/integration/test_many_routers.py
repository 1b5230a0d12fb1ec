"""P1 to P5, P11 and P15 on a real database: eight workers on routers of their own, while connections are killed."""

import asyncio
from contextlib import AsyncExitStack
from random import Random

import pytest

from shared.postgres.pool import Pool, open_pool
from tests.effort import examples
from tests.integration import routers_at_once
from tests.integration.desk import NOW, RULES, drift, hire, make, owners, put, waiting
from tests.integration.routers_at_once import Heard, Router, Watcher, Worker

WORKERS = 8
STEPS = 10


@pytest.mark.parametrize("seed", range(examples(1)))
async def test_many_routers_at_once_keep_every_promise_of_the_rules(
    database, pool: Pool, clock_control, seed: int
) -> None:  # type: ignore[no-untyped-def]
    """Intake, matching, presence, answers, hand-outs and upkeep, on four routers with their connections killed under them."""
    async with AsyncExitStack() as stack:
        heard = Heard()
        routers = []
        for n in range(4):
            mine = await open_pool(database.url, name=f"router-{n}", size=4)
            stack.push_async_callback(mine.close)
            routers.append(Router(mine, heard))
        eye = await stack.enter_async_context(pool.acquire())
        await routers_at_once.set_up(eye)
        workers = [Worker(seed * WORKERS + n, routers, pool, heard) for n in range(WORKERS)]
        watcher = Watcher(eye, Random(seed), heard)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watcher.watch(stop))
            async with asyncio.TaskGroup() as busy:
                for worker in workers:
                    busy.create_task(worker.work(STEPS))
            stop.set()
            await watching

        opened = sorted(name for worker in workers for name in worker.opened)
        assert (set(), []) == (watcher.wrong, heard.faults)
        assert watcher.looks > 20
        assert watcher.killed > 0
        await clock_control.freeze(await clock_control.now())
        await routers[0].settle()
        assert [] == await routers_at_once.idle_pairs(eye)  # after one sweep (P4), so never for longer than one (P5)
        assert 0 == sum([await routers[n % 4].assignment.sweep() for n in range(12)])
        assert [] == await routers_at_once.idle_pairs(eye)
        await eye.execute("UPDATE agent SET status = 'online', gone_at = NULL")
        await clock_control.advance(hours=2)  # by then other pools may take whatever waits
        await routers[1].settle()
        while await routers_at_once.finish_all(routers[3], eye):
            await routers[2].assignment.sweep()
            assert [] == await routers_at_once.idle_pairs(eye)
        assert [] == await routers_at_once.look(eye)
        assert opened == sorted(row["external_id"] for row in await pool.fetch("SELECT external_id FROM ticket"))


async def test_p11_the_same_snapshot_has_the_same_result_whatever_the_order_of_rows(pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """Tickets and agents written in another order, on a database that was used before."""
    await clock_control.freeze(NOW)
    random = Random(5)
    tickets = [waiting(random.choice(list(RULES)), random.choice("ab")) for _ in range(120)]
    people = [(f"agent-{n:02}", random.choice(("a", "b", "ab"))) for n in range(20)]
    found = []
    for _ in range(3):
        await pool.execute("DELETE FROM assignment")
        await pool.execute("DELETE FROM queued")
        await pool.execute("DELETE FROM ticket")
        await pool.execute("DELETE FROM agent")
        random.shuffle(people)
        random.shuffle(tickets)
        for key, skills in people:
            await hire(pool, key, skills)
        await put(pool, *tickets)
        await make(pool).run("default", "default")
        found.append(await owners(pool))
    assert len(found[0]) > 20
    assert found[0] == found[1] == found[2]
    assert 0 == await drift(pool)
