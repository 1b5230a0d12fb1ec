"""`make bench`: one table, ratios taken in one run on one machine."""

import argparse
import asyncio
import tempfile
from pathlib import Path

import uvloop

from tests.bench import intake, stack


async def _main(tickets: int) -> None:
    with stack.servers() as servers, tempfile.TemporaryDirectory() as folder:
        bench = await stack.open_stack(servers)
        template = Path(folder) / "template.json"
        one = await intake.product(bench, tickets)
        await intake.save_template(bench, template)
        bare = await intake.floor(bench, tickets, template)
        two = await intake.product(bench, tickets, routers=2)
        print(one, bare, two, one.per_second / bare.per_second)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tickets", type=int, default=20_000)
    uvloop.run(_main(parser.parse_args().tickets))
