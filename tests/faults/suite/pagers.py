"""Providers that are broken, silent, gone, busy, slow or forgetful, each with an account of its own."""

from collections.abc import Sequence
from datetime import timedelta

from shared import timesource
from tests.faults.suite.desk import Desk
from tests.faults.suite.duties import PAGERS, Burst
from tests.faults.suite.kills import heal, told
from tests.faults.suite.rows import Row
from tests.providers.faults import ALWAYS, Fault

OTHER_WAY_SECONDS = 30.0
_PROMPT_SECONDS = 2.0
_SILENCE_SECONDS = 7.0
_EACH = 8
_SLOW = 60
_HANGING = ("silent", "slow")
_SILENCE = """
WITH tried AS (
    SELECT a.* FROM page_attempt a JOIN page p ON p.id = a.page_id WHERE p.recipient = 'person/pat-busy' AND p.method = 'webhook'
)
SELECT count(*) FILTER (WHERE a.outcome = 'retryable'),
       count(*) FILTER (WHERE EXISTS (SELECT FROM tried f WHERE f.outcome = 'retryable'
                                      AND a.started_at BETWEEN f.finished_at + interval '250 ms' AND f.finished_at + $1))
FROM tried a
"""
"""By the database's time: from when the answer was stored, which may take the transaction a moment after `finished_at`."""


def rows() -> dict[str, Row]:
    """Empty ones, by the duty they are about; the last is everybody else."""
    made = {name: Row(fault=f"provider: {said}", within=OTHER_WAY_SECONDS) for name, said in PAGERS.items()}
    made["busy"].within = _SILENCE_SECONDS + 8.0
    return {**made, "others": Row(fault="provider: the others meanwhile", within=_PROMPT_SECONDS)}


async def trouble(desk: Desk, filled: dict[str, Row], where: str) -> None:
    """Those that answer wrongly together, then those that hang; whoever can't be reached by one way is by the next."""
    await heal(desk)
    quick = [name for name in PAGERS if name not in _HANGING]
    for names in (quick, *([name] for name in _HANGING)):
        await _troubled(desk, filled, names, where)
    await _require_breaker(desk, filled["broken"], where)
    await _require_silence(desk, filled["busy"], where)


async def _troubled(desk: Desk, filled: dict[str, Row], names: Sequence[str], where: str) -> None:
    desk.provider.misbehave(
        Fault(kind="status", status=503, containing="/pat-broken", times=ALWAYS),
        Fault(kind="hang", containing="/pat-silent", times=ALWAYS),
        Fault(kind="close", containing="/pat-cut", times=ALWAYS),
        Fault(
            kind="status",
            status=429,
            retry_after=f"{_SILENCE_SECONDS:.0f}",
            containing="/pat-busy",
            times=int("busy" in names),
        ),
        Fault(kind="delay", seconds=30.0, containing="/pat-slow", times=ALWAYS),
    )
    try:
        bursts = {
            name: await desk.breaking(_SLOW if name == "slow" else _EACH, begins=1.0, within=1.0, duty=f"p-{name}")
            for name in names
        }
        others = await desk.breaking(_EACH, begins=1.5, within=3.0)
        verdict = await told(desk, [others], 1)
        filled["others"].add(verdict, where, recovery=max(verdict.last_at - others.ends, 0.0))
        for name, burst in bursts.items():
            await _require_told(desk, filled[name], burst, where)
        if "forgetful" in bursts:
            await _require_other_way(desk, filled["forgetful"], bursts["forgetful"], where)
    finally:
        desk.provider.behave()
    for burst in [*bursts.values(), others]:
        await desk.solve(burst.tickets)


async def _require_told(desk: Desk, row: Row, burst: Burst, where: str) -> None:
    verdict = await told(desk, [burst], 1, within=max(burst.ends - timesource.unix_time(), 0.0) + 2 * OTHER_WAY_SECONDS)
    row.add(verdict, where, most_twice=1, recovery=max(verdict.last_at - burst.ends, 0.0))


async def _require_other_way(desk: Desk, row: Row, burst: Burst, where: str) -> None:
    """Accepted is not delivered: without a receipt the next contact is tried."""
    question = (
        "SELECT count(DISTINCT e.ticket_id) = cardinality($1::text[]) FROM page p JOIN escalation e ON e.id = p.escalation_id"
        " JOIN ticket t ON t.id = e.ticket_id WHERE t.external_id = ANY ($1) AND p.method = 'ntfy' AND p.state = 'accepted'"
    )
    try:
        await desk.until(question, list(burst.tickets), within=2 * OTHER_WAY_SECONDS)
    except TimeoutError:
        row.fails(f"{where}: nobody was told by another way")
    row.took(max(timesource.unix_time() - burst.ends, 0.0), where)


async def _require_breaker(desk: Desk, row: Row, where: str) -> None:
    if not await desk.pool.fetchval("SELECT EXISTS (SELECT FROM sending_account WHERE failures > 1)"):
        row.fails(f"{where}: nobody noticed that the account is broken")


async def _require_silence(desk: Desk, row: Row, where: str) -> None:
    asked, early = await desk.pool.fetchrow(_SILENCE, timedelta(seconds=_SILENCE_SECONDS))
    if not asked:
        row.fails(f"{where}: the provider never asked for silence")
    if early:
        row.fails(f"{where}: {early} attempts begun within the {_SILENCE_SECONDS:.0f} s it asked for")
