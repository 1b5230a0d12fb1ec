"""Shifts follow the calendars of the policy in force: when people who work by them are there, and when they come next."""

from datetime import datetime

from services.router.domain.presence import Shift, shift_at
from services.router.store import presence as presence_store
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Connection

_NONE = Shift(until=None, next_at=None)


async def set_shifts(connection: Connection, shelf: PolicyShelf, tenant: str, now: datetime) -> list[str]:
    """Bring everybody's shifts to what the calendars say at `now`; returns the keys of those who just came.

    Right whenever it is called, and as often; where nothing has changed it writes nothing. Locks agents in the order of
    their keys. Where the policy lacks a calendar (it can't be applied so) nobody is there by it.
    """
    names = await presence_store.calendars_of_shifts(connection, tenant)
    if not names:
        return []
    calendars = (await shelf.current(connection, tenant)).sla.calendars
    shifts = {name: shift_at(calendars[name], now) if name in calendars else _NONE for name in names}
    return await presence_store.save_shifts(connection, tenant, shifts, now)
