"""The providers' ledger held against what was due: lost, told twice, told without need, left open."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from uuid import UUID

from msgspec import Struct

from tests.faults.suite.desk import Desk
from tests.faults.suite.duties import Due

KEYED = frozenset({"webhook", "pagerduty", "jsm"})
_LINK = re.compile(r"/v1/ack/([A-Za-z0-9_-]+)")
_PAGES = """
SELECT p.id, p.told_by, p.kind, p.step + 1 AS step, p.loop, p.recipient, p.method, p.evidence ->> 'generation' AS generation,
       t.external_id AS ticket,
       (SELECT count(*) FROM page_attempt a WHERE a.page_id = p.id AND a.outcome = 'unknown') AS unknowns
FROM page p JOIN escalation e ON e.id = p.escalation_id JOIN ticket t ON t.id = e.ticket_id
WHERE t.external_id = ANY ($1) AND p.kind IN ('page', 'warning')
"""


class Verdict(Struct, frozen=True, kw_only=True):
    """What became of what was due."""

    due: int
    lost: frozenset[Due]
    keyed_twice: int
    """Times that a receiver which knows its keys notified somebody again, or was given a second key for the same."""
    unkeyed_twice: int
    worst_twice: int
    """The most that one message was repeated."""
    avoidable: int
    """Repetitions of what nobody was in doubt about."""
    needless: frozenset[Due]
    """Told though they were not due."""
    last_at: float
    """When the last of the due was first accepted, in seconds since 1970."""
    why: str = ""
    """What the database knows of the first that was lost."""


async def judge(desk: Desk, due: Collection[Due], tickets: Collection[str]) -> Verdict:
    """Of these tickets only; `due` is everything that was due by now."""
    rows = await desk.pool.fetch(_PAGES, list(tickets))
    items = {item.key: item for item in desk.provider.ledger.items()}
    avoidable = 0
    told: dict[Due, float] = {}
    same: Counter[tuple[object, ...]] = Counter()
    twice: dict[bool, list[int]] = defaultdict(list)
    for row in rows:
        one = Due(row["ticket"], row["step"], row["recipient"])
        found = [items[str(key)] for key in (row["id"], row["told_by"]) if key is not None and str(key) in items]
        own = items.get(str(row["id"]))
        if own is not None:
            twice[row["method"] in KEYED].append(own.opened - 1)
            avoidable += max(own.opened - 1 - row["unknowns"], 0)
            same[one, row["kind"], row["loop"], row["generation"], row["method"]] += 1
        if found:
            told[one] = min(told.get(one, float("inf")), *(item.first_at for item in found))
    more = {True: 0, False: 0}
    for (*_, method), count in same.items():
        more[method in KEYED] += count - 1
    wanted = set(due)
    return Verdict(
        due=len(wanted),
        lost=frozenset(wanted - told.keys()),
        keyed_twice=sum(twice[True]) + more[True],
        unkeyed_twice=sum(twice[False]) + more[False],
        worst_twice=max(twice[False], default=0),
        avoidable=avoidable,
        needless=frozenset(told.keys() - wanted),
        last_at=max((at for one, at in told.items() if one in wanted), default=0.0),
    )


async def open_incidents(desk: Desk, tickets: Collection[str]) -> list[UUID]:
    """Pages of these tickets that a receiver which knows its keys still shows as open."""
    rows = await desk.pool.fetch(_PAGES, list(tickets))
    shown = {item.key for item in desk.provider.ledger.items() if item.is_open and item.provider in KEYED}
    return [row["id"] for row in rows if str(row["id"]) in shown]


def token_for(desk: Desk, ticket: str) -> str:
    """Of the link to acknowledge by, in some page about this ticket."""
    for seen in desk.provider.ledger.requests():
        if re.search(rf"\b{ticket}\b", seen.body) and (link := _LINK.search(seen.body)):
            return link[1]
    raise LookupError(ticket)


async def explained(desk: Desk, lost: Collection[Due]) -> str:
    """What the database knows of the first that was lost, for whoever looks for the cause."""
    one = min(lost)
    row = await desk.pool.fetchrow(
        """
        SELECT e.state, e.step, e.next_step_at - deskclock_now() AS next_in, e.generation,
               deskclock_now() - e.anchor_at AS since_anchor,
               (SELECT string_agg(concat_ws(' ', p.kind, p.step + 1, p.recipient, p.state, p.attempts, p.deferred_for, 'after', p.committed_at - e.anchor_at, 'tried', p.attempted_at - e.anchor_at, 'other way', p.fallback_at - e.anchor_at), ', ')
                FROM page p WHERE p.escalation_id = e.id) AS pages
        FROM ticket t LEFT JOIN escalation e ON e.ticket_id = t.id WHERE t.external_id = $1
        """,
        one.ticket,
    )
    old = await desk.pool.fetch(
        "SELECT application_name, state, wait_event, now() - xact_start AS open_for, left(query, 80) AS query"
        " FROM pg_stat_activity WHERE xact_start < now() - interval '5 seconds' AND backend_type = 'client backend'"
    )
    return f"{len(lost)} lost, as {one}: {dict(row) if row else 'no such ticket'}; {[dict(one) for one in old]}"
