"""Rotations for tests, in a line."""

from collections.abc import Sequence
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from shared.policy.document import Cadence, Layer, Rotation
from shared.sla.hours import Hours


def layer(*people: str, at: time = time(9), cadence: Cadence = Cadence.WEEKLY, **more: Any) -> Layer:
    """People who take turns; weekly on Mondays at nine, unless it is said otherwise."""
    return Layer(cadence=cadence, handoff_time=at, people=people, **more)


def daily(*people: str, at: time = time(9), **more: Any) -> Layer:
    """People who take turns by the day."""
    return layer(*people, at=at, cadence=Cadence.DAILY, **more)


def rotation(*layers: Layer, zone: str = "UTC", name: str = "support") -> Rotation:
    """A rotation of these layers."""
    return Rotation(name=name, zone=ZoneInfo(zone), layers=tuple(layers))


def hours(days: Sequence[int], opens: int, closes: int) -> tuple[tuple[Hours, ...], ...]:
    """The same hours of the clock on these weekdays, as a layer has them."""
    return tuple((Hours(opens * 3600, closes * 3600),) if day in days else () for day in range(7))
