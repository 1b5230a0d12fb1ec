"""Which errors say that PostgreSQL can't answer now, though the question was right: whoever asked may ask again."""

import asyncpg

UNAVAILABLE: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    OSError,
    TimeoutError,
)
"""Lost connections, shut-downs, full servers, deadlocks and time-outs.

`InternalClientError` is what a driver says of a connection that was lost in the middle of a COPY.
"""

UNSTORABLE: tuple[type[Exception], ...] = (asyncpg.DataError, asyncpg.CharacterNotInRepertoireError)
"""A value that no column can hold, though it passed every check of ours."""
