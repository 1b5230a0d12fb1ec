"""The conformance vectors: in form, agreed to by a minute-stepping oracle, and what Deskclock itself answers."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from tests.conformance import ours, vectors
from tests.conformance.judging import differences
from tests.conformance.oracle import Calendars
from tests.conformance.ticket_oracle import Life
from tests.conformance.vectors import Accept, Clocks, Due, Open, Start, Vector

EVERY = list(vectors.every())
OF_TICKETS = [vector for vector in EVERY if isinstance(vector, Clocks)]
OF_CALENDARS = [vector for vector in EVERY if isinstance(vector, Due | Start | Open)]


@pytest.mark.parametrize("vector", EVERY, ids=lambda vector: vector.id)
def test_deskclock_conforms(vector: Vector, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the commands answer is what the vector says."""
    answer = ours.answer(vector, tmp_path, lambda: capsys.readouterr().out)
    assert [] == differences(vector, msgspec.to_builtins(answer))


@pytest.mark.parametrize("vector", OF_TICKETS, ids=lambda vector: vector.id)
def test_rule_42_vectors_hold_in_any_order(vector: Clocks, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Backwards and each event twice: the same clocks."""
    shuffled = msgspec.structs.replace(vector, events=[*reversed(vector.events), *vector.events])
    answer = ours.answer(shuffled, tmp_path, lambda: capsys.readouterr().out)
    assert [] == differences(vector, answer)


@pytest.mark.parametrize("vector", OF_CALENDARS, ids=lambda vector: vector.id)
def test_an_oracle_that_looks_at_every_minute_agrees(vector: Due | Start | Open) -> None:
    """A vector is no echo of our own arithmetic."""
    calendars = Calendars(vector.policy.calendars)
    found: Any
    match vector:
        case Due():
            found = calendars.due(vector.calendar, vector.start_at, vector.duration)
        case Start():
            found = calendars.start(vector.calendar, vector.end_at, vector.duration)
        case Open():
            found = float(calendars.open_seconds(vector.calendar, vector.start_at, vector.end_at))
    [name] = vector.expect.__struct_fields__
    assert getattr(vector.expect, name) == found


@pytest.mark.parametrize("vector", OF_TICKETS, ids=lambda vector: vector.id)
def test_an_oracle_that_lives_through_every_minute_agrees(vector: Clocks) -> None:
    """The same for tickets."""
    assert [] == differences(vector, {"clocks": Life(vector).clocks()})


def test_the_schema_is_what_the_structs_say() -> None:
    """Those who check their own vectors with it check what we check."""
    assert vectors.schema() == vectors.SCHEMA.read_bytes()


def test_vectors_have_names_of_their_own() -> None:
    """That begin with their rule."""
    assert [] == [name for name, count in Counter(vector.id for vector in EVERY).items() if count > 1]
    assert [] == [vector.id for vector in EVERY if vector.id.partition("-")[0] != str(vector.rule)]


@pytest.mark.parametrize("vector", EVERY, ids=lambda vector: vector.id)
def test_the_walls_show_what_the_instants_say(vector: Vector) -> None:
    """Local times, for people to read, are those of the instants beside them."""
    zone = ZoneInfo(vector.zone)
    assert vector.local == {name: _wall(at, zone) for name, at in _instants(vector, getattr(vector, "expect", None))}
    if isinstance(vector, Clocks):
        for clock in vector.expect.clocks:
            assert clock.local == {name: _wall(at, zone) for name, at in _instants(clock)}


def _instants(*holders: Any) -> list[tuple[str, datetime]]:
    fields = [(name, getattr(holder, name)) for holder in holders for name in holder.__struct_fields__]
    return [(name, value) for name, value in fields if isinstance(value, datetime)]


def _wall(at: datetime, zone: ZoneInfo) -> str:
    assert at.utcoffset() == UTC.utcoffset(at)
    local = at.astimezone(zone)
    return local.strftime("%a %Y-%m-%d %H:%M:%S" if local.second else "%a %Y-%m-%d %H:%M")


def test_refusals_are_asked_for_and_against() -> None:
    """An implementation that refuses every policy does not pass, nor one that takes every one."""
    assert {True, False} == {vector.expect.accepted for vector in EVERY if isinstance(vector, Accept)}
