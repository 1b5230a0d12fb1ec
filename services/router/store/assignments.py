"""The SQL of assignments that go on: how agents have tickets, whose timers have come, who has room.

Callers own the transaction and hold the tickets' rows, and those of the agents whose loads may change.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router.domain.tenure import Room, State, Tenure
from services.router.store import QUERIES
from shared.contract.tickets import Channel
from shared.postgres.pool import Connection, Record

_decode_counts = msgspec.json.Decoder(dict[str, int]).decode


class TenureGauge(Struct, frozen=True):
    """How many assignments of a pool stand so."""

    pool: str
    state: State
    n: int


async def load(connection: Connection, ticket_ids: Sequence[UUID]) -> dict[UUID, Tenure]:
    """How agents have these tickets, of those that somebody has or is offered."""
    return {row["ticket_id"]: _tenure(row) for row in await connection.fetch(QUERIES["load_tenures"], ticket_ids)}


def _tenure(row: Record) -> Tenure:
    fields = dict(row)
    return Tenure(
        **{
            **fields,
            "channel": Channel(fields["channel"]),
            "state": State(fields["state"]),
            "excluded": tuple(fields["excluded"]),
        }
    )


async def save(connection: Connection, tenures: Sequence[Tenure]) -> None:
    """Store what became of assignments that go on."""
    await connection.execute(
        QUERIES["save_tenures"],
        [tenure.id for tenure in tenures],
        [tenure.state for tenure in tenures],
        [tenure.accepted_at for tenure in tenures],
        [tenure.touched_at for tenure in tenures],
        [tenure.offered_until for tenure in tenures],
        [tenure.act_by for tenure in tenures],
        [tenure.park_at for tenure in tenures],
    )


async def claim_due(connection: Connection, limit: int, but: Iterable[UUID] = ()) -> list[UUID]:
    """Lock up to `limit` tickets whose assignment has a timer that has come; those locked elsewhere, and `but`, are left."""
    return [row["id"] for row in await connection.fetch(QUERIES["claim_due_tenures"], limit, list(but))]


async def list_replaceable(connection: Connection, ticket_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the tickets that somebody else on the roster could have, there or not."""
    return {row["id"] for row in await connection.fetch(QUERIES["list_replaceable"], ticket_ids)}


async def load_rooms(
    connection: Connection, ceilings: Mapping[tuple[str, str], Mapping[Channel, int]], now: datetime
) -> dict[tuple[str, str], Room]:
    """What agents, given as (tenant, key) with the policy's ceilings, can take; who is not on the roster is left out."""
    tenants, agents = [tenant for tenant, _ in ceilings], [agent for _, agent in ceilings]
    rows = await connection.fetch(QUERIES["load_rooms"], tenants, agents, now)
    return {(row["tenant"], row["key"]): _room(row, ceilings[row["tenant"], row["key"]]) for row in rows}


def _room(row: Record, ceilings: Mapping[Channel, int]) -> Room:
    held = _decode_counts(row["held"])
    most = {**ceilings, **{Channel(channel): n for channel, n in _decode_counts(row["at_most"]).items()}}
    return Room(
        capacity=row["capacity"],
        primary=row["primary_used"],
        interruptible=row["interruptible_used"],
        calls=row["calls"],
        is_there=row["is_there"],
        closed=row["closed_channels"],
        left={channel: n - held.get(channel, 0) for channel, n in most.items()},
    )


async def count_parked(connection: Connection, agents: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """How much each of the agents (tenant, key) has parked."""
    rows = await connection.fetch(QUERIES["count_parked"], *_columns(agents))
    return Counter({(row["tenant"], row["agent"]): row["n"] for row in rows})


async def note_answers(connection: Connection, agents: Iterable[tuple[str, str]]) -> None:
    """These agents answered an offer: what they let lapse before doesn't count any more."""
    await connection.execute(QUERIES["note_answers"], *_columns(agents))


async def note_expiries(
    connection: Connection, expired: Mapping[tuple[str, str], int], most: Mapping[str, int]
) -> list[tuple[str, str]]:
    """So many offers of these agents lapsed; returns who counts as away from now on, having let `most` lapse in a row."""
    rows = await connection.fetch(
        QUERIES["note_expiries"], *_columns(expired), list(expired.values()), [most[tenant] for tenant, _ in expired]
    )
    return [(row["tenant"], row["key"]) for row in rows if row["is_away"]]


async def measure(connection: Connection) -> list[TenureGauge]:
    """How many assignments stand in each state, over all tenants."""
    rows = await connection.fetch(QUERIES["measure_tenures"])
    return [TenureGauge(row["pool"], State(row["state"]), row["n"]) for row in rows]


def _columns(agents: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    pairs = list(agents)
    return [tenant for tenant, _ in pairs], [agent for _, agent in pairs]
