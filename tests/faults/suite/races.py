"""Answers and solutions that come at the very moment of a page, thousands of them, against both copies."""

import asyncio

import httpx

from services.escalation.tokens import Tokens
from shared import timesource
from tests.faults.suite.desk import ACK_KEY, Desk
from tests.faults.suite.duties import Burst
from tests.faults.suite.kills import concluded, end, heal, tickets_of
from tests.faults.suite.ledgers import judge, open_incidents
from tests.faults.suite.rows import Row

_A_SECOND = 60
_BATCH = 60
_WITNESS = """
CREATE TABLE IF NOT EXISTS witness (n bigserial PRIMARY KEY, what text NOT NULL, escalation_id uuid NOT NULL);
CREATE OR REPLACE FUNCTION witness_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO witness (what, escalation_id) VALUES (NEW.state, NEW.id); RETURN NULL; END $$;
CREATE OR REPLACE FUNCTION witness_attempt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO witness (what, escalation_id)
    SELECT 'claimed', p.escalation_id FROM page p WHERE p.id = NEW.page_id AND p.kind IN ('page', 'warning');
    RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER witness_end AFTER UPDATE OF state ON escalation FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.state IN ('acknowledged', 'resolved')) EXECUTE FUNCTION witness_end();
CREATE OR REPLACE TRIGGER witness_attempt AFTER INSERT ON page_attempt FOR EACH ROW EXECUTE FUNCTION witness_attempt();
"""
"""An answer and a claim hold the escalation's row against each other, so the numbers they draw meanwhile are their order."""
_AFTERWARDS = """
SELECT count(*) FROM witness c JOIN witness e ON e.escalation_id = c.escalation_id
WHERE c.what = 'claimed' AND e.what = $1 AND c.n > e.n
"""


async def race(desk: Desk, answers: Row, solutions: Row, where: str, *, tickets: int) -> None:
    """Half of the tickets are acknowledged and half are solved, each about when its page is claimed."""
    await heal(desk)
    await desk.pool.execute(_WITNESS)
    bursts: list[Burst] = []
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        acking = group.create_task(_acknowledge(desk, stop))
        solving = []
        for _ in range(max(tickets // _BATCH, 1)):
            burst = await desk.breaking(_BATCH, begins=0.5, within=_BATCH / _A_SECOND, kinds="r")
            bursts.append(burst)
            solving.append(group.create_task(_solve(desk, burst)))
            await timesource.pause(max(burst.begins - timesource.unix_time() + 0.3, 0.2))
        await asyncio.gather(*solving)
        await timesource.pause(3.0)
        stop.set()
        answered = await acking
    await concluded(desk, bursts)
    after_answer = await desk.pool.fetchval(_AFTERWARDS, "acknowledged")
    after_end = await desk.pool.fetchval(_AFTERWARDS, "resolved")
    if after_answer:
        answers.fails(f"{where}: {after_answer} attempts claimed after the acknowledgement")
    if after_end:
        solutions.fails(f"{where}: {after_end} attempts claimed after the end")
    due = set().union(*(burst.due(1) for burst in bursts))
    verdict = await judge(desk, due, tickets_of(bursts))
    answers.rounds += answered
    solutions.rounds += sum(len(burst.tickets) // 2 for burst in bursts)
    for row in (answers, solutions):
        row.due += verdict.due // 2
        row.keyed_twice += verdict.keyed_twice
    await end(desk, solutions, bursts, where)
    left = await open_incidents(desk, tickets_of(bursts))
    if left:
        solutions.fails(f"{where}: the provider shows {len(left)} incidents of closed escalations as open")


async def _acknowledge(desk: Desk, stop: asyncio.Event) -> int:
    """Answer every other page a moment after it was written; returns how many answers said that they were the first."""
    tokens = Tokens(ACK_KEY, "")
    seen: set[str] = set()
    first = 0
    async with httpx.AsyncClient(trust_env=False, timeout=20.0) as http, asyncio.TaskGroup() as group:

        async def answer(token: str) -> None:
            nonlocal first
            await timesource.pause(desk.random.choice((0.0, 0.003, 0.01, 0.03, 0.3)))
            copy = desk.random.choice(desk.escalations)
            said = await http.post(f"{copy.url}/v1/ack/{token}", headers={"accept": "application/json"})
            first += said.json()["standing"] == "acknowledged"

        while not await timesource.pause(0.005, unless=stop):
            rows = await desk.pool.fetch(
                "SELECT p.id FROM page p JOIN escalation e ON e.id = p.escalation_id JOIN ticket t ON t.id = e.ticket_id"
                " WHERE p.kind = 'page' AND e.state IN ('open', 'exhausted') AND p.committed_at > deskclock_now() - interval '2 seconds'"
                " AND right(t.external_id, 1)::integer % 2 = 0 AND p.recipient LIKE 'person/rae%'"
            )
            for row in rows:
                if str(row["id"]) not in seen:
                    seen.add(str(row["id"]))
                    group.create_task(answer(tokens.token(row["id"])))
    return first


async def _solve(desk: Desk, burst: Burst) -> None:
    """Solve every other ticket about when it breaks."""
    odd = [(n, ticket) for n, ticket in enumerate(burst.tickets) if int(ticket[-1]) % 2]
    span = burst.ends - burst.begins

    async def solve(n: int, ticket: str) -> None:
        at = burst.begins + span * n / len(burst.tickets) + desk.random.uniform(-0.03, 0.15)
        await timesource.pause(max(at - timesource.unix_time(), 0.0))
        await desk.solve([ticket])

    await asyncio.gather(*(solve(n, ticket) for n, ticket in odd))
