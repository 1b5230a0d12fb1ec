"""`make bench`: one table; ratios are taken in one run on one machine, absolute figures are for orientation."""

import argparse
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tests.bench import firing, intake, memory, stack
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


async def _main(wanted: list[str], tickets: int, many: int) -> int:
    parts: dict[str, Callable[[Stack], Awaitable[list[Row]]]] = {
        "intake": lambda bench: _intake(bench, tickets),
        "firing": lambda bench: _firing(bench, many),
        "memory": _memory,
    }
    rows: list[Row] = []
    console = Console()
    with stack.servers() as servers:
        bench = await stack.open_stack(servers)
        for name in wanted or list(parts):
            with console.status(f"measuring {name}"):
                rows += await parts[name](bench)
        await bench.client.close()
    table = Table("what", "ours", "beside", "ratio", "wanted", "")
    for row in rows:
        table.add_row(row.what, row.ours, row.beside, f"{row.ratio:.2f}", row.wanted, "ok" if row.is_good else "MISSED")
    console.print(table)
    return 0 if all(row.is_good for row in rows) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="intake, firing, memory; all of them if none is named")
    parser.add_argument("--tickets", type=int, default=20_000, help="tickets of an intake run")
    parser.add_argument("--running", type=int, default=1_000_000, help="running clocks of the crowded firing run")
    given = parser.parse_args()
    raise SystemExit(uvloop.run(_main(given.parts, given.tickets, given.running)))
