"""Which errors say that PostgreSQL can't answer now, though the question was right: whoever asked may ask again."""

import asyncpg

UNAVAILABLE: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    OSError,
    TimeoutError,
)
"""Lost connections, shut-downs, full servers, deadlocks and time-outs."""

UNSTORABLE: tuple[type[Exception], ...] = (asyncpg.DataError, asyncpg.CharacterNotInRepertoireError)
"""A value that no column can hold, though it passed every check of ours."""
