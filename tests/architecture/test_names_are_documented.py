"""Settings, metrics and subjects are what others build on: each is found by name in the documentation."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest

from services.console.binaries import Wanted
from services.console.settings import Settings as ConsoleSettings
from services.escalation.settings import Settings as EscalationSettings
from services.router.settings import Settings as RouterSettings
from shared.contract import subjects
from shared.contract.events import KINDS
from shared.jetstream import streams
from shared.jetstream.publish import DETAIL, REASON, SUBJECT
from shared.runtime import settings
from shared.sla.clock import Change

ROOT = Path(__file__).parents[2]
INSTRUMENTS = {
    "Counter",
    "Gauge",
    "Histogram",
    "Info",
    "CounterMetricFamily",
    "GaugeMetricFamily",
    "HistogramMetricFamily",
}
OUR_EVENT = re.compile(r"(?:ticket|clock|escalation|page|customer)\.[a-z_]+")


@cache
def _documentation() -> str:
    return "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])


def _constants() -> Iterator[str]:
    for top in ("services/router", "services/escalation", "shared"):
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def _metrics() -> set[str]:
    return {
        node.args[0].value
        for top in ("services", "shared")
        for path in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in INSTRUMENTS and node.args
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }


def _variables() -> set[str]:
    return {
        settings.variable(field.name)
        for struct in (RouterSettings, EscalationSettings, ConsoleSettings, Wanted)
        for field in msgspec.structs.fields(struct)
    }


@pytest.mark.parametrize("name", sorted(_variables()))
def test_every_setting_is_documented(name: str) -> None:
    """By its variable."""
    assert f"`{name}`" in _documentation()


@pytest.mark.parametrize("struct", [RouterSettings, EscalationSettings, ConsoleSettings, Wanted])
def test_every_setting_explains_itself(struct: type[msgspec.Struct]) -> None:
    """In a sentence that the command line shows too."""
    required = {field.name: "x" for field in msgspec.structs.fields(struct) if field.required}

    assert [] == [line.variable for line in settings.describe(struct(**required)) if not line.doc]


@pytest.mark.parametrize("name", sorted(_metrics()))
def test_every_metric_is_documented(name: str) -> None:
    """By its name in Prometheus, and it begins with what it is about."""
    assert name.startswith(("sla_", "http_"))
    assert f"`{name}" in _documentation()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_subject_in_is_documented(kind: str) -> None:
    """As a whole subject."""
    assert f"`{subjects.ticket('<tenant>', kind)}`" in _documentation()


@pytest.mark.parametrize(
    "kind",
    sorted({name for name in _constants() if OUR_EVENT.fullmatch(name)} | {f"clock.{change}" for change in Change}),
)
def test_every_event_of_ours_is_documented(kind: str) -> None:
    """By its kind."""
    assert f"`{kind}`" in _documentation()


@pytest.mark.parametrize("name", [*(stream.name for stream in streams.STREAMS), REASON, DETAIL, SUBJECT])
def test_every_stream_and_header_is_documented(name: str) -> None:
    """By its name."""
    assert f"`{name}`" in _documentation()
