"""Why a ticket has its urgency, theme and skills: the rules that hit by name, what a model said, and what people made of it."""

from collections.abc import Mapping, Sequence

from shared.contract.events import TicketEvent, Updated
from shared.sla import story
from shared.sla.calendar import to_instant
from shared.sla.explaining.explained import Classified, Corrected, ModelSaid
from shared.sla.fields import Classification
from shared.sla.policy import Judge
from shared.sla.story import Story

MOST_CORRECTIONS = 50
"""The latest ones."""


def classified(log: Sequence[TicketEvent], judge: Judge, later: Mapping[int, Judge], told: Story) -> Classified | None:
    """What is held of a ticket now, and who says so; `told` is the story of the whole log."""
    verdict, facts = told.classification, told.facts
    if verdict is None:
        return None
    corrections = _corrections(log, judge, later)
    scored = facts.scored
    return Classified(
        channel=verdict.channel,
        channel_said=facts.channel,
        urgency=verdict.urgency,
        urgency_by=verdict.urgency_by,
        theme=verdict.theme,
        theme_by=verdict.theme_by,
        language=verdict.language,
        pool=verdict.pool,
        needs=verdict.needs,
        prefers=verdict.prefers,
        rules=verdict.rules,
        model=None
        if scored is None
        else ModelSaid(
            version=scored.model,
            theme=scored.theme,
            theme_confidence=scored.theme_confidence,
            urgency=scored.urgency,
            urgency_confidence=scored.urgency_confidence,
        ),
        corrections=tuple(corrections[-MOST_CORRECTIONS:]),
        corrections_left_out=max(len(corrections) - MOST_CORRECTIONS, 0),
    )


def _corrections(log: Sequence[TicketEvent], judge: Judge, later: Mapping[int, Judge]) -> list[Corrected]:
    """What people said otherwise, in order; nothing is told again where nobody said anything."""
    if not any(isinstance(event.data, Updated) and _says(event.data) for event in log):
        return []
    found: list[Corrected] = []
    before: Classification | None = None
    for told, event, at in story.steps(log, judge, later):
        if before is not None and isinstance(event.data, Updated):
            for field, was, now in (
                ("theme", before.theme, event.data.theme),
                ("urgency", before.urgency, event.data.urgency),
            ):
                if now is not None and now != was:
                    found.append(Corrected(field=field, was=was, now=now, at=to_instant(at), event_id=event.id))
        before = told.classification
    return found


def _says(data: Updated) -> bool:
    return data.theme is not None or data.urgency is not None
