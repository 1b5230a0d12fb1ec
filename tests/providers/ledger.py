"""What the providers got, in SQLite: in memory, or in a file that outlives whoever is killed and that others may read meanwhile."""

import sqlite3
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.providers.wire import Effect, Request

_SCHEMA = """
CREATE TABLE IF NOT EXISTS request (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, provider TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    headers TEXT NOT NULL, body TEXT NOT NULL, status INTEGER, problem TEXT NOT NULL, fault TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS effect (
    number INTEGER PRIMARY KEY, request INTEGER NOT NULL, at REAL NOT NULL, provider TEXT NOT NULL, account TEXT NOT NULL,
    key TEXT NOT NULL, verb TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS effect_by_key ON effect (provider, key);
"""


class Seen(Struct, frozen=True, kw_only=True):
    """One request; `status` is None where it was never answered."""

    number: int
    at: float
    provider: str
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int | None
    problem: str
    fault: str


class Item(Struct, frozen=True, kw_only=True):
    """What a provider has under one key."""

    provider: str
    account: str
    key: str
    is_open: bool
    """Nothing has resolved it since."""
    opened: int
    """How often people were notified of it: more than once is a duplicate."""
    joined: int
    resolved: int
    first_at: float


class Ledger:
    """Kept by the provider process; a second one over the same file may read it."""

    def __init__(self, file: Path | str = ":memory:") -> None:
        self._database = sqlite3.connect(file, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_SCHEMA)

    def write(
        self, request: Request, at: float, *, status: int | None, problem: str, fault: str, effects: tuple[Effect, ...]
    ) -> int:
        """Keep a request and what it did, in one transaction."""
        self._database.execute("BEGIN IMMEDIATE")
        path = f"{request.path}?{request.query}" if request.query else request.path
        number = self._database.execute(
            "INSERT INTO request (at, provider, method, path, headers, body, status, problem, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                at, request.provider, request.method, path, msgspec.json.encode(request.headers).decode(),
                request.body.decode("utf-8", "replace"), status, problem, fault,
            ),
        ).lastrowid  # fmt: skip
        self._database.executemany(
            "INSERT INTO effect (request, at, provider, account, key, verb) VALUES (?, ?, ?, ?, ?, ?)",
            [(number, at, request.provider, one.account, one.key, one.verb) for one in effects],
        )
        self._database.execute("COMMIT")
        assert number is not None
        return number

    def is_open(self, provider: str, key: str) -> bool:
        """Whether the provider has it open."""
        row = self._database.execute(
            "SELECT verb FROM effect WHERE provider = ? AND key = ? AND verb <> 'ignored' ORDER BY number DESC LIMIT 1",
            (provider, key),
        ).fetchone()
        return row is not None and row[0] != "resolved"

    def count(self, provider: str) -> int:
        """How many requests it got."""
        return int(self._database.execute("SELECT count(*) FROM request WHERE provider = ?", (provider,)).fetchone()[0])

    def requests(self, provider: str | None = None) -> list[Seen]:
        """All requests in their order."""
        rows = self._database.execute(
            "SELECT number, at, provider, method, path, headers, body, status, problem, fault FROM request "
            "WHERE ?1 IS NULL OR provider = ?1 ORDER BY number",
            (provider,),
        )
        return [
            Seen(
                number=number, at=at, provider=name, method=method, path=path, headers=msgspec.json.decode(headers),
                body=body, status=status, problem=problem, fault=fault,
            )
            for number, at, name, method, path, headers, body, status, problem, fault in rows
        ]  # fmt: skip

    def items(self, provider: str | None = None) -> list[Item]:
        """All that providers have, in the order of its coming."""
        rows = self._database.execute(
            """
            SELECT provider, key, account, opened, joined, resolved, first_at,
                (SELECT verb FROM effect WHERE effect.number = item.last) <> 'resolved'
            FROM (
                SELECT provider, key, max(account) AS account, sum(verb = 'opened') AS opened, sum(verb = 'joined') AS joined,
                    sum(verb = 'resolved') AS resolved, min(at) AS first_at, min(number) AS first, max(number) AS last
                FROM effect WHERE verb <> 'ignored' AND (?1 IS NULL OR provider = ?1)
                GROUP BY provider, key
            ) AS item
            ORDER BY first
            """,
            (provider,),
        )
        return [
            Item(
                provider=name, account=account, key=key, opened=opened, joined=joined, resolved=resolved, first_at=first_at,
                is_open=bool(is_open),
            )
            for name, key, account, opened, joined, resolved, first_at, is_open in rows
        ]  # fmt: skip

    def item(self, provider: str, key: object) -> Item | None:
        """What a provider has under a key."""
        return next((item for item in self.items(provider) if item.key == str(key)), None)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
