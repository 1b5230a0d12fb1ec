"""Formats that all views share."""

from datetime import timedelta

import pytest

from services.console.views import palette
from services.router.domain.queue import Reason


@pytest.mark.parametrize(
    ("shown", "length"),
    [
        ("21h 0m", timedelta(hours=21, seconds=33)),
        ("3d 0h", timedelta(days=3, minutes=5)),
        ("3d 4h", timedelta(days=3, hours=4, minutes=5)),
        ("4h", timedelta(hours=4)),
        ("12m", timedelta(minutes=12)),
        ("39m 57s", timedelta(minutes=39, seconds=57)),
        ("0s", timedelta()),
        ("0s", timedelta(milliseconds=-3)),
        ("-1m 5s", timedelta(seconds=-65)),
    ],
)
def test_a_span_is_two_neighbouring_units(shown: str, length: timedelta) -> None:
    """The unit between is never skipped; what is exact needs no second one."""
    assert shown == palette.span(length)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_to_wait_has_words(reason: Reason) -> None:
    """A person never reads its code."""
    assert reason in palette.WAITING_NAME
    assert reason in palette.WAITING_BRIEF
