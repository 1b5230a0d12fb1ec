"""Test pages for a person: to whom and why, and a line for each contact with every stage of its delivery."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from services.console.canaries import Story, Trial
from services.console.output import moment, table
from services.console.views import palette

_STATES = {"accepted": palette.GOOD, "failed": palette.BAD}


def draw(trial: Trial) -> RenderableType:
    """Everything that is known so far; stages count from when the page was due."""
    tested = trial.tested
    due = min((one.page.due_at for one in trial.pages), default=None)
    lines = table(
        "by", "due", "stored", "tried", "accepted", "delivered", "confirmed", "state", "outcome", "provider's id"
    )
    for one in trial.pages:
        page = one.page
        lines.add_row(
            page.method,
            moment(page.due_at),
            _after(page.due_at, page.committed_at),
            _after(page.due_at, page.attempted_at),
            _after(page.due_at, page.accepted_at),
            _after(page.due_at, page.delivered_at),
            _after(page.due_at, page.acknowledged_at),
            Text(page.state, style=_STATES.get(page.state, "")),
            _outcome(one),
            page.provider_id or "-",
        )
    who = tested.name if tested.person in (None, tested.name) else f"{tested.name} ({tested.person})"
    head = Text(f"{tested.recipient} is {who}: {tested.why}")
    return Group(head, lines) if due is not None else head


def _outcome(story: Story) -> str:
    if not story.attempts:
        return "-"
    last = story.attempts[-1]
    said = last.outcome or "being tried"
    tries = f" ({len(story.attempts)} tries)" if len(story.attempts) > 1 else ""
    return f"{said}{tries}{': ' + last.detail if last.detail else ''}"


def _after(begun_at: datetime, at: datetime | None) -> str:
    """So long after it was due."""
    return "-" if at is None else f"+{max((at - begun_at).total_seconds(), 0.0):.2f} s"
