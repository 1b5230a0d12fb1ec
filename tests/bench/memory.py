"""Memory of each service while it does the work of 200,000 tickets."""

from datetime import timedelta
from pathlib import Path
from subprocess import Popen

from shared import timesource
from tests.bench import fill, intake
from tests.bench.stack import Stack

TICKETS = 200_000
_ROUNDS = 10
_PATIENCE_SECONDS = 600.0


async def of_router(stack: Stack) -> tuple[float, float]:
    """MB after the first tenth and after all of it."""
    await intake.clean(stack)
    sizes = []
    with stack.process("services.router") as router:
        for n in range(1, _ROUNDS + 1):
            await intake.publish(stack, TICKETS // _ROUNDS, prefix=f"round-{n}")
            await _until(stack, f"SELECT count(*) = {n * TICKETS // _ROUNDS} FROM assignment")
            sizes.append(_megabytes(router))
    return sizes[0], sizes[-1]


async def of_escalation(stack: Stack) -> tuple[float, float]:
    """MB after the first tenth and after all of it."""
    await fill.empty(stack.connection)
    sizes = []
    with stack.process("services.escalation") as escalation:
        for n in range(1, _ROUNDS + 1):
            now = await stack.connection.fetchval("SELECT deskclock_now()")
            await fill.running_clocks(
                stack.connection,
                first=n * TICKETS,
                count=TICKETS // _ROUNDS,
                due_from=now,
                within=timedelta(seconds=1),
                ladder="nobody",
            )
            await _until(stack, f"SELECT count(*) = {n * TICKETS // _ROUNDS} FROM clock WHERE state = 'breached'")
            sizes.append(_megabytes(escalation))
    return sizes[0], sizes[-1]


async def _until(stack: Stack, question: str) -> None:
    until = timesource.monotonic() + _PATIENCE_SECONDS
    while not await stack.connection.fetchval(question):
        if timesource.monotonic() > until:
            raise TimeoutError(question)
        await timesource.pause(0.2)


def _megabytes(process: Popen[bytes]) -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError("no VmRSS")
