"""Forward-only migrations: plain files `NNNN_slug.sql`, in the form that dbmate reads too, each applied once.

One runner at a time: the advisory lock is polled, because a blocking one deadlocks with CREATE INDEX CONCURRENTLY.
"""

import hashlib
from importlib import resources
from typing import NamedTuple

import asyncpg

from shared import timesource
from shared.postgres.pool import Connection

_LOCK = 0x4465736B  # "Desk"
_MARK = "-- migrate:up"
_POLL_SECONDS = 0.1
_POLLS = 600


class Migration(NamedTuple):
    """One file."""

    version: str
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, so that an edited file is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class MigrationError(RuntimeError):
    """The database can't be brought to this program's schema; the text says what to do."""


def available() -> list[Migration]:
    """The migrations this program ships, in order."""
    found = []
    for file in resources.files("shared.migrations").iterdir():
        if file.name.endswith(".sql"):
            version, _, slug = file.name.removesuffix(".sql").partition("_")
            text = file.read_text(encoding="utf-8")
            found.append(Migration(version, slug, text.partition(_MARK)[2]))
    return sorted(found)


async def migrate(connection: Connection) -> list[Migration]:
    """Apply what is missing, each in a transaction of its own; returns what was applied."""
    for _ in range(_POLLS):
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            break
        await timesource.pause(_POLL_SECONDS)
    else:
        raise MigrationError("another migration has held the lock for a minute: wait for it, or end its connection")
    try:
        return await _apply_missing(connection)
    finally:
        await connection.fetchval("SELECT pg_advisory_unlock($1)", _LOCK)


async def require_current(connection: Connection) -> None:
    """Raises MigrationError where the database doesn't have every migration that this program ships."""
    try:
        applied = {row["version"] for row in await connection.fetch("SELECT version FROM schema_migrations")}
    except asyncpg.UndefinedTableError:
        raise MigrationError("the database has no tables of ours yet: run `deskclock migrate`") from None
    missing = [migration.version for migration in available() if migration.version not in applied]
    if missing:
        raise MigrationError(f"the database lacks migration {', '.join(missing)}: run `deskclock migrate`")


async def _apply_missing(connection: Connection) -> list[Migration]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version text PRIMARY KEY, checksum text,"
        " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
    done = {
        row["version"]: row["checksum"]
        for row in await connection.fetch("SELECT version, checksum FROM schema_migrations")
    }
    applied = []
    for migration in available():
        if migration.version in done:
            if done[migration.version] != migration.checksum:
                raise MigrationError(
                    f"migration {migration.version}_{migration.name} was changed after it was applied here: "
                    "put the file back and write a new migration"
                )
            continue
        async with connection.transaction():
            try:
                await connection.execute(migration.sql)
            except asyncpg.PostgresError as error:
                raise MigrationError(f"migration {migration.version}_{migration.name} failed: {error}") from error
            await connection.execute(
                "INSERT INTO schema_migrations (version, checksum) VALUES ($1, $2)",
                migration.version,
                migration.checksum,
            )
        applied.append(migration)
    unknown = done.keys() - {migration.version for migration in available()}
    if unknown:
        raise MigrationError(f"the database is newer than this program (it knows {max(unknown)}): upgrade the program")
    return applied
