"""A loop on one ticket ends somewhere, whatever it consists of."""

from datetime import timedelta

import pytest

from services.router import recording
from shared.contract.events import Data, Replied, StatusChanged, TicketEvent
from shared.contract.tickets import Author, Status
from shared.postgres.pool import Pool
from tests.integration.rolling import START, RollingDesk, event, opened

REPLY, HOLD = Replied(by=Author.CUSTOMER), StatusChanged(status=Status.ON_HOLD)


async def test_a_long_log_takes_moves_for_twice_as_long_and_then_nothing(
    pool: Pool, clock_control: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helpdesk that solves and reopens a ticket for ever would have the router judge it for ever."""
    monkeypatch.setattr(recording, "LONGEST_LOG", 3)
    desk = RollingDesk(pool)
    await desk.at(timedelta(hours=1))

    async def is_taken(n: int, data: Data) -> bool:
        told: TicketEvent = event("1", n, START + timedelta(minutes=n), data)
        async with pool.acquire() as connection, connection.transaction():
            (receipt,) = (await recording.record(connection, desk.shelf, [told])).receipts
        return receipt.rejected is None

    await desk.record([opened("1", START), event("1", 1, START, REPLY), event("1", 2, START, REPLY)])
    assert [False, True, True, True, False] == [
        await is_taken(3, REPLY), await is_taken(4, HOLD), await is_taken(5, HOLD), await is_taken(6, HOLD), await is_taken(7, HOLD)
    ]  # fmt: skip
