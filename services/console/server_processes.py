"""PostgreSQL and nats-server as child processes: started, waited for, stopped, and told where their data is."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from services.console import binaries
from services.console.binaries import Account, EmbeddedError, Programs

START_SECONDS = 60.0
STOP_SECONDS = 20.0
DATABASE = "deskclock"
SOCKET = ".s.PGSQL.5432"
_STATUS_LINE = 7  # of postmaster.pid, counted from 0


class _Server:
    """One child process: started, waited for, stopped."""

    name = ""
    stop_signal = signal.SIGTERM

    def __init__(self, account: Account | None, folder: Path, data: Path, reaper: IO[str]) -> None:
        self._account = account
        self._folder = folder
        self._reaper = reaper
        self._log = folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._data = data
        self._data_fd: int | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process, or None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Launch and wait until it answers."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the process without waiting for it."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether the process says that it takes connections."""
        raise NotImplementedError

    def wait_ready(self) -> None:
        """Wait until it takes connections; raises EmbeddedError with its own last words where it ends or takes too long."""
        until = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self._process is None or not _still_runs(self._process, 0.01):
                raise EmbeddedError(f"{self.name} did not start: {self._last_words()}")
            if time.monotonic() > until:
                raise EmbeddedError(f"{self.name} did not get ready within {START_SECONDS:.0f} s: {self._last_words()}")

    def stop(self) -> None:
        """End it in good order, by force after a while."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop it and let go of its data."""
        self.stop()
        if self._data_fd is not None:
            os.close(self._data_fd)
            self._data_fd = None

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
        if _still_runs(process, STOP_SECONDS):
            process.kill()
            process.wait()

    def _own_data(self) -> None:
        """Make the data folder, the account's own."""
        self._data.mkdir(mode=0o700, exist_ok=True)
        if self._account is not None:
            _give(self._data, self._account)
            self._data_fd = os.open(self._data, os.O_RDONLY | os.O_DIRECTORY)

    @property
    def _data_path(self) -> str:
        """The data folder as the child sees it: through a descriptor where a parent may be closed to its account."""
        return str(self._data.resolve()) if self._data_fd is None else f"/proc/self/fd/{self._data_fd}"

    def _options(self) -> dict[str, Any]:
        return {
            "cwd": "/",
            "env": {name: value for name, value in os.environ.items() if not name.startswith("PG")}
            | {"LC_ALL": "C", "TZ": "UTC"},
            "pass_fds": () if self._data_fd is None else (self._data_fd,),
            **binaries.as_account(self._account),
        }

    def _spawn(self, *command: str | Path) -> None:
        with self._log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._options()
                )
            except OSError as error:
                raise EmbeddedError(f"{self.name} did not start: {error}") from error
        self._reaper.write(f"{self._process.pid}\n")
        self._reaper.flush()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        loud = [line for line in lines if "FATAL" in line or "[FTL]" in line or "nats-server:" in line]
        return (loud or lines or ["it said nothing"])[-1]


class Postgres(_Server):
    """PostgreSQL on a unix socket."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions, keeps data whole

    def __init__(
        self,
        programs: Programs,
        account: Account | None,
        folder: Path,
        data: Path,
        durable: bool,
        max_connections: int,
        reaper: IO[str],
    ) -> None:
        super().__init__(account, folder, data, reaper)
        self._programs = programs
        self._durable = durable
        self._max_connections = max_connections

    def url(self, database: str) -> str:
        """Of a database on this server."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._folder), safe='')}"

    def prepare(self, cache: Path | None) -> None:
        """Make the cluster where there is none yet, from the cache where that has one."""
        if (self._data / "PG_VERSION").exists():
            self._check_version()
            self._own_data()
            return
        final, self._data = self._data, self._data.with_name("postgres.new")
        shutil.rmtree(self._data, ignore_errors=True)
        self._own_data()
        template = cache / f"postgres-{self._programs.postgres_version}-{os.getuid()}" if cache else None
        if template is None or not (template / "PG_VERSION").exists():
            self._initialise()
            if template is not None:
                with suppress(OSError):
                    _copy_at_once(self._data, template)
        else:
            shutil.copytree(template, self._data, dirs_exist_ok=True)
            if self._account is not None:
                _give(self._data, self._account)
        if self._durable:
            self._run([self._programs.initdb, "--sync-only", "-D", self._data_path])
        self._data = self._data.rename(final)

    def _check_version(self) -> None:
        made_by = (self._data / "PG_VERSION").read_text().strip()
        found = self._programs.postgres_version.split(".")[0]
        if made_by != found:
            raise EmbeddedError(
                f"the data in {self._data} was made by PostgreSQL {made_by}, and {found} was found: "
                "set DESKCLOCK_POSTGRES_BIN to the old programs, or remove the folder to start anew"
            )

    def launch(self) -> None:
        """Start the process without waiting for it."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._folder),
            "unix_socket_permissions": "0700",
            "max_connections": str(self._max_connections),
            "shared_buffers": "128MB",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "max_parallel_workers_per_gather": "0",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._spawn(self._programs.postgres, "-D", self._data_path, *options)

    def is_ready(self) -> bool:
        """Whether the process says that it takes connections."""
        with suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            return len(lines) > _STATUS_LINE and lines[0] == str(self.pid) and lines[_STATUS_LINE].strip() == "ready"
        return False

    def _initialise(self) -> None:
        how = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync")
        self._run([self._programs.initdb, "-D", self._data_path, *how])
        self._run(
            [self._programs.postgres, "--single", "-D", self._data_path, "postgres"],
            said=f"CREATE DATABASE {DATABASE};\n",
        )

    def _run(self, command: list[str | Path], said: str = "") -> None:
        done = subprocess.run(command, input=said, capture_output=True, text=True, check=False, **self._options())
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            raise EmbeddedError(f"the database in {self._data} can't be made: {words[0]}")


class Nats(_Server):
    """nats-server with JetStream on a loopback port."""

    name = "nats-server"

    def __init__(
        self, programs: Programs, account: Account | None, folder: Path, data: Path, durable: bool, reaper: IO[str]
    ) -> None:
        super().__init__(account, folder, data, reaper)
        self._program = programs.nats_server
        self._durable = durable
        self._token = secrets.token_hex(16)
        self._port = -1
        self._ports = folder / "ports"

    @property
    def url(self) -> str:
        """With the token; the port stays over a restart."""
        return f"nats://{self._token}@127.0.0.1:{self._port}"

    def launch(self) -> None:
        """Start the process without waiting for it."""
        if self._data_fd is None:
            self._own_data()
        self._ports.mkdir(exist_ok=True)
        config = self._folder / "nats.conf"
        config.touch(mode=0o600)
        config.write_text(
            f"""
            listen: "127.0.0.1:{self._port}"
            ports_file_dir: {json.dumps(str(self._ports))}
            authorization {{ token: "{self._token}" }}
            jetstream {{
              store_dir: {json.dumps(self._data_path)}
              sync_interval: {"always" if self._durable else "2m"}
            }}
            """
        )
        if self._account is not None:
            _give(self._ports, self._account)
            _give(config, self._account)
        self._spawn(self._program, "-c", config)

    def is_ready(self) -> bool:
        """Whether the process has said on which port it listens."""
        if self.pid is None:
            return False
        with suppress(OSError, ValueError, LookupError):  # the file can be seen half-written
            addresses = json.loads((self._ports / f"{self._program.name}_{self.pid}.ports").read_text())["nats"]
            self._port = int(addresses[0].rpartition(":")[2])
            return True
        return False


def _give(path: Path, account: Account) -> None:
    os.chown(path, account.uid, account.gid)
    for parent, folders, files in os.walk(path):
        for name in folders + files:
            os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)


def _copy_at_once(source: Path, target: Path) -> None:
    """A copy that is either whole or not there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as workspace:
        shutil.copytree(source, Path(workspace, "copy"), symlinks=True)
        Path(workspace, "copy").rename(target)


def _still_runs(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it has not ended within `seconds`."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False
