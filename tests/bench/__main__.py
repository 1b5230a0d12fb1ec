"""`make bench`: one table; ratios are taken in one run on one machine, absolute figures are for orientation."""

import argparse
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tests.bench import (
    assigning,
    boston,
    calendars,
    evaluating,
    firing,
    intake,
    matching,
    memory,
    paging,
    rollout,
    stack,
)
from tests.bench.stack import Stack


class Row(Struct, frozen=True):
    """One line of the table."""

    what: str
    ours: str
    beside: str
    ratio: float
    wanted: str
    is_good: bool


async def _intake(bench: Stack, tickets: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        shape = Path(folder) / "template.json"
        one = await intake.product(bench, tickets)
        shape.write_text(await intake.template(bench))
        bare = await intake.floor(bench, tickets, shape)
        two = await intake.product(bench, tickets, routers=2)
        bare_two = await intake.floor(bench, tickets, shape, processes=2)
    return [
        _at_least("intake, one router", one, bare, 0.5),
        Row(
            what="intake, two routers beside two floors",
            ours=f"{two.per_second:,.0f}/s",
            beside=f"{bare_two.per_second:,.0f}/s bare",
            ratio=two.per_second / bare_two.per_second,
            wanted="measured",
            is_good=True,
        ),
        Row(
            what="intake, a second router beside the first",
            ours=f"{two.per_second:,.0f}/s",
            beside=f"{one.per_second:,.0f}/s",
            ratio=two.per_second / one.per_second,
            wanted="measured",
            is_good=True,
        ),
    ]


async def _assigning(bench: Stack) -> list[Row]:
    cost = await assigning.cost(bench)
    ratio = cost.ours / cost.bare
    return [
        Row(
            what=f"assignments, {assigning.TICKETS:,} tickets wait for {stack.AGENTS} agents",
            ours=f"{cost.ours:,.0f}/s",
            beside=f"{cost.bare:,.0f}/s bare",
            ratio=ratio,
            wanted=">= 0.5",
            is_good=ratio >= 0.5,
        )
    ]


def _at_least(what: str, ours: intake.Run, bare: intake.Run, wanted: float) -> Row:
    ratio = ours.per_second / bare.per_second
    return Row(
        what, f"{ours.per_second:,.0f}/s", f"{bare.per_second:,.0f}/s bare", ratio, f">= {wanted}", ratio >= wanted
    )


async def _firing(bench: Stack, many: int) -> list[Row]:
    few = await firing.cost_per_clock(bench, 10_000)
    crowded = await firing.cost_per_clock(bench, many)
    bare = await firing.lag_of_bare_claim(bench, many)
    ours = await firing.lag_of_product(bench, many)
    cost, lag = crowded / few, ours.p99 / bare.p99
    return [
        Row(
            f"firing, {many:,} running against 10,000",
            f"{crowded * 1e6:.0f} us a clock",
            f"{few * 1e6:.0f} us",
            cost,
            "<= 1.3",
            cost <= 1.3,
        ),
        Row(
            f"lag of 10,000 due in a second, p99 (p50 {ours.p50 * 1e3:.0f} ms)",
            f"{ours.p99 * 1e3:.0f} ms",
            f"{bare.p99 * 1e3:.0f} ms bare",
            lag,
            "<= 20",
            lag <= 20,
        ),
    ]


async def _memory(bench: Stack) -> list[Row]:
    rows = []
    for name, measure in (("router", memory.of_router), ("escalation", memory.of_escalation)):
        first, last = await measure(bench)
        ratio = last / first
        rows.append(
            Row(
                f"memory of {name}, 200,000 tickets against 20,000",
                f"{last:.0f} MB",
                f"{first:.0f} MB",
                ratio,
                "<= 1.15",
                ratio <= 1.15,
            )
        )
    return rows


def _calendars() -> list[Row]:
    cost = calendars.beside_bisect()
    short, ten, hundred = calendars.of_one_year(1, 10, 100)
    rows = []
    for name in ("add", "between"):
        ours, bare = getattr(cost, name), cost.bisect
        rows.append(
            Row(
                f"{name} in ten years with lunch and holidays, beside one bisect",
                f"{ours * 1e9:.0f} ns",
                f"{bare * 1e9:.0f} ns",
                ours / bare,
                "<= 8",
                ours <= 8 * bare,
            )
        )
        for years, cost_then in ((10, ten), (100, hundred)):
            later, first = getattr(cost_then, name), getattr(short, name)
            rows.append(
                Row(
                    f"{name}, the same questions to {years} years against one",
                    f"{later * 1e9:.0f} ns",
                    f"{first * 1e9:.0f} ns",
                    later / first,
                    "<= 1.5",
                    later <= 1.5 * first,
                )
            )
    return rows


def _fold() -> list[Row]:
    cost = evaluating.cost()
    fresh, long = cost.fresh / cost.decode, cost.long / cost.fresh
    return [
        Row(
            "evaluate a fresh ticket, four targets, beside a decode of it",
            f"{cost.fresh * 1e6:.0f} us",
            f"{cost.decode * 1e6:.1f} us",
            fresh,
            "<= 50",
            fresh <= 50,
        ),
        Row(
            "evaluate a ticket of 30 events beside a fresh one",
            f"{cost.long * 1e6:.0f} us",
            f"{cost.fresh * 1e6:.0f} us",
            long,
            "<= 10",
            long <= 10,
        ),
    ]


def _matching() -> list[Row]:
    cost = matching.cost()
    ratio, warm, growth = cost.few / cost.scipy, cost.few_warm / cost.scipy, cost.many / cost.few
    few, many, agents = f"{matching.FEW:,}", f"{matching.MANY:,}", f"{matching.AGENTS:,}"
    solved = f"{cost.scipy * 1e3:.1f} ms linear_sum_assignment"
    return [
        Row(
            f"matching run, {few} tickets of {cost.signatures} kinds against {agents} agents ({cost.given_few} given)",
            f"{cost.few * 1e3:.1f} ms",
            solved,
            ratio,
            "<= 3",
            ratio <= 3,
        ),
        Row(
            "the same with the roster known from the run before",
            f"{cost.few_warm * 1e3:.1f} ms",
            solved,
            warm,
            "measured",
            is_good=True,
        ),
        Row(
            f"{many} tickets against {agents} agents ({cost.given_many} given) beside {few}",
            f"{cost.many * 1e3:.1f} ms",
            f"{cost.few * 1e3:.1f} ms",
            growth,
            "<= 5",
            growth <= 5,
        ),
    ]


def _evaluate(many: int) -> list[Row]:
    few, crowd = evaluating.memory(evaluating.FEW), evaluating.memory(many)
    ratio = crowd.megabytes / few.megabytes
    return [
        Row(
            f"memory of `evaluate`, {many:,} tickets ({many / crowd.seconds:,.0f}/s) against {evaluating.FEW:,}",
            f"{crowd.megabytes:.0f} MB",
            f"{few.megabytes:.0f} MB",
            ratio,
            "<= 1.15",
            ratio <= 1.15,
        )
    ]


async def _rollout(bench: Stack, open_tickets: int) -> list[Row]:
    cost = await rollout.cost(bench, open_tickets)
    ratio = cost.beside_per_second / cost.alone_per_second
    return [
        Row(
            f"intake while a policy goes to {open_tickets:,} open tickets",
            f"{cost.beside_per_second:,.0f}/s",
            f"{cost.alone_per_second:,.0f}/s alone",
            ratio,
            ">= 0.5",
            ratio >= 0.5,
        ),
        Row(
            f"firing meanwhile, p99 (p50 {cost.lag_beside.p50 * 1e3:.0f} ms)",
            f"{cost.lag_beside.p99 * 1e3:.0f} ms",
            f"{cost.lag_alone.p99 * 1e3:.0f} ms alone",
            cost.lag_beside.p99 / cost.lag_alone.p99,
            "measured",
            is_good=True,
        ),
        Row(
            f"the policy, at {cost.tickets:,} tickets ({cost.clocks_moved:,} clocks moved)",
            f"{cost.seconds:.0f} s",
            f"{cost.tickets / cost.seconds:,.0f}/s",
            1.0,
            "measured",
            is_good=True,
        ),
    ]


async def _paging(bench: Stack) -> list[Row]:
    storm, busy, hanging = await paging.storm(bench), await paging.busy(bench), await paging.hanging(bench)
    rows = [
        (f"{paging.STORM} breaches in a second to one person, due to told, p99", storm.storm.p99, 10.0),
        ("another tenant's pages meanwhile, due to first attempt, p99", storm.other.p99, 2.0),
        (f"{paging.RUNNING:,} running, {paging.PER_SECOND} break a second, due to first attempt, p50", busy.p50, 0.15),
        ("the same, p99", busy.p99, 2.0),
        (f"a page by another channel while a provider hangs on {paging.HANGING}, p99", hanging.other_channel.p99, 2.0),
        ("a page by another account of the same channel meanwhile, p99", hanging.other_account.p99, 2.0),
    ]
    return [
        Row(
            what="pages that the one person got of the storm",
            ours=str(storm.sent),
            beside=f"{paging.STORM} breaches",
            ratio=float(storm.sent),
            wanted="<= 2",
            is_good=storm.sent <= 2,
        ),
        *(
            Row(what, f"{lag * 1e3:,.0f} ms", f"{most * 1e3:,.0f} ms asked", lag / most, "<= 1", lag <= most)
            for what, lag, most in rows
        ),
    ]


def _boston(file: Path | None) -> list[Row]:
    if file is None:
        left_out = "left out: give a CSV file of its requests with --requests or BENCH_REQUESTS"
        return [Row(f"a city's promises, {left_out}", "", "", float("nan"), "", is_good=True)]
    found = boston.agreement(file)
    rows = [
        ("a city's promises reproduced within 60 s", found.promises, 0.96),
        ("its verdicts where the promise is reproduced", found.verdicts_on_same_promise, 0.995),
        ("its verdicts, dates moved by hand told as events", found.verdicts_with_moves, 0.995),
        ("its verdicts, all closed requests", found.verdicts, 0.995),
    ]
    return [
        Row(what, str(share), "the city's", share.part, f">= {least}", share.part >= least)
        for what, share, least in rows
    ]


async def _main(given: argparse.Namespace) -> int:
    alone: dict[str, Callable[[], list[Row]]] = {
        "calendars": _calendars,
        "fold": _fold,
        "matching": _matching,
        "evaluate": lambda: _evaluate(given.evaluated),
        "boston": lambda: _boston(given.requests),
    }
    served: dict[str, Callable[[Stack], Awaitable[list[Row]]]] = {
        "intake": lambda bench: _intake(bench, given.tickets),
        "assigning": _assigning,
        "firing": lambda bench: _firing(bench, given.running),
        "rollout": lambda bench: _rollout(bench, given.open),
        "paging": _paging,
        "memory": _memory,
    }
    wanted = given.parts or [*alone, *served]
    rows: list[Row] = []
    console = Console()
    for name in wanted:
        if name in alone:
            with console.status(f"measuring {name}"):
                rows += alone[name]()
    if any(name in served for name in wanted):
        with stack.servers() as servers:
            bench = await stack.open_stack(servers)
            for name in wanted:
                if name in served:
                    with console.status(f"measuring {name}"):
                        rows += await served[name](bench)
            await bench.client.close()
    table = Table("what", "ours", "beside", "ratio", "wanted", "")
    for row in rows:
        table.add_row(row.what, row.ours, row.beside, f"{row.ratio:.2f}", row.wanted, "ok" if row.is_good else "MISSED")
    console.print(table)
    return 0 if all(row.is_good for row in rows) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        choices=[
            "calendars",
            "fold",
            "matching",
            "evaluate",
            "boston",
            "intake",
            "assigning",
            "firing",
            "rollout",
            "paging",
            "memory",
            [],
        ],
        metavar="PART",
        help="calendars, fold, matching, evaluate, boston, intake, assigning, firing, rollout, paging, memory; all of them if none is named",
    )
    parser.add_argument("--tickets", type=int, default=20_000, help="tickets of an intake run")
    parser.add_argument("--running", type=int, default=1_000_000, help="running clocks of the crowded firing run")
    parser.add_argument("--open", type=int, default=100_000, help="open tickets that get another policy")
    parser.add_argument("--evaluated", type=int, default=evaluating.MANY, help="tickets of the large `evaluate`")
    parser.add_argument(
        "--requests",
        type=Path,
        default=os.environ.get("BENCH_REQUESTS") or None,
        metavar="FILE",
        help="a city's requests as CSV, with TARGET_DT and OnTime_Status; also BENCH_REQUESTS",
    )
    raise SystemExit(uvloop.run(_main(parser.parse_args())))
