"""PostgreSQL and nats-server as child processes, for `up`, `demo` and the tests; never for production.

PostgreSQL listens on a unix socket in a private folder only, nats-server on a random loopback port behind a token.
Everything lives in one temporary folder, except data that is to be kept. A shell that reads a pipe from us stops the
servers and removes the folder should we die without doing so ourselves.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from services.console import binaries
from services.console.binaries import Account, EmbeddedError, Wanted
from services.console.server_processes import DATABASE, SOCKET, Nats, Postgres

LOCK_SECONDS = 5.0  # servers of a process that was killed need a moment to end
_LONGEST_SOCKET = 103  # of `sun_path`, the shortest limit of all systems
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mkdtemp makes it private
_NOBODY = Account(uid=65534, gid=65534)
_REAPER = """
trap '' HUP INT TERM
while read -r pid; do pids="$pids $pid"; done
for pid in $pids; do kill -INT "$pid"; done
for pid in $pids; do
  n=0
  while [ "$n" -lt 100 ] && kill -0 "$pid"; do sleep 0.1; n=$((n + 1)); done
done
rm -rf -- "$1"
"""


@contextmanager
def start(
    *,
    keep_in: Path | None = None,
    cache: Path | None = None,
    durable: bool = True,
    environment: str = "development",
    wanted: Wanted | None = None,
    max_connections: int = 100,
) -> "Iterator[Embedded]":
    """Both servers, running for as long as the context lasts.

    Data is temporary, or kept in the folder `keep_in`. `cache` is a folder for an initialised cluster, which makes the
    next start quick. `durable=False` gives up surviving a power cut, for tests that are not about it.
    Raises EmbeddedError.
    """
    if environment == "production":
        raise EmbeddedError(
            "embedded servers are not for production: set DESKCLOCK_DATABASE_URL and DESKCLOCK_NATS_URL to servers of your own"
        )
    with ExitStack() as stack:
        account = _account()
        folder = stack.enter_context(_temporary_folder(account))
        data = folder / "data" if keep_in is None else keep_in
        lock = stack.enter_context(_locked(data))
        reaper = stack.enter_context(_reaper(folder, lock))
        programs = binaries.find(wanted or Wanted(), account, folder / "programs")
        postgres = Postgres(programs, account, folder, data / "postgres", durable, max_connections, reaper)
        nats = Nats(programs, account, folder, data / "nats", durable, reaper)
        stack.callback(postgres.close)
        stack.callback(nats.close)
        postgres.prepare(cache)
        postgres.launch()
        nats.launch()
        postgres.wait_ready()
        nats.wait_ready()
        yield Embedded(postgres, nats)


class Embedded:
    """Two running servers and where they are."""

    def __init__(self, postgres: Postgres, nats: Nats) -> None:
        self.postgres = postgres
        self.nats = nats

    @property
    def database_url(self) -> str:
        """Of the database `deskclock`, which is empty when new."""
        return self.postgres.url(DATABASE)

    @property
    def nats_url(self) -> str:
        """With the token that the server asks for."""
        return self.nats.url


def _account() -> Account | None:
    """Whom the servers run as: ourselves, or nobody where we are root."""
    return _NOBODY if os.geteuid() == 0 else None


@contextmanager
def _temporary_folder(account: Account | None) -> Iterator[Path]:
    """A private folder with a path short enough for a socket."""
    for parent in (tempfile.gettempdir(), *_TEMPORARY):
        if len(parent) + len("/deskclock-12345678/") + len(SOCKET) <= _LONGEST_SOCKET and os.access(
            parent, os.W_OK | os.X_OK
        ):
            break
    else:
        raise EmbeddedError("no folder for temporary files with a path short enough for a socket: set TMPDIR to one")
    folder = Path(tempfile.mkdtemp(prefix="deskclock-", dir=parent))
    try:
        (folder / "programs").mkdir()
        if account is not None:
            os.chown(folder, account.uid, account.gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _reaper(folder: Path, lock: int) -> Iterator[IO[str]]:
    """The pipe to a shell that cleans up when we end without having done so; it wants the process ids of the servers.

    It holds the lock of the data too, so that nobody starts on it before the servers have ended.
    """
    shell = subprocess.Popen(
        ["/bin/sh", "-c", _REAPER, "reaper", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        text=True,
        start_new_session=True,
        pass_fds=(lock,),
    )
    with shell:
        try:
            yield cast("IO[str]", shell.stdin)
        finally:
            shell.kill()


@contextmanager
def _locked(data: Path) -> Iterator[int]:
    """Nobody else uses this data meanwhile; gives the descriptor that holds the lock."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        raise EmbeddedError(
            f"{error.filename} belongs to another account: run as that account, or remove {data}"
        ) from None
    try:
        until = time.monotonic() + LOCK_SECONDS
        while not _lock(lock):
            if time.monotonic() > until:
                raise EmbeddedError(f"{data} is in use: end the other `deskclock up` first")
            time.sleep(0.05)
        yield lock
    finally:
        os.close(lock)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
