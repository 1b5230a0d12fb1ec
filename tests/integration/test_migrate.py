"""The migration runner on a real database."""

import pytest

from shared.postgres import migrate
from shared.postgres.pool import Pool


async def test_a_migrated_database_needs_nothing(pool: Pool) -> None:
    """A second run applies nothing."""
    async with pool.acquire() as connection:
        assert [] == await migrate.migrate(connection)


async def test_every_migration_is_on_record(pool: Pool) -> None:
    """Version and checksum of each file are kept."""
    expected = {migration.version: migration.checksum for migration in migrate.available()}

    rows = await pool.fetch("SELECT version, checksum FROM schema_migrations")

    assert expected == {row["version"]: row["checksum"] for row in rows}


async def test_a_changed_file_is_refused(pool: Pool) -> None:
    """A file that was edited after it was applied stops the runner, by name."""
    await pool.execute("UPDATE schema_migrations SET checksum = 'other'")

    async with pool.acquire() as connection:
        with pytest.raises(migrate.MigrationError, match="0001_initial was changed after it was applied"):
            await migrate.migrate(connection)


async def test_a_newer_database_is_refused(pool: Pool) -> None:
    """A database that knows a migration this program lacks belongs to a newer program."""
    await pool.execute("INSERT INTO schema_migrations (version, checksum) VALUES ('9999', '')")

    async with pool.acquire() as connection:
        with pytest.raises(migrate.MigrationError, match=r"newer than this program \(it knows 9999\)"):
            await migrate.migrate(connection)


async def test_a_broken_migration_is_rolled_back_and_named(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a failed file stays."""
    broken = migrate.Migration("9998", "broken", "CREATE TABLE half_done (); SELECT 1/0")
    known = migrate.available()
    monkeypatch.setattr(migrate, "available", lambda: [*known, broken])

    async with pool.acquire() as connection:
        with pytest.raises(migrate.MigrationError, match="9998_broken failed: division by zero"):
            await migrate.migrate(connection)

    assert await pool.fetchval("SELECT to_regclass('half_done') IS NULL")


async def test_the_lock_is_given_back(pool: Pool) -> None:
    """Another connection can migrate right after."""
    async with pool.acquire() as one, pool.acquire() as other:
        await migrate.migrate(one)

        assert [] == await migrate.migrate(other)


async def test_a_runner_waits_for_another(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another holds the lock, the runner gives up after its polls and says so."""
    monkeypatch.setattr(migrate, "_POLLS", 2)
    async with pool.acquire() as holder, pool.acquire() as waiting:
        await holder.fetchval("SELECT pg_advisory_lock($1)", 0x4465736B)

        with pytest.raises(migrate.MigrationError, match="another migration has held the lock"):
            await migrate.migrate(waiting)

        await holder.fetchval("SELECT pg_advisory_unlock($1)", 0x4465736B)
