"""A candidate and the policy in force side by side, for a person at a terminal."""

from datetime import datetime

from services.console.output import console, moment, table
from services.router.store.shadows import Differing, State
from services.router.versions.shadow import Comparison, Score, score
from shared.contract.tickets import ClockState

_NUMBERS = ("kept", "broken", "running", "kept %")


def tell(found: Comparison) -> None:
    """Print the comparison: how the trial goes, the table, where the two differ."""
    print_ = console().print
    print_(
        f"{found.state}; tried on {found.tickets:,} tickets opened from {moment(found.started_at)} on, by {found.started_by}",
        markup=False,
    )
    if found.state is State.FAILED:
        print_(f"it can't be tried: {found.failure}", markup=False)
    if found.behind:
        print_(f"about {found.behind:,} events are still to be looked at")
    if found.is_full:
        print_("that is as many as one is tried on: later ones are left out")
    if not found.lines:
        print_("nothing to compare yet")
        return
    _tell_lines(found)
    differ = found.differences
    if not differ.tickets:
        print_("both broke the same promises")
        return
    print_(
        f"{differ.tickets:,} tickets differ: on {differ.only_live:,} a promise was broken by the policy in force only, "
        f"on {differ.only_shadow:,} by the candidate only; for example:"
    )
    for one in found.examples:
        print_(f"  {_example(one)}", markup=False)


def _tell_lines(found: Comparison) -> None:
    names = (*(f"live {name}" for name in _NUMBERS), *(f"shadow {name}" for name in _NUMBERS))
    lines = table("target", "channel", *names, right=names)
    for line in found.lines:
        lines.add_row(line.target, line.channel, *_cells(line.live), *_cells(line.shadow))
    if len(found.lines) > 1:
        lines.add_section()
        lines.add_row(
            "all",
            "",
            *_cells(_sum([line.live for line in found.lines])),
            *_cells(_sum([line.shadow for line in found.lines])),
        )
    console().print(lines)


def _cells(of: Score) -> tuple[str, ...]:
    share = "-" if of.attainment is None else f"{of.attainment * 100:.1f}"
    return f"{of.met:,}", f"{of.breached:,}", f"{of.running:,}", share


def _sum(scores: list[Score]) -> Score:
    return score(
        sum(each.clocks for each in scores),
        sum(each.met for each in scores),
        sum(each.breached for each in scores),
        sum(each.running for each in scores),
        sum(each.cancelled for each in scores),
    )


def _example(one: Differing) -> str:
    live = _verdict(one.live_matched, one.live_state, one.live_due_at)
    candidate = _verdict(one.shadow_matched, one.shadow_state, one.shadow_due_at)
    return f"{one.source} {one.external_id}, {one.target} {one.cycle}: live {live}; shadow {candidate}"


def _verdict(matched: str | None, state: ClockState | None, due_at: datetime | None) -> str:
    if state is None:
        return "promises nothing"
    return f"{state} (`{matched}`)" if due_at is None else f"{state} (`{matched}`, due {moment(due_at)})"
