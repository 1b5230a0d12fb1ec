"""`make faults`: every fault of the promises about paging, at real processes, one after the other; one table at the end.

python -m tests.faults.suite                         a few minutes
python -m tests.faults.suite --minutes 30 --seed 7   rounds with other seeds until the time is over
python -m tests.faults.suite --only K6 --only nats   only rows whose name holds one of these
"""

import argparse
import asyncio
import logging
import random
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from shared import timesource
from shared.runtime.points import Point
from tests.faults.suite import desk as desks
from tests.faults.suite import kills, outages, pagers, races
from tests.faults.suite.desk import Desk
from tests.faults.suite.rows import Row, show

Scenario = Callable[[Desk, str], Awaitable[None]]


def scenarios(*, is_long: bool) -> list[tuple[list[Row], Scenario]]:
    """Every row with what fills it; the long form stops and freezes for longer."""
    made: list[tuple[list[Row], Scenario]] = []

    def add(row: Row, fill: Callable[..., Awaitable[None]], **how: object) -> None:
        async def run(desk: Desk, where: str) -> None:
            await fill(desk, row, where=where, **how)

        made.append(([row], run))

    for point in Point:
        for is_both in (False, True):
            add(kills.row_for(point, is_both=is_both), kills.kill, point=point, is_both=is_both)
    still = 60.0 if is_long else 13.0
    for point in (Point.K6_CLAIMED, Point.K7_SENT, Point.K8_ANSWERED):
        row = Row(fault=f"SIGSTOP {still:g} s at {point}", within=22.0)
        add(row, kills.freeze, point=point, seconds=still)
    add(Row(fault="SIGSTOP 25 s at K4_STEPPING", within=22.0), kills.freeze, point=Point.K4_STEPPING, seconds=25.0)
    away = 30.0 if is_long else 10.0
    back = outages.BACK_SECONDS
    add(
        Row(fault=f"PostgreSQL stopped {away:g} s", within=back),
        outages.database_stopped,
        seconds=away,
        is_killed=False,
    )
    add(Row(fault="PostgreSQL killed", within=back), outages.database_stopped, seconds=0.0, is_killed=True)
    add(Row(fault="connections die in COMMIT", within=12.0), outages.commits_ambushed, rounds=20 if is_long else 6)
    frozen = 60.0 if is_long else 15.0
    for server in ("postgres", "nats"):
        row = Row(fault=f"{server} sockets frozen {frozen:g} s", within=back)
        add(row, outages.sockets_frozen, server=server, seconds=frozen, is_lost=False)
        add(
            Row(fault=f"{server} sockets dead", within=75.0),
            outages.sockets_frozen,
            server=server,
            seconds=45.0,
            is_lost=True,
        )
    add(Row(fault=f"NATS away {away:g} s", within=3.0), outages.nats_gone, seconds=away, is_wiped=False)
    add(Row(fault="NATS store wiped", within=3.0), outages.nats_gone, seconds=1.0, is_wiped=True)
    add(Row(fault="events three times, shuffled"), outages.repeated)
    add(Row(fault="poison messages"), outages.poisoned)
    add(Row(fault="hosts' clocks 10 min off", within=5.0), outages.skewed, seconds=600.0)
    add(Row(fault="copies restarted in turn", within=12.0), outages.in_turn)
    troubled = pagers.rows()
    made.append((list(troubled.values()), partial(_trouble, troubled)))
    answers, solutions = Row(fault="answer against claim"), Row(fault="solution against claim")
    made.append(([answers, solutions], partial(_race, answers, solutions, 5_000 if is_long else 600)))
    return made


async def _race(answers: Row, solutions: Row, tickets: int, desk: Desk, where: str) -> None:
    await races.race(desk, answers, solutions, where, tickets=tickets)


async def _trouble(rows: dict[str, Row], desk: Desk, where: str) -> None:
    await pagers.trouble(desk, rows, where)


async def play(chosen: list[tuple[list[Row], Scenario]], *, seed: int, minutes: float | None) -> None:
    """Play every scenario once, and again in another order with the next seed until the time is over."""
    until = timesource.monotonic() + (minutes or 0) * 60
    last = seed - 1
    while last < seed or timesource.monotonic() < until:
        order = list(chosen)
        if last >= seed:
            random.Random(last + 1).shuffle(order)
        async with desks.opened(last + 1) as desk:
            for rows, run in order:
                if last >= seed and timesource.monotonic() > until:
                    break
                await _play_one(desk, rows, run, last + 1)
        last += 1


async def _play_one(desk: Desk, rows: list[Row], run: Scenario, seed: int) -> None:
    _say(f"seed {seed}: {rows[0].fault}{' and others' * (len(rows) > 1)} ... ")
    desk.random.seed(f"{seed} {rows[0].fault}")
    started = timesource.monotonic()
    before = [len(row.wrong) for row in rows]
    try:
        await run(desk, f"seed {seed}")
    except Exception as error:  # noqa: BLE001 - one row that breaks off must not hide the others
        rows[0].fails(f"seed {seed}: broke off: {type(error).__name__}: {error}")
        await desk.recover()
    _say(f"{timesource.monotonic() - started:.0f} s\n")
    for row, known in zip(rows, before, strict=True):
        for wrong in row.wrong[known:]:
            _say(f"  {row.fault}: {wrong}\n")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> int:
    """Play, print the table, and say by the exit code whether every line held."""
    parser = argparse.ArgumentParser(
        prog="make faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, help="go on with other seeds until so many minutes are over")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", action="append", default=[], help="only rows whose name holds this; may be given again"
    )
    arguments = parser.parse_args()
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)  # it tells of each connection that the trial cuts
    every = scenarios(is_long=arguments.minutes is not None)
    chosen = [
        one
        for one in every
        if not arguments.only or any(part in row.fault for part in arguments.only for row in one[0])
    ]
    asyncio.run(play(chosen, seed=arguments.seed, minutes=arguments.minutes))
    rows = [row for some, _ in chosen for row in some]
    _say("\n")
    show(rows)
    return 0 if all(row.is_well for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
