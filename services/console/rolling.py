"""A rollout of a policy version on a terminal: worked on and watched until it is done."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from services.console.failures import Failure
from services.console.output import console, errors, moment, program, table
from services.router.metrics.rollout import RolloutMetrics
from services.router.store import rollouts as rollouts_store
from services.router.store.rollouts import Rollout, State
from services.router.versions.rollout import Did, RollingOut
from shared import timesource
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool

_ASK_SECONDS = 0.2


async def work(pool: Pool, rollout: Rollout, *, is_quiet: bool) -> Rollout:
    """Work on a tenant's rollouts, beside whoever else does, until this one has ended; says how far it is."""
    worker = RollingOut(pool, PolicyShelf(), RolloutMetrics(CollectorRegistry()), tenant=rollout.tenant)
    columns = TextColumn("version {task.fields[version]}"), BarColumn(), TaskProgressColumn()
    with Progress(
        *columns, TextColumn("{task.description}"), TimeRemainingColumn(), console=errors(), disable=is_quiet
    ) as bar:
        shown = bar.add_task("waiting for its turn", total=None, version=rollout.version)
        while rollout.is_running:
            did = await worker.step()
            if did is not Did.WORKED:
                await timesource.pause(_ASK_SECONDS)
            async with pool.acquire() as connection:
                found = await rollouts_store.load(connection, rollout.id)
            if found is None:
                raise Failure("the rollout is gone: somebody has emptied the database")
            rollout = found
            if rollout.total is not None:
                bar.update(
                    shown, total=rollout.total, completed=rollout.done + rollout.failed, description=told(rollout)
                )
    if rollout.state == State.STOPPED:
        raise Failure(
            f"the rollout has stopped: {rollout.failed} tickets failed, the log of the router (or of this command) names them"
        )
    return rollout


def how_to_go_on(tenant: str) -> str:
    """What Ctrl-C leaves behind."""
    of_tenant = "" if tenant == "default" else f" --tenant {tenant}"
    return (
        f"not all open tickets have the new version yet: a running router carries on by itself, "
        f"`{program()} policy rollout{of_tenant}` goes on here and shows how far it is"
    )


def told(rollout: Rollout) -> str:
    """How far it is, and what became of the clocks, in a line."""
    total = "?" if rollout.total is None else f"{rollout.total:,}"
    failed = f", {rollout.failed:,} failed" if rollout.failed else ""
    return (
        f"{rollout.done:,} of {total} tickets, {rollout.recomputed:,} judged anew{failed}; clocks: "
        f"{rollout.earlier + rollout.later:,} moved, {rollout.breached:,} late at once, "
        f"{rollout.started:,} started, {rollout.cancelled:,} cancelled"
    )


def tell(rollouts: Sequence[Rollout], tenant: str) -> None:
    """The rollouts of a tenant, as a table."""
    numbers = ("version", "tickets", "of", "anew", "failed", "earlier", "later", "late at once", "started", "cancelled")
    lines = table("applied", "for", "state", *numbers, right=numbers)
    for each in rollouts:
        lines.add_row(
            moment(each.at),
            "all open" if each.opened_from is None else f"opened from {moment(each.opened_from)}",
            each.state,
            *(
                "-" if number is None else f"{number:,}"
                for number in (
                    each.version, each.done, each.total, each.recomputed, each.failed, each.earlier, each.later,
                    each.breached, each.started, each.cancelled,
                )
            ),
        )  # fmt: skip
    console().print(lines if rollouts else f"tenant {tenant} has applied no version to open tickets")
