"""`deskclock demo`: the whole stack on temporary data, in two minutes.

It replays about a week of a real city's requests, and the four weeks after.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import click
import httpx
from msgspec import Struct
from rich.console import Console
from rich.live import Live

from services.console import reporting, stack, store
from services.console.domain import requests, staff
from services.console.domain.governor import Governor, Plan, plan
from services.console.domain.report import Report
from services.console.domain.requests import Request, UnreadableRequests
from services.console.domain.script import Script
from services.console.failures import Refused
from services.console.output import console, errors, interrupt, read_settings, write_json
from services.console.policies import apply_files, read_policy, read_roster
from services.console.replay import Replay
from services.console.session import Stack, nats_at
from services.console.settings import Settings
from services.console.views import board
from services.console.views import report as report_view
from services.escalation.settings import Settings as EscalationSettings
from services.escalation.tokens import Tokens
from shared import timesource
from shared.contract.access import Scope
from shared.ledger import keys
from shared.policy.document import Policy, Roster
from shared.postgres import time as database_time
from shared.postgres.pool import Pool

ZONE = ZoneInfo("America/New_York")
_EXAMPLE = Path("examples/boston")
_TENANT = "boston"
_FRAME_SECONDS = 0.25
_LINE_SECONDS = 5.0
_ACK_KEY = "links of the demo"
_HTTP_SECONDS = 30.0

DAYS, WEEKS_AFTER, SECONDS = 7.0, 4.0, 105.0
RATE = 12_000.0
FAST_DAYS, FAST_WEEKS_AFTER, FAST_SECONDS = 1.0, 2.0, 10.0


class _Example(Struct, frozen=True, kw_only=True):
    """What is replayed."""

    policy_file: Path
    policy: Policy
    roster_file: Path
    roster: Roster
    requests: list[Request]


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=3),
    metavar="N",
    help=f"Let the replay take this long at most. Default: {SECONDS:.0f}.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=1, max=100_000),
    metavar="N",
    help="Seconds of traffic in one, whatever our lag. Default: as many as the machine keeps up with.",
)
@click.option("--fast", is_flag=True, help="One day only, in some ten seconds.")
@click.option(
    "--example",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder with policy.yaml, roster.yaml and requests.csv.gz. Default: examples/boston.",
)
@click.option("--json", "as_json", is_flag=True, help="Report in JSON.")
def demo(seconds: float | None, rate: float | None, fast: bool, example: Path | None, as_json: bool) -> None:
    """Watch the stack work: about a week of a real city's requests, and the four weeks after.

    Starts PostgreSQL, NATS and both services on temporary data, replays Boston's 311 requests in virtual time with
    simulated agents, in under two minutes, and reports what was promised, kept and broken, beside the city's own
    verdict. Nothing is left behind.
    """
    if seconds is not None and rate is not None:
        raise click.UsageError("give --seconds or --rate, not both")
    settings = read_settings()
    if settings.is_production:
        raise Refused(
            "the demo moves the time and is not for production: unset DESKCLOCK_ENVIRONMENT, or set it to development"
        )
    if settings.database_url or settings.nats_url:
        raise Refused("the demo brings its own servers: unset DESKCLOCK_DATABASE_URL and DESKCLOCK_NATS_URL for it")
    signal.signal(signal.SIGTERM, interrupt)
    files = _read(example or _find_example())
    schedule = _plan(files, seconds=seconds, rate=rate, fast=fast)
    screen = errors() if as_json else console()
    with (
        TemporaryDirectory(prefix="deskclock-demo-") as folder,
        errors().status("starting PostgreSQL and NATS") as status,
        stack.servers(settings, keep_in=None, durable=False) as (database_url, nats_url),
    ):
        where = stack.addresses(settings, database_url, nats_url, ports=stack.free_ports(settings.http_host))
        status.update("starting the services")
        report = asyncio.run(_run(settings, where, files, schedule, screen, Path(folder), started=status.stop))
        status.update("stopping")
        status.start()
    if as_json:
        write_json(report)
    else:
        screen.print(report_view.draw(report, ZONE))


def _find_example() -> Path:
    for root in (Path.cwd(), Path(__file__).parents[3]):
        if (root / _EXAMPLE / "requests.csv.gz").exists():
            return root / _EXAMPLE
    raise Refused(f"{_EXAMPLE} is not here: run the demo in the checkout, or name the folder with --example")


def _read(folder: Path) -> _Example:
    policy_file, roster_file = folder / "policy.yaml", folder / "roster.yaml"
    try:
        found = requests.read(folder / "requests.csv.gz")
    except UnreadableRequests as error:
        raise Refused(str(error)) from None
    if not found:
        raise Refused(f"{folder / 'requests.csv.gz'} holds no requests")
    return _Example(
        policy_file=policy_file,
        policy=read_policy(policy_file),
        roster_file=roster_file,
        roster=read_roster(roster_file),
        requests=found,
    )


def _plan(files: _Example, *, seconds: float | None, rate: float | None, fast: bool) -> Plan:
    first = files.requests[0].opened_at.astimezone(ZONE)
    since = first.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    days, weeks_after, budget = DAYS, WEEKS_AFTER, SECONDS
    if fast:
        since += timedelta(hours=7)  # one day's work, without the night before it
        days, weeks_after, budget = FAST_DAYS, FAST_WEEKS_AFTER, FAST_SECONDS
    return plan(
        since,
        days=days,
        weeks_after=weeks_after,
        rate=rate or RATE,
        seconds=seconds or budget,
        is_fixed=rate is not None,
    )


async def _run(
    settings: Settings,
    where: Stack,
    files: _Example,
    schedule: Plan,
    screen: Console,
    folder: Path,
    started: Callable[[], None],
) -> Report:
    more = {"DESKCLOCK_ACK_KEY": _ACK_KEY, "DESKCLOCK_PUBLIC_URL": where.escalation_url}
    async with AsyncExitStack() as parts:
        pool = await parts.enter_async_context(stack.services(settings, where, folder, _silent, more))
        client = await parts.enter_async_context(nats_at(where.nats_url))
        async with pool.acquire() as connection:
            await database_time.warp(connection, to=schedule.since, rate=1.0)
        await apply_files(pool, _TENANT, files.policy_file, files.roster_file)
        async with pool.acquire() as connection:
            key = await keys.create(connection, _TENANT, [Scope.TICKETS_WRITE, Scope.AGENTS_WRITE], "the demo's own")
        headers = {"authorization": f"Bearer {key.key}"}
        router = await parts.enter_async_context(_http(where.router_url, headers))
        escalation = await parts.enter_async_context(_http(where.escalation_url, headers))
        replay = Replay(
            governor=Governor(schedule),
            script=_script(files, schedule),
            pool=pool,
            client=client,
            router=router,
            escalation=escalation,
            tokens=_tokens(where),
            tenant=_TENANT,
        )
        started()
        begun = timesource.monotonic()
        await _watch(pool, replay, screen)
        lasted = timesource.monotonic() - begun
        async with pool.acquire() as connection:
            return await reporting.compile_report(connection, replay, _TENANT, lasted)


def _http(url: str, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=_HTTP_SECONDS, trust_env=False)


def _silent(name: str, line: str) -> None:
    """The services' logs stay in their files; their last lines are told if one dies."""


def _script(files: _Example, schedule: Plan) -> Script:
    people = files.roster.people
    desk = [key for key, person in people.items() if person.channels]
    return Script(
        [request for request in files.requests if schedule.since <= request.opened_at < schedule.traffic_until],
        since=schedule.since,
        traffic_until=schedule.traffic_until,
        until=schedule.until,
        shifts=staff.rota(desk),
        crews=frozenset(key for key in people if key.startswith("crew-")),
        aliases=files.policy.aliases,
    )


def _tokens(where: Stack) -> Tokens:
    made = EscalationSettings(database_url=where.database_url, ack_key=_ACK_KEY)
    return Tokens(key=made.token_key, link_base=where.escalation_url)


async def _watch(pool: Pool, replay: Replay, screen: Console) -> None:
    """Run the replay with the board before somebody's eyes, or with a line now and then."""
    running = asyncio.create_task(replay.run())
    try:
        async with AsyncExitStack() as parts:
            connection = await parts.enter_async_context(pool.acquire())
            live = None
            if screen.is_terminal:
                live = parts.enter_context(Live(console=screen, screen=True, auto_refresh=False))
            while not running.done():
                snapshot = await store.load_snapshot(connection, _TENANT)
                if live is None:
                    screen.print(f"{replay.progress:4.0%}  {board.line(snapshot, ZONE)}", soft_wrap=True)
                else:
                    size = {"height": screen.height, "width": screen.width}
                    note = _note(replay, snapshot.now)
                    live.update(
                        board.draw(snapshot, title="Deskclock", zone=ZONE, progress=replay.progress, note=note, **size),
                        refresh=True,
                    )
                await asyncio.wait([running], timeout=_LINE_SECONDS if live is None else _FRAME_SECONDS)
    finally:
        running.cancel()
        await asyncio.wait([running])
    running.result()


def _note(replay: Replay, now: datetime) -> str:
    if now >= replay.governor.plan.until:
        return "settling"
    return "the weeks after: closings and deadlines" if replay.governor.is_late else "Boston 311, as it came in"
