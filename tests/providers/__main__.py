"""`python -m tests.providers --port 0 --ledger FILE`: the providers as a process of their own; SIGTERM ends it."""

import argparse
import asyncio
import signal
from pathlib import Path

from tests.providers.ledger import Ledger
from tests.providers.server import FaultServer


async def _serve(port: int, ledger: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FaultServer(Ledger(ledger), port=port) as server:
        print(f"listening on {server.base}", flush=True)  # noqa: T201 - whoever started it reads where
        await stop.wait()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path, default=":memory:", help="a SQLite file; in memory without one")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.ledger))


if __name__ == "__main__":
    main()
