"""Log lines: JSON for machines, text for people."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from shared.runtime import logs
from shared.runtime.logs import Format, Log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The root logger is put back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _written(form: Format, monkeypatch: pytest.MonkeyPatch, *, level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.set_up(form, level)
    return stream


def test_json_lines_hold_event_sentence_and_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line is one object; a time with an offset comes first."""
    stream = _written(Format.JSON, monkeypatch)

    Log("services.router").info("ticket_stored", "Stored ticket 7", ticket_id="7", units=3)

    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert {
        "level": "info",
        "event": "ticket_stored",
        "message": "Stored ticket 7",
        "logger": "services.router",
        "ticket_id": "7",
        "units": 3,
    } == line


def test_an_error_brings_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line all the same."""
    stream = _written(Format.JSON, monkeypatch)
    try:
        raise KeyError("x")
    except KeyError as error:
        Log("a").error("broken", "It broke", error=error)

    lines = stream.getvalue().splitlines()
    assert 1 == len(lines)
    assert "KeyError: 'x'" == json.loads(lines[0])["error"]
    assert "Traceback" in json.loads(lines[0])["traceback"]


def test_a_warning_brings_its_error_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback for what mends itself; an error without words gives its kind."""
    stream = _written(Format.JSON, monkeypatch)

    Log("a").warning("waiting", "It will mend", error=TimeoutError())

    assert "TimeoutError" == json.loads(stream.getvalue())["error"]


def test_logs_of_libraries_fit_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain record, with or without an `event`, becomes a line too."""
    stream = _written(Format.JSON, monkeypatch)

    logging.getLogger("library").warning("%s went wrong", "it", extra={"event": "odd", "shard": 2})

    line = json.loads(stream.getvalue())
    assert ("it went wrong", "odd", 2) == (line["message"], line["event"], line["shard"])


def test_text_is_one_short_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time of day, level, sentence, fields."""
    stream = _written(Format.TEXT, monkeypatch)

    Log("a").info("started", "The router has started", port=8080)

    assert "info    The router has started port=8080" == stream.getvalue().strip()[9:]


def test_text_shows_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the line."""
    stream = _written(Format.TEXT, monkeypatch)
    try:
        raise KeyError("x")
    except KeyError as error:
        Log("a").error("broken", "It broke", error=error)

    assert "It broke\nTraceback" in stream.getvalue()


def test_auto_is_json_away_from_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the level filters."""
    stream = _written(Format.AUTO, monkeypatch, level="warning")

    Log("a").info("quiet", "Not said")
    Log("a").debug("quiet", "Not said")
    Log("a").warning("loud", "Said")

    assert ["loud"] == [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


def test_the_coloured_copy_of_a_web_server_line_is_no_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uvicorn says its sentence twice, once with escape codes."""
    stream = _written(Format.JSON, monkeypatch)

    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[36mStarted"})

    assert "color_message" not in json.loads(stream.getvalue())
