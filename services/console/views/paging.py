"""How prompt paging was, for a person: a line for each stage, then by channel, then what is counted apart."""

from rich.console import Group, RenderableType
from rich.text import Text

from services.console.output import moment, table
from services.console.views import palette
from services.escalation.domain.promptness import NOT_OURS, Promptness, Stage, Took

_NUMBERS = ("pages", "p50", "p95", "p99", "longest")
_NAMES = {
    Stage.DUE_TO_COMMIT: "due -> stored",
    Stage.COMMIT_TO_ATTEMPT: "stored -> first tried",
    Stage.DUE_TO_ATTEMPT: "due -> first tried",
    Stage.ATTEMPT_TO_ACCEPT: "first tried -> accepted",
    Stage.ACCEPT_TO_DELIVERED: "accepted -> delivered",
    Stage.ACCEPT_TO_ACKNOWLEDGED: "accepted -> acknowledged",
}
_HELD = {
    "throttle": "by a throttle",
    "retry_after": "as its provider asked",
    "breaker": "while its provider failed",
    "quiet_hours": "by quiet hours",
}
_OUT = ", in none of the figures from due on"


def draw(report: Promptness) -> RenderableType:
    """The verdict, the table, and what is in none of its figures."""
    stretch = f"from {moment(report.since)} to {moment(report.until)}"
    if not report.stages and not report.counted.overdue:
        return Text(f"nobody was paged {stretch}")
    made = table("stage", "by", *_NUMBERS, title=f"What pages took {stretch}", right=_NUMBERS)
    for took in report.stages:
        made.add_row(_NAMES[took.stage], "all", *_figures(took))
    for method in report.methods if len(report.methods) > 1 else ():
        made.add_section()
        for took in method.stages:
            made.add_row(_NAMES[took.stage], method.method, *_figures(took))
    return Group(_verdict(report), made, *(Text(line, style=palette.FAINT) for line in _apart(report)))


def _verdict(report: Promptness) -> Text:
    wanted = f"{report.objective_share:.0%} tried within {report.objective_seconds:g} s of being due"
    if report.share is None or report.is_met is None:
        return Text(f"objective: {wanted}; no page says whether it is met")
    due = report.counted.attempted + report.counted.overdue
    said = f"{'met' if report.is_met else 'missed'}: {report.counted.prompt} of {due} in time ({report.share:.2%})"
    return Text.assemble(f"objective: {wanted}; ", (said, palette.GOOD if report.is_met else palette.BAD))


def _figures(took: Took) -> tuple[str, ...]:
    return (palette.number(took.pages), *(_seconds(each) for each in (took.p50, took.p95, took.p99, took.max)))


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"  # noqa: PLR2004 - where tenths stop to matter


def _apart(report: Promptness) -> list[str]:
    counted = report.counted
    lines = [
        f"{pages} held back {_HELD.get(reason, reason)}{_OUT if reason in NOT_OURS else ''}"
        for reason, pages in sorted(counted.deferred.items())
    ]
    for pages, meaning in (
        (counted.overdue, "overdue and not tried yet: they miss the objective"),
        (counted.grouped, "told by a page about their group"),
        (counted.fallbacks, "sent another way after a failure"),
        (counted.failed, "given up"),
        (counted.unknown_attempts, "attempts of which nobody knows whether the provider has them"),
    ):
        if pages:
            lines.append(f"{pages} {meaning}")
    return lines
