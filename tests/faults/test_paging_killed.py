"""The short form of `make faults`: copies die at kill points while promises break; nobody is lost, nobody is paged needlessly."""

from pathlib import Path

from nats.js import JetStreamContext

from services.console.embedded import Embedded
from shared.runtime.points import Point
from tests.conftest import Database
from tests.faults.suite.desk import Desk
from tests.faults.suite.kills import TAKEN_OVER_SECONDS, kill_some
from tests.faults.suite.rows import Row
from tests.providers.remote import provider_process

POINTS = [Point.K2_STORED, Point.K4_STEPPING, Point.K6_CLAIMED, Point.K7_SENT]


async def test_copies_that_die_on_a_pages_way_lose_nothing_and_repeat_nothing_a_receiver_knows(
    servers: Embedded, database: Database, jetstream: JetStreamContext, tmp_path: Path
) -> None:
    """A router and three escalations, each at another point: all told, keyed receivers once, others at most once more."""
    row = Row(fault="kill -9", within=TAKEN_OVER_SECONDS + 2)
    with provider_process(tmp_path / "ledger.db") as providers:
        desk = Desk(servers, providers, tmp_path, seed=1, database=database.name)
        try:
            await desk.open(copies=1)
            await kill_some(desk, row, POINTS, "short form")
        finally:
            await desk.close()
    assert ([], 0, 0) == (row.wrong, row.lost, row.keyed_twice)
    assert row.due > 0
