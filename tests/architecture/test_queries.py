"""Every query that is shipped is one the migrated database accepts, and one that somebody uses."""

import re
from pathlib import Path

import pytest

from shared.postgres import queries
from shared.postgres.pool import Pool

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(
    {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("services", "shared")
        for path in (ROOT / top).rglob("*.sql")
        if path.parent.name != "migrations"
    }
)
QUERIES = [(package, name, text) for package in PACKAGES for name, text in queries.load(package).items()]


def test_there_are_queries() -> None:
    """The list these tests run over is not empty by mistake."""
    assert len(QUERIES) > 20


async def test_the_database_accepts_every_query(pool: Pool) -> None:
    """Each is prepared on a migrated database; all that fail are named."""
    refused = {}
    async with pool.acquire() as connection:
        for package, name, text in QUERIES:
            try:
                await connection.prepare(text)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a query is reported with its name
                refused[f"{package}: {name}"] = str(error)

    assert {} == refused


@pytest.mark.parametrize(
    ("package", "name", "text"), QUERIES, ids=[f"{package}:{name}" for package, name, _ in QUERIES]
)
def test_a_query_says_what_it_is_for(package: str, name: str, text: str) -> None:
    """Its first line is a comment."""
    assert text.startswith("-- ")


def test_every_query_is_used() -> None:
    """A name that no code mentions is dead."""
    code = "\n".join(path.read_text() for top in ("services", "shared") for path in (ROOT / top).rglob("*.py"))
    mentioned = set(re.findall(r"""["'](\w+)["']""", code))

    assert [] == [f"{package}: {name}" for package, name, _ in QUERIES if name not in mentioned]


def test_statements_stand_in_their_files() -> None:
    """Only the infrastructure of `shared/postgres` holds SQL in Python."""
    statement = re.compile(r'"\s*(?:SELECT\s[^"]+\sFROM|INSERT INTO|UPDATE\s+\w+\s+SET|DELETE FROM)\s', re.ASCII)
    found = [
        str(path.relative_to(ROOT))
        for top in ("services", "shared")
        for path in (ROOT / top).rglob("*.py")
        if statement.search(path.read_text()) and path.parent != ROOT / "shared" / "postgres"
    ]

    assert [] == found
