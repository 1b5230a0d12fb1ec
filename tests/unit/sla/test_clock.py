"""What time does to one clock (rules 47, 60, 61)."""

from msgspec.structs import replace

from shared.contract.tickets import ClockState
from shared.sla.clock import Change, Clock, advance
from tests.unit.sla.building import RESOLUTION, at

RUNNING = Clock(
    target=RESOLUTION,
    cycle=1,
    matched="all",
    policy_version=1,
    calendar="office",
    state=ClockState.RUNNING,
    started_at=at("09:00"),
    due_at=at("13:00"),
    warn_at=(at("11:00"), at("12:00")),
)


def test_nothing_happens_before_the_first_warning() -> None:
    """The clock itself comes back."""
    assert (RUNNING, ()) == advance(RUNNING, at("10:59:59"))
    assert at("11:00") == RUNNING.next_fire_at


def test_it_warns_at_the_instant_of_the_warning() -> None:
    """Once; the next to come is the second warning, then the due time."""
    warned, changes = advance(RUNNING, at("11:00"))
    assert (Change.WARNED,) == changes
    assert (warned.warned, warned.warned_at, warned.next_fire_at) == (1, at("11:00"), at("12:00"))
    assert advance(warned, at("11:30")) == (warned, ())
    again, _ = advance(warned, at("12:30"))
    assert (again.warned, again.warned_at, again.next_fire_at) == (2, at("12:00"), at("13:00"))


def test_of_several_warnings_passed_at_once_the_last_fires() -> None:
    """After an outage nobody hears the same thing twice."""
    warned, changes = advance(RUNNING, at("12:30"))
    assert ((Change.WARNED,), 2, at("12:00")) == (changes, warned.warned, warned.warned_at)


def test_rule_47_it_breaks_after_its_due_time() -> None:
    """At the due time an answer is still in time."""
    warned = replace(RUNNING, warned=2, warned_at=at("12:00"))
    assert advance(warned, at("13:00")) == (warned, ())
    broken, changes = advance(warned, at("13:00:00.000001"))
    assert ((Change.BREACHED,), ClockState.BREACHED) == (changes, broken.state)
    assert broken.next_fire_at is None


def test_rule_60_it_broke_at_its_due_time_whenever_we_notice() -> None:
    """An hour of our own lag is ours, not the promise's."""
    broken, _ = advance(RUNNING, at("14:00"))
    assert (broken.breached_at, broken.detected_at) == (at("13:00"), at("14:00"))


def test_rule_61_overdue_warnings_are_skipped() -> None:
    """Breach only; that the warnings were skipped can be seen."""
    broken, changes = advance(RUNNING, at("14:00"))
    assert ((Change.BREACHED,), 2, None) == (changes, broken.warned, broken.warned_at)


def test_late_from_a_change_on() -> None:
    """Due at 10:00 by terms that came at 13:00."""
    changed = replace(RUNNING, due_at=at("10:00"), late_from=at("13:00"), warn_at=(at("09:30"),))
    warned, _ = advance(changed, at("13:00"))
    assert (warned.state, warned.warned, warned.next_fire_at) == (ClockState.RUNNING, 1, at("13:00"))
    broken, _ = advance(changed, at("13:01"))
    assert (broken.breached_at, broken.due_at) == (at("13:00"), at("10:00"))


def test_time_leaves_paused_and_finished_clocks_alone() -> None:
    """And those that are broken already."""
    paused = replace(RUNNING, state=ClockState.PAUSED, due_at=None, warn_at=())
    met = replace(RUNNING, state=ClockState.MET, met_at=at("12:00"), ended_at=at("12:00"))
    broken, _ = advance(RUNNING, at("14:00"))
    for clock in (paused, met, broken):
        assert advance(clock, at("30 09:00")) == (clock, ())
        assert clock.next_fire_at is None
    assert (True, False) == (met.is_finished, broken.is_finished)
