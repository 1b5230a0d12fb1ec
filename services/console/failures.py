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
    text = str(error)
    match error:
        case Failure():
            code = error.code
        case SettingsError():
            code = Exit.REFUSED
        case EmbeddedError():
            code = Exit.NO_SERVER
        case MigrationError():
            code = Exit.FAILED
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedFunctionError() | asyncpg.UndefinedColumnError():
            code, text = Exit.FAILED, f"the database has no schema of this version ({text}): run `deskclock migrate`"
        case asyncpg.PostgresConnectionError() | asyncpg.InterfaceError() | asyncpg.OperatorInterventionError():
            code, text = Exit.NO_SERVER, f"PostgreSQL went away: {text}; try again when it is back"
        case httpx.TransportError():
            code, text = Exit.NO_SERVER, f"{_url_of(error)} does not answer: {text or type(error).__name__}"
        case OSError() if error.filename:
            code, text = Exit.FAILED, f"{error.filename}: {error.strerror}"
        case TimeoutError():
            code, text = Exit.NO_SERVER, "a server did not answer in time; try again, or look at its log"
        case _:
            code, text = Exit.FAILED, f"unexpected {type(error).__name__}: {text}; DESKCLOCK_DEBUG=1 shows where"
    return text, code


def _url_of(error: httpx.TransportError) -> str:
    try:
        return f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    except RuntimeError:
        return "the service"
