"""Connections to PostgreSQL, each with a timeout on every call and `jsonb` as raw JSON bytes."""

from typing import TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from shared.runtime.logs import Log

CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 30.0

SESSION = {
    "jit": "off",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "20s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}
"""So that a host of ours that froze or vanished gives its locks back within half a minute.

Nothing of ours idles in a transaction for so long: the sweep of the outbox, which publishes in one, ends after 10 s.
A Unix socket has no keepalives and ignores the last four.
"""

_CACHE = "statement_cache_size"
_STATEMENTS = 100
"""Prepared statements that a connection keeps, where the address doesn't say."""

_log = Log(__name__)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


async def open_pool(url: str, *, name: str, size: int = 8) -> Pool:
    """A pool of up to `size` connections; raises OSError or asyncpg.PostgresError where there is no server to talk to.

    PgBouncer refuses start-up parameters it doesn't know; then the role has to bring `SESSION` (ALTER ROLE ... SET).
    In transaction mode it needs `statement_cache_size=0` in the query of `url`.
    """
    names = {"application_name": name, "timezone": "UTC"}
    try:
        return await _open(url, size, {**names, **SESSION})
    except asyncpg.ProtocolViolationError as error:
        if "startup parameter" not in str(error):
            raise
        _log.warning(
            "session_settings_refused",
            "A connection pooler refuses our session settings: give them to the role, as the operations guide says",
            error=error,
        )
        return await _open(url, size, names)


async def _open(url: str, size: int, server_settings: dict[str, str]) -> Pool:
    address, cached = _split(url)
    return await asyncpg.create_pool(
        address,
        min_size=1,
        max_size=size,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS,
        server_settings=server_settings,
        statement_cache_size=cached,
        init=_set_up,
    )


def _split(url: str) -> tuple[str, int]:
    """The address without `statement_cache_size`, which asyncpg would send to the server, and its value."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    sizes = [int(value) for name, value in query if name == _CACHE]
    if not sizes:
        return url, _STATEMENTS
    kept = urlencode([(name, value) for name, value in query if name != _CACHE])
    return urlunsplit(parts._replace(query=kept)), sizes[-1]


async def _set_up(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=lambda raw: b"\x01" + raw, decoder=lambda sent: sent[1:]
    )
