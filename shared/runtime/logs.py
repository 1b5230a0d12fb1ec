"""Logs on stderr: one JSON object a line for machines, or short text for people.

Every line has a stable `event` name to search for, a sentence for humans, and fields. Never a customer's text or a secret.
"""

import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "event", "color_message"}
"""What is no field of ours; `color_message` is uvicorn's, its sentence again with escape codes."""
_encoder = msgspec.json.Encoder(enc_hook=str)


class Format(StrEnum):
    """How lines look; `auto` is text at a terminal and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class Log:
    """Says events: `log.info("loop_started", "Loop firing has started", loop="firing")`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, sentence: str, **fields: object) -> None:
        """For whoever looks closely."""
        self._say(logging.DEBUG, event, sentence, fields)

    def info(self, event: str, sentence: str, **fields: object) -> None:
        """Something an operator may want to know."""
        self._say(logging.INFO, event, sentence, fields)

    def warning(self, event: str, sentence: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Something went wrong that mends itself."""
        self._say(logging.WARNING, event, sentence, fields if error is None else {**fields, "error": describe(error)})

    def error(self, event: str, sentence: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Something a person has to mend; `error` is written with its traceback."""
        self._say(logging.ERROR, event, sentence, fields, error)

    def _say(
        self, level: int, event: str, sentence: str, fields: dict[str, object], error: BaseException | None = None
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", sentence, extra={"event": event, "fields": fields}, exc_info=error)


def describe(error: BaseException) -> str:
    """An error in one line, with its kind where it says nothing itself."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def set_up(form: Format = Format.AUTO, level: str = "INFO") -> None:
    """Send every log of the process to stderr in this form."""
    if form is Format.AUTO:
        form = Format.TEXT if sys.stderr.isatty() else Format.JSON
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form is Format.JSON else TextFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "nats.aio.client"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, event, message, then the fields."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": _event(record),
            "message": record.getMessage(),
            "logger": record.name,
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe(record.exc_info[1])
            line["traceback"] = self.formatException(record.exc_info)
        return _encoder.encode(line).decode()


class TextFormatter(logging.Formatter):
    """One line for people; a traceback follows where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Time of day, level, sentence, fields."""
        time_of_day = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{time_of_day} {record.levelname.lower():7} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _event(record: logging.LogRecord) -> str:
    return str(getattr(record, "event", "log"))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    fields = given.pop("fields", None)
    return {**given, **fields} if isinstance(fields, dict) else given
