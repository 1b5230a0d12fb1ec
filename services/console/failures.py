"""How a command fails: one line that says what is wrong and the way out, and an exit code that scripts can rely on."""

from enum import IntEnum

import asyncpg
import httpx

from services.console.binaries import EmbeddedError
from shared.postgres.migrate import MigrationError
from shared.runtime.settings import SettingsError


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    """It was tried and did not work."""
    USAGE = 2
    """The command line is wrong."""
    NO_SERVER = 3
    """PostgreSQL, NATS or a service does not answer."""
    REFUSED = 4
    """What was given is invalid, or the environment forbids it."""
    INTERRUPTED = 130
    """Ctrl-C."""


class Failure(Exception):
    """The command can't go on; the text is one line for a person."""

    code = Exit.FAILED


class NoServer(Failure):
    """Something that has to run does not answer."""

    code = Exit.NO_SERVER


class Refused(Failure):
    """What was given can't be accepted."""

    code = Exit.REFUSED


def explained(error: BaseException) -> tuple[str, Exit]:
    """The line and the exit code of whatever a command ended with."""
    match error:
        case Failure():
            return str(error), error.code
        case SettingsError():
            return str(error), Exit.REFUSED
        case EmbeddedError():
            return str(error), Exit.NO_SERVER
        case MigrationError():
            return str(error), Exit.FAILED
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedFunctionError() | asyncpg.UndefinedColumnError():
            return f"the database has no schema of this version ({error}): run `deskclock migrate`", Exit.FAILED
        case asyncpg.PostgresConnectionError() | asyncpg.InterfaceError() | asyncpg.OperatorInterventionError():
            return f"PostgreSQL went away: {error}; try again when it is back", Exit.NO_SERVER
        case httpx.TransportError():
            return f"{_url_of(error)} does not answer: {error or type(error).__name__}", Exit.NO_SERVER
        case OSError() if error.filename:
            return f"{error.filename}: {error.strerror}", Exit.FAILED
        case TimeoutError():
            return "a server did not answer in time; try again, or look at its log", Exit.NO_SERVER
        case _:
            return f"unexpected {type(error).__name__}: {error}; DESKCLOCK_DEBUG=1 shows where", Exit.FAILED


def _url_of(error: httpx.TransportError) -> str:
    try:
        return f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    except RuntimeError:
        return "the service"
