"""Durations as people write them."""

from datetime import timedelta

import pytest

from shared.policy import durations
from shared.policy.reading import Unreadable
from shared.sla.policy import BusinessDays, WarnAt


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        (" 4H ", timedelta(hours=4)),
        ("1h30m", timedelta(minutes=90)),
        ("1h 30 min", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("0.1s", timedelta(milliseconds=100)),
        ("720 hours", timedelta(hours=720)),
        ("2bd", BusinessDays(2)),
        ("2 bd", BusinessDays(2)),
    ],
)
def test_promises_are_open_time_or_business_days(text: str, expected: object) -> None:
    """Exact to the microsecond."""
    assert expected == durations.promise(text)


@pytest.mark.parametrize("text", ["1d", "1 day", "2days", "1.5d", "1d4h"])
def test_a_bare_day_is_refused_with_both_readings(text: str) -> None:
    """Rule 21: 24 hours of open time, or the same time on the next open day."""
    with pytest.raises(Unreadable) as refused:
        durations.promise(text)

    assert "two ways" in refused.value.problem
    assert "h`" in refused.value.remedy
    assert "bd`" in refused.value.remedy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0s", "no time at all"),
        ("0h0m", "no time at all"),
        ("-4h", "negative"),
        ("30", "no unit"),
        ("1h30", "no unit"),
        ("4x", "no unit `x`"),
        ("1w", "weeks are not counted"),
        ("soon", "not a duration"),
        ("", "empty"),
        ("1" * 50 + "z", "no unit"),
        ("999999999h", "over ten years"),
        ("0bd", "no number of business days"),
        ("1.5bd", "no number of business days"),
        ("1h2bd", "no number of business days"),
        ("9999bd", "no number of business days"),
        ("2bd 1h", "mixes business days"),
    ],
)
def test_what_is_no_promise_is_refused_with_the_way_out(text: str, said: str) -> None:
    """Zero and negative ones too (rule 16)."""
    with pytest.raises(Unreadable) as refused:
        durations.promise(text)

    assert said in refused.value.problem
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("text", "expected"),
    [("75%", WarnAt(share=0.75)), ("12.5 %", WarnAt(share=0.125)), ("30m", WarnAt(left=timedelta(minutes=30)))],
)
def test_warnings_are_a_share_used_or_time_left(text: str, expected: WarnAt) -> None:
    """Either is open time."""
    assert expected == durations.warn_point(text)


@pytest.mark.parametrize("text", ["0%", "100%", "-5%", "half%", "1bd", "0m", "75", "%"])
def test_what_is_no_warning_is_refused(text: str) -> None:
    """It would fire at the start, with the breach, or never."""
    with pytest.raises(Unreadable):
        durations.warn_point(text)
