"""The embedded servers: they start, answer, keep or forget, and leave nothing behind."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import nats
import pytest

from services.console import binaries, embedded
from services.console.binaries import EmbeddedError, Wanted
from services.console.embedded import Embedded

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".deskclock" / "cache"


@pytest.fixture
def private_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder below one that only we can enter."""
    tmp_path.chmod(0o700)
    (tmp_path / "checkout").mkdir()
    return tmp_path / "checkout"


async def _count_kept(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        await connection.execute("INSERT INTO kept VALUES (1)")
        count: int = await connection.fetchval("SELECT count(*) FROM kept")
        return count
    finally:
        await connection.close()


async def test_data_is_kept_where_asked_even_below_a_private_folder(private_folder: Path) -> None:
    """A second start finds the rows and the messages of the first."""
    for expected in (1, 2):
        with embedded.start(keep_in=private_folder / "data", cache=CACHE) as servers:
            assert expected == await _count_kept(servers.database_url)
            client = await nats.connect(servers.nats_url)
            context = client.jetstream()
            await context.add_stream(name="KEPT", subjects=["kept"])
            await context.publish("kept", b"")
            assert expected == (await context.stream_info("KEPT")).state.messages
            await client.close()


def test_temporary_servers_leave_nothing() -> None:
    """Their folder is gone after the context."""
    with embedded.start(cache=CACHE, durable=False) as servers:
        folder = _folder_of(servers)
        assert folder.exists()

    assert not folder.exists()


def test_the_database_has_no_port_and_a_private_socket(servers: Embedded) -> None:
    """Only the account itself can reach the socket, and its path is short enough for any system."""
    folder = _folder_of(servers)

    assert 0o700 == folder.stat().st_mode & 0o777
    assert len(str(folder / ".s.PGSQL.5432")) <= 103


async def test_the_database_stands_a_kill() -> None:
    """What was committed is there after a kill and a new start."""
    with embedded.start(cache=CACHE) as servers:
        await _count_kept(servers.database_url)

        servers.postgres.kill()
        servers.postgres.start()

        assert 2 == await _count_kept(servers.database_url)


async def test_nats_comes_back_at_the_same_address() -> None:
    """Clients find a restarted server where it was, with what it had stored."""
    with embedded.start(cache=CACHE) as servers:
        client = await nats.connect(servers.nats_url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"")
        await client.close()
        before = servers.nats_url

        servers.nats.kill()
        servers.nats.start()

        assert before == servers.nats_url
        client = await nats.connect(servers.nats_url)
        assert 1 == (await client.jetstream().stream_info("KEPT")).state.messages
        await client.close()


async def test_nats_refuses_strangers(servers: Embedded) -> None:
    """Without the token there is no connection."""
    host, _, port = servers.nats_url.rpartition("@")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"CONNECT {}\r\nPING\r\n")

    answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert b"-ERR 'Authorization Violation'" in answer


def test_production_is_refused() -> None:
    """Embedded servers are no place for customers' tickets."""
    with (
        pytest.raises(EmbeddedError, match="not for production: set DESKCLOCK_DATABASE_URL"),
        embedded.start(environment="production"),
    ):
        pass


def test_two_at_once_on_the_same_data_are_refused(private_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is told who is in the way."""
    monkeypatch.setattr(embedded, "LOCK_SECONDS", 0.0)
    with (
        embedded.start(keep_in=private_folder, cache=CACHE, durable=False),
        pytest.raises(EmbeddedError, match="is in use: end the other"),
        embedded.start(keep_in=private_folder),
    ):
        pass


def test_data_of_another_major_version_is_refused(private_folder: Path) -> None:
    """The text names both versions and the ways out."""
    (private_folder / "postgres").mkdir()
    (private_folder / "postgres" / "PG_VERSION").write_text("9\n")

    with pytest.raises(EmbeddedError, match="was made by PostgreSQL 9, and"), embedded.start(keep_in=private_folder):
        pass


def test_a_wrong_setting_is_named() -> None:
    """A folder without PostgreSQL, a file that is no nats-server."""
    with (
        pytest.raises(EmbeddedError, match="DESKCLOCK_POSTGRES_BIN=/nowhere holds no"),
        embedded.start(wanted=Wanted(postgres_bin="/nowhere")),
    ):
        pass
    with (
        pytest.raises(EmbeddedError, match="DESKCLOCK_NATS_SERVER=/nowhere can't be run"),
        embedded.start(wanted=Wanted(nats_server="/nowhere")),
    ):
        pass


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """Its own last words are in the one line we give."""
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\n[ $1 = --version ] && exit 0\necho 'nats-server: no more space'\nexit 1\n")
    program.chmod(0o755)
    for parent in (tmp_path, *[above for above in tmp_path.parents if above.name.startswith(("pytest-", "popen-"))]):
        parent.chmod(0o755)

    with (
        pytest.raises(EmbeddedError, match="nats-server did not start: nats-server: no more space"),
        embedded.start(cache=CACHE, durable=False, wanted=Wanted(nats_server=str(program))),
    ):
        pass


def test_the_wheels_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine has no PostgreSQL and no nats-server, those of the extra are used."""
    monkeypatch.setattr(binaries, "_postgres_folders", lambda: iter(()))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    with embedded.start(cache=CACHE, durable=False) as servers:
        assert servers.postgres.pid is not None
        assert servers.nats.pid is not None


def test_servers_end_when_we_are_killed(tmp_path: Path) -> None:
    """Neither processes nor files stay behind a process that could not clean up."""
    program = textwrap.dedent(f"""
        import json, time
        from pathlib import Path
        from services.console import embedded
        with embedded.start(cache=Path({str(CACHE)!r}), durable=False) as servers:
            print(json.dumps([servers.postgres.pid, servers.nats.pid, servers.database_url]), flush=True)
            input()
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        postgres, nats_server, url = json.loads(process.stdout.readline())
        # Handles that tell when a process has ended, whoever its parent is by then.
        ends = [os.pidfd_open(pid) for pid in (postgres, nats_server, _reaper_of(process.pid))]
        process.send_signal(signal.SIGKILL)

    for end in ends:
        _wait_until_readable(end)
        os.close(end)
    assert not Path(url.partition("host=")[2].replace("%2F", "/")).exists()


def _folder_of(servers: Embedded) -> Path:
    return Path(servers.database_url.partition("host=")[2].replace("%2F", "/"))


def _reaper_of(pid: int) -> int:
    """The shell among the children of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(
        int(child)
        for child in children
        if Path(f"/proc/{child}/comm").read_text().strip() in {"sh", "dash", "bash", "busybox"}
    )


def _wait_until_readable(descriptor: int) -> None:
    assert [descriptor] == select.select([descriptor], [], [], 20)[0], "the server still runs"
