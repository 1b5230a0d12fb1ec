"""What happened to a ticket, in order: how it stood, which line of the policy held, and what somebody waited for.

First half of the fold. It knows events and their meaning (sla-rules 2.D), nothing of calendars; `shared.sla.placing`
turns each wait into clocks. Instants are microseconds since the epoch.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from shared.contract.events import Assigned, Feedback, Opened, Replied, StatusChanged, TicketEvent, Updated
from shared.contract.tickets import Author, Status, TargetKind
from shared.sla.calendar import to_microseconds
from shared.sla.fields import Classification, Facts, Fields
from shared.sla.policy import Line, Reopen, SlaPolicy

Classify: TypeAlias = Callable[[Facts], Classification]

_RANKS: dict[type[Any], int] = {Opened: 0, Updated: 1, Assigned: 2, Replied: 3, StatusChanged: 4, Feedback: 5}
"""Order of what happened at the same instant: a reply sent together with a new status was written under the old one."""

_FIRST_RESPONSE = TargetKind.FIRST_RESPONSE
_NEXT_RESPONSE = TargetKind.NEXT_RESPONSE
_UPDATE = TargetKind.UPDATE
_RESOLUTION = TargetKind.RESOLUTION
_ENDED_BY_WORK = frozenset({Status.SOLVED, Status.CLOSED})


class Wait:
    """Somebody waits for something of us; the clocks of one cycle are made from it."""

    __slots__ = ("ended", "is_kept", "kind", "origin", "started")

    def __init__(self, kind: TargetKind, started: int, origin: int) -> None:
        self.kind = kind
        self.started = started
        self.origin = origin
        """From when its time counts: before `started` where a reopened ticket resumes an older promise."""
        self.ended: int | None = None
        self.is_kept = False
        """Ended by what was waited for, rather than made moot."""


class Story:
    """A ticket's events, told one by one in order."""

    __slots__ = (
        "_classify", "_first_started", "_is_answered", "_keeps_informed", "_open", "_policy", "_unanswered_since",
        "agent", "classification", "facts", "fields", "lines", "opened_at", "solved_at", "status", "statuses", "waits",
    )  # fmt: skip

    def __init__(self, opening: TicketEvent, data: Opened, at: int, policy: SlaPolicy, classify: Classify) -> None:
        self._policy = policy
        self._classify = classify
        self.opened_at = opening.occurred_at
        self.facts = _opening_facts(opening.source, data)
        self.agent: str | None = None
        self.solved_at: int | None = None
        self.status = Status.OPEN
        self.statuses: list[tuple[int, Status]] = [(at, Status.OPEN)]
        self.lines: list[tuple[int, Line | None]] = []
        self.waits: list[Wait] = []
        self._open: dict[TargetKind, Wait] = {}
        self._first_started: dict[TargetKind, int] = {}
        self._is_answered = False
        self._keeps_informed = True
        self._unanswered_since: int | None = None
        self._judge(at)
        self._start(_FIRST_RESPONSE, at)
        self._start(_UPDATE, at)
        self._start(_RESOLUTION, at)

    @property
    def line(self) -> Line | None:
        """The line of the policy that holds now."""
        return self.lines[-1][1]

    def tell(self, event: TicketEvent, at: int) -> None:
        """What the next event means."""
        match event.data:
            case Replied() as data:
                if data.public:
                    self._reply(data.by, at)
            case StatusChanged(status=status):
                self._stand(status, at)
            case Updated() as data:
                self.facts = _updated_facts(self.facts, data)
                self._judge(at)
            case Assigned(agent=agent):
                self.agent = agent
            case Opened() | Feedback():
                pass  # a ticket opens once; what the customer thinks of it promises nothing

    def _judge(self, at: int) -> None:
        facts = self.facts
        verdict = self._classify(facts)
        text = f"{facts.subject}\n{facts.text}" if facts.subject or facts.text else ""
        self.classification = verdict
        self.fields = Fields(
            channel=verdict.channel,
            urgency=verdict.urgency,
            theme=verdict.theme,
            language=verdict.language,
            source=facts.source,
            requester_key=facts.requester_key,
            requester_tier=facts.requester_tier,
            attributes=facts.attributes,
            text=text,
        )
        line = self._policy.line_for(self.fields, self.opened_at)
        if not self.lines or line is not self.line:
            self.lines.append((at, line))

    def _reply(self, by: Author, at: int) -> None:
        if by is Author.CUSTOMER:
            if self._unanswered_since is None:
                self._unanswered_since = at
                self._await_next_response(at)
        elif by is Author.AGENT:
            self._unanswered_since = None
            self._is_answered = True
            self._end(_FIRST_RESPONSE, at, is_kept=True)
            self._end(_NEXT_RESPONSE, at, is_kept=True)
            if self._keeps_informed and not self.status.is_over:
                self._end(_UPDATE, at, is_kept=True)
                self._start(_UPDATE, at)

    def _await_next_response(self, at: int) -> None:
        """Runs from the oldest unanswered message (rule 44), not before there was a first response (rule 45)."""
        if self._is_answered and not self.status.is_over:
            self._start(_NEXT_RESPONSE, at)

    def _stand(self, status: Status, at: int) -> None:
        was_over, self.status = self.status.is_over, status
        if self.statuses[-1][1] is status:
            return
        self.statuses.append((at, status))
        if status.is_over:
            if not was_over:
                self._finish(status, at)
        elif was_over:
            self._reopen(at)

    def _finish(self, status: Status, at: int) -> None:
        """Solving keeps the resolution and makes the rest moot (rule 46); spam and merging make all moot (rule 50)."""
        is_kept = status in _ENDED_BY_WORK
        self.solved_at = at if is_kept else None
        self._unanswered_since = None
        for kind in tuple(self._open):
            self._end(kind, at, is_kept=is_kept and kind is _RESOLUTION)

    def _reopen(self, at: int) -> None:
        self.solved_at = None
        line = self.line
        mode = Reopen.RESUME if line is None else line.target.on_reopen
        self._keeps_informed = mode is not Reopen.NONE
        if self._keeps_informed:
            is_resumed = mode is Reopen.RESUME
            self._start(_RESOLUTION, at, self._first_started[_RESOLUTION] if is_resumed else at)
            self._start(_UPDATE, at)
            if not self._is_answered:
                self._start(_FIRST_RESPONSE, at, self._first_started[_FIRST_RESPONSE] if is_resumed else at)
        if self._unanswered_since is not None:
            self._await_next_response(at)

    def _start(self, kind: TargetKind, at: int, origin: int | None = None) -> None:
        wait = Wait(kind, at, at if origin is None else origin)
        self._first_started[kind] = wait.origin
        self._open[kind] = wait
        self.waits.append(wait)

    def _end(self, kind: TargetKind, at: int, *, is_kept: bool) -> None:
        wait = self._open.pop(kind, None)
        if wait is not None:
            wait.ended = at
            wait.is_kept = is_kept


def tell(events: Sequence[TicketEvent], policy: SlaPolicy, classify: Classify) -> Story | None:
    """The story of these events, in whatever order and however often they came; None before the ticket was opened.

    What is dated before the opening counts as happening at it.
    """
    told = _in_order(events)
    for opening in told:
        if isinstance(opening.data, Opened):
            opened = to_microseconds(opening.occurred_at)
            story = Story(opening, opening.data, opened, policy, classify)
            for event in told:
                if event is not opening:
                    story.tell(event, max(opened, to_microseconds(event.occurred_at)))
            return story
    return None


def last_status(events: Sequence[TicketEvent]) -> Status:
    """The status by the last event that speaks of it, `open` if none does: for a ticket whose opening has not arrived."""
    told = [event.data.status for event in _in_order(events) if isinstance(event.data, StatusChanged)]
    return told[-1] if told else Status.OPEN


def last_agent(events: Sequence[TicketEvent]) -> str | None:
    """The agent of the last event that names one, or takes the ticket back (None)."""
    told = [event.data.agent for event in _in_order(events) if isinstance(event.data, Assigned)]
    return told[-1] if told else None


def _in_order(events: Sequence[TicketEvent]) -> Sequence[TicketEvent]:
    """By the time they happened, each id once; the same for every order of arrival."""
    if len(events) <= 1:
        return events
    told: dict[str, TicketEvent] = {}
    for event in sorted(events, key=_order):
        told.setdefault(event.id, event)
    return list(told.values())


def _order(event: TicketEvent) -> tuple[Any, int, str]:
    return event.occurred_at, _RANKS[type(event.data)], event.id


def _opening_facts(source: str, data: Opened) -> Facts:
    return Facts(
        source=source,
        channel=data.channel,
        urgency=data.urgency,
        subject=data.subject,
        text=data.text,
        language=data.language or "",
        requester_key=data.requester.key or "",
        requester_tier=data.requester.tier or "",
        attributes=data.attributes,
    )


def _updated_facts(facts: Facts, data: Updated) -> Facts:
    """What is absent stays; attributes are joined by name."""
    requester = data.requester
    return msgspec.structs.replace(
        facts,
        channel=facts.channel if data.channel is None else data.channel,
        urgency=facts.urgency if data.urgency is None else data.urgency,
        attributes=facts.attributes if data.attributes is None else {**facts.attributes, **data.attributes},
        requester_key=facts.requester_key if requester is None or requester.key is None else requester.key,
        requester_tier=facts.requester_tier if requester is None or requester.tier is None else requester.tier,
    )
