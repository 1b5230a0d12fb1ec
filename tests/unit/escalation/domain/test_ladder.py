"""Steps, their instants and what is skipped."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from services.escalation.domain.ladder import (
    ANY_HOUR,
    LAST_RESORT,
    MIN_ACK_WINDOW,
    Climb,
    Hours,
    Kind,
    Position,
    Reason,
    SkipReason,
    Standing,
    before,
    begins_with,
    climb,
    planned_at,
    recipients_of,
)
from shared.policy.document import Counts, Ladder, Step
from shared.sla.calendar import Calendar
from shared.sla.hours import CalendarSpec
from tests.unit.sla.building import OFFICE
from tests.unit.sla.building import at as local

ANCHOR = datetime(2026, 6, 1, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BEGINNING = Position(0, 0)


class Somebody(Struct, frozen=True):
    """A reached recipient."""

    who: str


def everybody(recipients: Sequence[str]) -> tuple[Somebody, ...]:
    """Every recipient can be paged."""
    return tuple(Somebody(name) for name in dict.fromkeys(recipients))


def nobody(recipients: Sequence[str]) -> tuple[Somebody, ...]:
    """Nobody but the console can be paged."""
    return tuple(Somebody(name) for name in recipients if name == LAST_RESORT)


def ladder(*minutes: float, repeat: int = 1, otherwise: tuple[str, ...] = ("head",)) -> Ladder:
    """Steps after so many minutes each, paging s0, s1, ..."""
    steps = tuple(Step(after=after * MINUTE, page=(f"s{number}",)) for number, after in enumerate(minutes))
    return Ladder(name="l", steps=steps, repeat=repeat, otherwise=otherwise)


def take(
    one: Ladder, at: float, position: Position = BEGINNING, reach=everybody, paged: frozenset[str] = frozenset()
) -> Climb[Somebody]:
    """Take the step that is due so many minutes after the anchor."""
    standing = Standing(reason=Reason.BREACHED, anchor_at=ANCHOR, position=position)
    return climb(one, standing, ANCHOR + at * MINUTE, reach, paged)


def whom(done: Climb[Somebody]) -> list[str]:
    """Who is paged."""
    return [one.who for one in done.reached]


def test_r2_each_step_is_planned_from_the_anchor():
    """0, 10 and 25 minutes after it; the second loop after one more wait as long as the last."""
    one = ladder(0, 10, 15, repeat=2)
    planned = [planned_at(one, ANCHOR, Position(loop, step)) for loop in range(2) for step in range(3)]
    assert [ANCHOR + minutes * MINUTE for minutes in (0, 10, 25, 40, 50, 65)] == planned
    assert ANCHOR + 80 * MINUTE == planned_at(one, ANCHOR, Position(2, 0))


def test_the_first_step_pages_and_the_next_is_due_as_planned():
    """A stall of four minutes does not move it (R2)."""
    done = take(ladder(0, 10), 4)
    assert (["s0"], Position(0, 1), ANCHOR + 10 * MINUTE) == (whom(done), done.next, done.next_step_at)


def test_r4_steps_that_were_missed_are_late_and_the_current_one_pages():
    """Three hours late in a ladder of a day."""
    done = take(ladder(0, 60, 60, 600), 180)
    assert ["s2"] == whom(done)
    assert [SkipReason.LATE] * 2 == [skip.reason for skip in done.skipped]


def test_r4_after_the_whole_ladder_was_missed_its_last_step_pages_before_the_end():
    """Somebody is paged who can do something; the end follows after an answer window."""
    done = take(ladder(0, 10, repeat=2), 1_000)
    assert (["s1"], Position(1, 1), False) == (whom(done), done.taken, done.is_exhausted)
    assert ANCHOR + 1_000 * MINUTE + MIN_ACK_WINDOW == done.next_step_at


def test_r6_steps_without_time_between_them_go_together():
    """Neither is late for the other's sake."""
    done = take(ladder(0, 0, 10), 1)
    assert (["s0", "s1"], Position(0, 2)) == (whom(done), done.next)


def test_r7_past_the_last_loop_it_is_exhausted_and_the_catch_all_paged():
    """No step follows."""
    done = take(ladder(0), 5, Position(1, 0))
    assert (["head"], True, None) == (whom(done), done.is_exhausted, done.next_step_at)


def test_r7_without_a_catch_all_the_console_is_paged():
    """Never silence."""
    assert [LAST_RESORT] == whom(take(ladder(0, otherwise=()), 5, Position(1, 0)))


def test_r22_gaps_are_skipped_at_once_through_all_loops_to_the_console():
    """Nobody anywhere: the console, now."""
    done = take(ladder(0, 10, repeat=2), 0, reach=nobody)
    assert ([LAST_RESORT], True) == (whom(done), done.is_exhausted)
    assert [SkipReason.GAP] * 4 == [skip.reason for skip in done.skipped]


def test_r22_the_same_people_are_not_paged_twice_in_a_row():
    """The step after theirs is taken instead."""
    done = take(ladder(0, 10, 10), 10, Position(0, 1), paged=frozenset({"s1"}))
    assert (["s2"], SkipReason.SAME_PEOPLE) == (whom(done), done.skipped[0].reason)


def test_r22_a_new_loop_pages_the_same_people_again():
    """That is what a loop is for."""
    done = take(ladder(0, repeat=2), 5, Position(1, 0), paged=frozenset())
    assert (["s0"], 1) == (whom(done), done.taken.loop)


def test_a_warning_pages_its_own_recipients_and_nothing_follows():
    """`on_warning`, else the first step, else the console."""
    standing = Standing(reason=Reason.WARNED, anchor_at=ANCHOR, position=Position(0, 1))
    one = ladder(0, 10)
    assert ["owner"] == whom(climb(one, standing, ANCHOR, everybody, frozenset()))
    unowned = climb(one, standing, ANCHOR, lambda names: everybody([n for n in names if n != "owner"]), frozenset())
    assert (["s0"], Kind.WARNING, None) == (whom(unowned), unowned.kind, unowned.next_step_at)
    assert [LAST_RESORT] == whom(climb(one, standing, ANCHOR, nobody, frozenset()))


def test_recipients_of_a_step_and_of_the_end():
    """As a page names who is next."""
    one = ladder(0, 0, 10)
    assert ("s0", "s1") == recipients_of(one, Position(0, 0))
    assert ("head",) == recipients_of(one, Position(1, 0))
    assert (LAST_RESORT,) == recipients_of(ladder(0, otherwise=()), Position(1, 0))


@given(
    st.lists(st.integers(0, 60), min_size=0, max_size=5),
    st.integers(1, 3),
    st.lists(st.integers(0, 200), max_size=30),
)
def test_every_escalation_ends_and_somebody_hears_of_every_step(minutes, repeat, lateness):
    """However late each step is taken: positions only grow, each climb pages somebody, the end comes."""
    one = ladder(*minutes, repeat=repeat)
    position, at, late = Position(0, 0), ANCHOR, iter(lateness)
    for _ in range(repeat * max(len(minutes), 1) + 1):
        standing = Standing(reason=Reason.BREACHED, anchor_at=ANCHOR, position=position)
        now = at + next(late, 0) * MINUTE
        done = climb(one, standing, now, everybody, frozenset())
        assert done.reached
        if done.is_exhausted:
            return
        assert done.next > position
        assert done.next_step_at > now
        position, at = done.next, done.next_step_at
    raise AssertionError("it does not end")


def remind(
    one: Ladder, anchor: str, now: str, position: Position, *, has_reached: bool = True, hours: Hours = OFFICE
) -> Climb[Somebody]:
    """Take what is due at `now` of a promise that broke at `anchor`."""
    standing = Standing(reason=Reason.BREACHED, anchor_at=local(anchor), position=position, has_reached=has_reached)
    return climb(one, standing, local(now), everybody, frozenset(), hours)


def test_rule_63_the_first_walk_is_at_any_hour_and_reminders_keep_to_the_calendar():
    """Broken on Friday 16:50: both levels are paged then; the second walk comes on Monday, its steps as far apart as ever."""
    one = ladder(0, 30, repeat=3)
    planned = [
        planned_at(one, local("5 16:50"), Position(loop, step), OFFICE) for loop in range(3) for step in range(2)
    ]
    assert [local(text) for text in ("5 16:50", "5 17:20", "8 09:00", "8 09:30", "8 10:00", "8 10:30")] == planned
    assert local("8 11:00") == planned_at(one, local("5 16:50"), Position(3, 0), OFFICE)


def test_rule_63_reminders_are_not_capped_per_day():
    """Twenty walks in one working day, each of them told."""
    one = ladder(0, 10, repeat=20)
    planned = [planned_at(one, local("1 09:00"), Position(loop, 0), OFFICE) for loop in range(20)]
    assert [local("1 09:00") + loop * 20 * MINUTE for loop in range(20)] == planned


def test_rule_63_a_promise_around_the_clock_reminds_around_the_clock():
    """Midnight is open for it."""
    one = ladder(0, 30, repeat=3)
    done = remind(one, "5 23:30", "6 00:30", Position(1, 0), hours=ANY_HOUR)
    assert (["s0"], local("6 01:00")) == (whom(done), done.next_step_at)


def test_rule_63_a_reminder_that_comes_up_at_night_waits_for_the_morning():
    """Whatever made it due then: nothing is taken, nobody is mailed at midnight."""
    done = remind(ladder(0, 30, repeat=3), "5 14:00", "5 23:59", Position(1, 0))
    assert (True, [], Position(1, 0), local("8 09:00")) == (
        done.is_put_off, whom(done), done.next, done.next_step_at,
    )  # fmt: skip


def test_rule_63_the_end_after_reminders_keeps_to_the_calendar_too_and_that_of_a_single_walk_does_not():
    """Who walks once pages on: the catch-all comes at night if it must."""
    assert remind(ladder(0, 30, repeat=2), "5 14:00", "5 23:00", Position(2, 0)).is_put_off
    assert ["head"] == whom(remind(ladder(0, 30), "5 16:50", "5 17:50", Position(1, 0)))


def test_rule_63_a_page_that_has_reached_nobody_yet_is_no_reminder():
    """It goes out at night: silence until the morning would be worse (R3, R7)."""
    done = remind(ladder(0, repeat=2), "5 16:59", "5 17:05", Position(1, 0), has_reached=False)
    assert (["s0"], False) == (whom(done), done.is_put_off)


def test_rule_63_people_paged_a_moment_ago_are_not_reminded_at_night_because_the_next_step_is_theirs_too():
    """The second step reaches the same person, so the next walk is next; it waits."""
    one = Ladder(
        name="l", steps=(Step(after=0 * MINUTE, page=("s0",)), Step(after=10 * MINUTE, page=("s0",))), repeat=2
    )
    standing = Standing(reason=Reason.BREACHED, anchor_at=local("5 16:55"), position=Position(0, 1), has_reached=True)
    done = climb(one, standing, local("5 17:05"), everybody, frozenset({"s0"}), OFFICE)
    assert (True, Position(0, 1), local("8 09:00")) == (done.is_put_off, done.next, done.next_step_at)


def steps_of(*steps: tuple[float, Counts], repeat: int = 1) -> Ladder:
    """Steps after so many minutes each, elapsed or open, paging s0, s1, ..."""
    return Ladder(
        name="l",
        steps=tuple(
            Step(after=after * MINUTE, page=(f"s{n}",), counts=counts) for n, (after, counts) in enumerate(steps)
        ),
        repeat=repeat,
        otherwise=("head",),
    )


def test_r5_a_step_counts_open_time_where_it_says_so():
    """Broken on Friday at 16:30: 40 open minutes later is Monday 09:10, and ten elapsed ones after that 09:20."""
    one = steps_of((0, Counts.ELAPSED), (40, Counts.OPEN), (10, Counts.ELAPSED))
    planned = [planned_at(one, local("5 16:30"), Position(0, step), OFFICE) for step in range(3)]
    assert [local("5 16:30"), local("8 09:10"), local("8 09:20")] == planned


def test_r5_no_open_time_is_the_next_opening_and_such_a_step_goes_with_no_other():
    """The first pages at night, the second at nine."""
    one = steps_of((0, Counts.ELAPSED), (0, Counts.OPEN), (0, Counts.OPEN))
    done = remind(one, "5 23:00", "5 23:00", BEGINNING)
    assert (["s0"], local("8 09:00")) == (whom(done), done.next_step_at)
    after = remind(one, "5 23:00", "8 09:00", Position(0, 1))
    assert ["s1", "s2"] == whom(after)


def test_r5_a_calendar_that_never_opens_holds_nobody_up():
    """Elapsed time, then."""
    never = Calendar(CalendarSpec(name="never"))
    one = steps_of((0, Counts.ELAPSED), (40, Counts.OPEN))
    assert ANCHOR + 40 * MINUTE == planned_at(one, ANCHOR, Position(0, 1), never)


@given(
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from(Counts)), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(0, 10_000),
)
def test_r2_the_plan_is_the_same_from_whatever_step_it_is_counted(waits, repeat, into):
    """Planned from a step on, as one that was woken is, what follows comes when it would have from the beginning."""
    one = steps_of(*waits, repeat=repeat)
    anchor = ANCHOR + into * MINUTE
    every = [Position(loop, step) for loop in range(repeat) for step in range(len(waits))] + [Position(repeat, 0)]
    planned = [planned_at(one, anchor, position, OFFICE) for position in every]
    assert sorted(planned) == planned
    for number, since in enumerate(every[:-1]):
        again = [planned_at(one, planned[number], position, OFFICE, since) for position in every[number:]]
        assert planned[number:] == again


def test_r6_who_has_answered_is_left_out_and_a_step_of_theirs_alone_is_passed_over():
    """The others are paged."""
    one = Ladder(name="l", steps=(Step(after=0 * MINUTE, page=("a", "b")), Step(after=10 * MINUTE, page=("a",))))
    standing = Standing(reason=Reason.BREACHED, anchor_at=ANCHOR, position=BEGINNING, answered=frozenset({"a"}))
    assert ["b"] == whom(climb(one, standing, ANCHOR, everybody, frozenset()))
    later = climb(one, replace(standing, position=Position(0, 1)), ANCHOR + 10 * MINUTE, everybody, frozenset())
    assert ([SkipReason.ANSWERED], [LAST_RESORT]) == ([skip.reason for skip in later.skipped], whom(later))


def test_r12_a_step_pages_those_who_are_wanted_besides():
    """Whoever had acknowledged, with those of the step."""
    standing = Standing(reason=Reason.BREACHED, anchor_at=ANCHOR, position=BEGINNING, also=("acker",))
    assert ["s0", "acker"] == whom(climb(ladder(0, 10), standing, ANCHOR, everybody, frozenset()))


def test_r15_a_plan_made_anew_waits_until_its_step_is_due_and_takes_what_is():
    """The anchor moved: what would come later is put off, what should have come is taken."""
    standing = Standing(reason=Reason.BREACHED, anchor_at=ANCHOR, position=Position(0, 1), is_replanned=True)
    early = climb(ladder(0, 10), standing, ANCHOR + 4 * MINUTE, everybody, frozenset())
    assert (True, Position(0, 1), ANCHOR + 10 * MINUTE) == (early.is_put_off, early.next, early.next_step_at)
    assert ["s1"] == whom(climb(ladder(0, 10), standing, ANCHOR + 10 * MINUTE, everybody, frozenset()))


def test_r3_a_plan_made_anew_leaves_those_paged_last_their_time_to_answer():
    """It would be due now; they were reached a minute ago."""
    until = ANCHOR + 60 * MINUTE + MINUTE
    standing = Standing(
        reason=Reason.BREACHED, anchor_at=ANCHOR, position=Position(0, 1), is_replanned=True, answer_until=until
    )
    assert until == climb(ladder(0, 10), standing, ANCHOR + 60 * MINUTE, everybody, frozenset()).next_step_at


def test_r17_a_position_behind_the_steps_of_a_shorter_ladder_leads_to_its_end():
    """Nobody is paged twice for a level that the other ladder doesn't have."""
    done = take(ladder(0, 10), 30, Position(0, 5))
    assert (True, ["head"]) == (done.is_exhausted, whom(done))
    assert ANCHOR + 20 * MINUTE == planned_at(ladder(0, 10), ANCHOR, Position(0, 5))


def test_r22_where_every_step_is_empty_the_owner_is_asked_then_the_lead_then_the_catch_all():
    """One after the other, with time to answer."""

    def only(*names: str):
        return lambda recipients: everybody([name for name in recipients if name in names])

    first = take(ladder(0, 10), 0, reach=only("owner", "lead", "head"))
    assert (["owner"], False, ANCHOR + MIN_ACK_WINDOW) == (whom(first), first.is_exhausted, first.next_step_at)
    assert ["lead"] == whom(take(ladder(0, 10), 0, reach=only("lead", "head")))
    after = take(ladder(0, 10), 2, first.next, reach=only("owner", "lead", "head"))
    assert (["head"], True) == (whom(after), after.is_exhausted)
    assert ["head"] == whom(take(ladder(0, 10), 10, Position(0, 1), reach=only("owner", "head")))


def test_steps_that_go_together_begin_with_the_first_of_them():
    """Which is where a snooze goes on that was taken there."""
    one = ladder(0, 0, 10, repeat=2)
    assert Position(1, 0) == begins_with(one, Position(1, 1))
    assert Position(0, 2) == begins_with(one, Position(0, 2))
    assert [Position(0, 0), Position(0, 0), Position(0, 2), Position(1, 1)] == [
        before(one, position) for position in (BEGINNING, Position(0, 1), Position(1, 0), Position(1, 2))
    ]
