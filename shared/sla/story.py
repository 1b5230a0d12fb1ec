"""What happened to a ticket, in order: how it stood, which line of the policy held, and what somebody waited for.

First half of the fold. It knows events and their meaning (sla-rules 2.D), nothing of calendars; `shared.sla.placing`
turns each wait into clocks. Instants are microseconds since the epoch.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from shared.contract.events import (
    Accepted,
    Assigned,
    DeadlineSet,
    Declined,
    Feedback,
    Opened,
    Owned,
    PolicyChanged,
    Released,
    Replied,
    Scored,
    StatusChanged,
    TicketEvent,
    Unowned,
    Updated,
)
from shared.contract.tickets import Author, Status, TargetKind
from shared.sla import pausing
from shared.sla.calendar import to_microseconds
from shared.sla.fields import Facts, Fields
from shared.sla.pausing import Pauses, Table
from shared.sla.policy import Judge, Line, Reopen

_KINDS = (
    Opened, Scored, PolicyChanged, Updated, Assigned, Accepted, Declined, Released, Owned, Replied, StatusChanged, Unowned,
    DeadlineSet, Feedback,
)  # fmt: skip
_RANKS: dict[type[Any], int] = {kind: rank for rank, kind in enumerate(_KINDS)}
"""Order of what happened at the same instant: a reply sent together with a new status was written under the old one, and a
deadline set together with a reopening is that of what begins."""

_FIRST_RESPONSE = TargetKind.FIRST_RESPONSE
_NEXT_RESPONSE = TargetKind.NEXT_RESPONSE
_UPDATE = TargetKind.UPDATE
_RESOLUTION = TargetKind.RESOLUTION
_OWNERSHIP = TargetKind.OWNERSHIP
_FOLLOW_UP = TargetKind.FOLLOW_UP
_TEAM_FIRST_RESPONSE = TargetKind.INTERNAL_FIRST_RESPONSE
_TEAM_RESOLUTION = TargetKind.INTERNAL_RESOLUTION
_TEAM_OWNERSHIP = TargetKind.INTERNAL_OWNERSHIP
_INTERNAL = frozenset({_TEAM_FIRST_RESPONSE, _TEAM_RESOLUTION, _TEAM_OWNERSHIP})
_RESOLUTIONS = frozenset({_RESOLUTION, _TEAM_RESOLUTION})
_ENDED_BY_WORK = frozenset({Status.SOLVED, Status.CLOSED})

Lines = list[tuple[int, Line | None]]
"""Which line held from when on."""


class Wait(Struct, gc=False, eq=False):
    """Somebody waits for something of us; the clocks of one cycle are made from it."""

    kind: TargetKind
    started: int
    origin: int
    """From when its time counts: before `started` where a reopened ticket resumes an older promise."""
    resumes: "Wait | None" = None
    """The wait whose promise a reopened ticket resumes."""
    ending: Any = None
    """Kept by `placing`: what held when it ended."""
    ended: int | None = None
    is_kept: bool = False
    """Ended by what was waited for, rather than made moot."""
    deadlines: tuple[tuple[int, int | None], ...] = ()
    """Due times set by hand: when that was said, and the due time (None: the policy's again)."""


class Story:
    """A ticket's events, told one by one in order."""

    __slots__ = (
        "_is_answered",
        "_judges",
        "_keeps_informed",
        "_latest",
        "_open",
        "_owner",
        "_paused",
        "_unanswered_since",
        "agent",
        "classification",
        "facts",
        "fields",
        "internal_lines",
        "judge",
        "lines",
        "opened_at",
        "solved_at",
        "status",
        "statuses",
        "waits",
    )  # fmt: skip

    def __init__(self, opening: TicketEvent, data: Opened, at: int, judge: Judge, later: Mapping[int, Judge]) -> None:
        self.judge = judge
        self._judges = later
        self.opened_at = opening.occurred_at
        self.facts = _opening_facts(opening.source, data)
        self.agent: str | None = None
        self.solved_at: int | None = None
        self.status = Status.OPEN
        self.statuses: list[tuple[int, Status]] = [(at, Status.OPEN)]
        self.lines: Lines = []
        self.internal_lines: Lines = []
        self.waits: list[Wait] = []
        self._open: dict[TargetKind, Wait] = {}
        self._latest: dict[TargetKind, Wait] = {}
        self._owner: str | None = None
        self._paused: dict[frozenset[Status], tuple[int, Table]] = {}
        self._is_answered = False
        self._keeps_informed = True
        self._unanswered_since: int | None = None
        self._judge(at)
        if data.by is Author.CUSTOMER:
            self._start(_FIRST_RESPONSE, at)
        self._start(_UPDATE, at)
        self._start(_RESOLUTION, at)
        self._start(_OWNERSHIP, at)
        self._start_team(at)

    @property
    def line(self) -> Line | None:
        """The line of the policy that holds now."""
        return self.lines[-1][1]

    @property
    def owner(self) -> str | None:
        """Who has the ticket now."""
        return self._owner

    def lines_of(self, kind: TargetKind) -> Lines:
        """The lines that promise this kind, or don't."""
        return self.internal_lines if kind in _INTERNAL else self.lines

    def pauses(self, statuses: frozenset[Status], start: int, end: int | None) -> Pauses:
        """The stretches between two instants in which the ticket stood so; without an end, up to now."""
        told = len(self.statuses)
        if told == 1 and self.statuses[0][1] not in statuses:
            return pausing.NONE
        known = self._paused.get(statuses)
        if known is None or known[0] != told:
            known = self._paused[statuses] = told, Table(self.statuses, statuses)
        return Pauses(known[1], start, end)

    def tell(self, event: TicketEvent, at: int) -> None:
        """What the next event means."""
        match event.data:
            case Replied() as data:
                self._reply(data, at)
            case StatusChanged(status=status):
                self._stand(status, at)
            case Updated() | Scored() as data:
                self._learn(data, at)
            case Assigned() as data:
                self._assign(data, at)
            case DeadlineSet() as data:
                self._set_deadline(data, at)
            case Owned(agent=agent):
                self._own(agent, at)
            case Unowned(agent=agent):
                self._own(None if agent == self._owner else self._owner, at)
            case PolicyChanged(version=version):
                self._change_policy(self._judges[version], at)
            case Feedback():
                self._end(_FOLLOW_UP, at, is_kept=True)
            case Opened() | Accepted() | Declined() | Released():
                pass  # a ticket opens once; whose it is, the assignments tell

    def _learn(self, data: Updated | Scored, at: int) -> None:
        """Judge the ticket anew. The first score is that of the opening that counts."""
        if isinstance(data, Updated):
            self.facts = _updated_facts(self.facts, data)
        elif self.facts.scored is None:
            self.facts = msgspec.structs.replace(self.facts, scored=data)
        else:
            return
        self._judge(at)

    def _assign(self, data: Assigned, at: int) -> None:
        self.agent = data.agent
        if data.team is not None and data.team != self.facts.team:
            self._hand_off(data.team, at)
        if not self.status.is_over:  # whoever is named meanwhile has it when it comes back
            self._own(data.agent, at)

    def _set_deadline(self, data: DeadlineSet, at: int) -> None:
        """Of a promise that is running; one made later has its own time."""
        wait = self._open.get(data.target)
        if wait is not None:
            due = None if data.due_at is None else to_microseconds(data.due_at)
            wait.deadlines = (*wait.deadlines, (at, due))

    def _change_policy(self, judge: Judge, at: int) -> None:
        """Versions only go up: a newer one may hold from an earlier time on."""
        if judge.policy.version <= self.judge.policy.version:
            return
        had_internal = bool(self.internal_lines)
        self.judge = judge
        self._judge(at)
        if not had_internal and not self.status.is_over and self._keeps_informed:
            self._start_team(at)

    def _judge(self, at: int) -> None:
        facts = self.facts
        policy = self.judge.policy
        verdict = self.judge.classify(facts)
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
            team=facts.team,
            attributes=facts.attributes,
            text=text,
        )
        line = policy.line_for(self.fields, self.opened_at)
        if not self.lines or line is not self.line:
            self.lines.append((at, line))
        if policy.internal_lines or self.internal_lines:
            line = policy.internal_line_for(self.fields, self.opened_at)
            if not self.internal_lines or line is not self.internal_lines[-1][1]:
                self.internal_lines.append((at, line))

    def _reply(self, data: Replied, at: int) -> None:
        if not data.public:
            return
        if data.by is Author.CUSTOMER:
            if self._unanswered_since is None:
                self._unanswered_since = at
                self._await_next_response(at)
        elif data.by is Author.AGENT:
            self._unanswered_since = None
            self._is_answered = _FIRST_RESPONSE in self._latest
            self._end(_FIRST_RESPONSE, at, is_kept=True)
            self._end(_NEXT_RESPONSE, at, is_kept=True)
            self._end(_TEAM_FIRST_RESPONSE, at, is_kept=True)
            self._end(_FOLLOW_UP, at, is_kept=True)
            if self._keeps_informed and not self.status.is_over:
                self._end(_UPDATE, at, is_kept=True)
                self._start(_UPDATE, at)

    def _await_next_response(self, at: int) -> None:
        """Runs from the oldest unanswered message (rule 44), not before there was a first response (rule 45).

        Where we began the ticket, the first response is owed from the customer's first message on (rule 43).
        """
        if self.status.is_over:
            return
        if self._is_answered:
            self._start(_NEXT_RESPONSE, at)
        elif _FIRST_RESPONSE not in self._latest:
            self._start(_FIRST_RESPONSE, at)

    def _own(self, agent: str | None, at: int) -> None:
        """Somebody has the ticket now, or nobody does."""
        self._owner = agent
        if agent is not None:
            self._end(_OWNERSHIP, at, is_kept=True)
            self._end(_TEAM_OWNERSHIP, at, is_kept=True)
        elif not self.status.is_over and self._keeps_informed:
            self._start_unless_open(_OWNERSHIP, at)
            self._start_unless_open(_TEAM_OWNERSHIP, at)

    def _hand_off(self, team: str, at: int) -> None:
        """The team before is done with its part; the clocks of the next begin (rule 56)."""
        for kind in _INTERNAL:
            wait = self._open.get(kind)
            if wait is not None and wait.started == at:
                self.waits.remove(wait)  # opened and handed on at once: that team never had it
            self._end(kind, at, is_kept=True)
        self.facts = msgspec.structs.replace(self.facts, team=team)
        self._judge(at)
        if not self.status.is_over and self._keeps_informed:
            self._start_team(at)

    def _start_team(self, at: int) -> None:
        if not self.internal_lines:
            return
        self._start(_TEAM_FIRST_RESPONSE, at)
        self._start(_TEAM_RESOLUTION, at)
        if self._owner is None:
            self._start(_TEAM_OWNERSHIP, at)

    def _stand(self, status: Status, at: int) -> None:
        was_over, self.status = self.status.is_over, status
        if self.statuses[-1][1] is status:
            return
        self.statuses.append((at, status))
        if not status.is_over:
            if was_over:
                self._reopen(at)
        elif not was_over:
            self._finish(status, at)
        elif status not in _ENDED_BY_WORK:
            self._end(_FOLLOW_UP, at, is_kept=False)

    def _finish(self, status: Status, at: int) -> None:
        """Solving keeps the resolution and makes the rest moot (rule 46); spam and merging make all moot (rule 50)."""
        is_kept = status in _ENDED_BY_WORK
        self.solved_at = at if is_kept else None
        self._unanswered_since = None
        self._owner = self.agent = None
        for kind in tuple(self._open):
            self._end(kind, at, is_kept=is_kept and kind in _RESOLUTIONS)
        if is_kept:
            self._start(_FOLLOW_UP, at)

    def _reopen(self, at: int) -> None:
        self.solved_at = None
        self._end(_FOLLOW_UP, at, is_kept=False)
        line = self.line
        mode = Reopen.RESUME if line is None else line.target.on_reopen
        self._keeps_informed = mode is not Reopen.NONE
        self._owner = self._owner or self.agent  # who was named while it was over has it now
        if self._keeps_informed:
            is_resumed = mode is Reopen.RESUME
            self._start(_RESOLUTION, at, self._latest[_RESOLUTION] if is_resumed else None)
            self._start(_UPDATE, at)
            owner, self._owner = self._owner, None
            self._start(_OWNERSHIP, at)
            self._start_team(at)
            if owner is not None:  # it was given away before the instant at which it is said to be reopened
                self._own(owner, at)
            if not self._is_answered and _FIRST_RESPONSE in self._latest:
                self._start(_FIRST_RESPONSE, at, self._latest[_FIRST_RESPONSE] if is_resumed else None)
        if self._unanswered_since is not None:
            self._await_next_response(at)

    def _start(self, kind: TargetKind, at: int, resumed: Wait | None = None) -> None:
        wait = Wait(kind, at, at)
        if resumed is not None:
            wait.origin = resumed.origin
            wait.resumes = resumed
            wait.deadlines = resumed.deadlines
        self._latest[kind] = self._open[kind] = wait
        self.waits.append(wait)

    def _start_unless_open(self, kind: TargetKind, at: int) -> None:
        if kind not in self._open and (kind not in _INTERNAL or self.internal_lines):
            self._start(kind, at)

    def _end(self, kind: TargetKind, at: int, *, is_kept: bool) -> None:
        wait = self._open.pop(kind, None)
        if wait is not None:
            wait.ended = at
            wait.is_kept = is_kept


def tell(events: Sequence[TicketEvent], judge: Judge, later: Mapping[int, Judge]) -> Story | None:
    """The story of these events, in whatever order and however often they came; None before the ticket was opened.

    What is dated before the opening counts as happening at it. `judge` is the policy version in force then, `later` has
    those the events name; raises KeyError for one that is missing.
    """
    story = None
    for story, _, _ in steps(events, judge, later):  # noqa: B007 - the last one is the whole story
        pass
    return story


class Step(NamedTuple):
    """The story up to one event; it is the same object at each step, told further."""

    story: Story
    event: TicketEvent
    at: int


def steps(events: Sequence[TicketEvent], judge: Judge, later: Mapping[int, Judge]) -> Iterator[Step]:
    """`tell`, stopping after each event, the opening first: every prefix of the log in order. None where it never opened."""
    told = _in_order(events)
    for opening in told:
        if isinstance(opening.data, Opened):
            opened = to_microseconds(opening.occurred_at)
            story = Story(opening, opening.data, opened, judge, later)
            yield Step(story, opening, opened)
            for event in told:
                if event is not opening:
                    at = max(opened, to_microseconds(event.occurred_at))
                    story.tell(event, at)
                    yield Step(story, event, at)
            return


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
        team=data.team or "",
        attributes=data.attributes,
    )


def _updated_facts(facts: Facts, data: Updated) -> Facts:
    """What is absent stays; attributes are joined by name."""
    requester = data.requester
    return msgspec.structs.replace(
        facts,
        channel=facts.channel if data.channel is None else data.channel,
        urgency=facts.urgency if data.urgency is None else data.urgency,
        is_urgency_said=facts.is_urgency_said or data.urgency not in {None, facts.urgency},
        theme=facts.theme if data.theme is None else data.theme,
        attributes=facts.attributes if data.attributes is None else {**facts.attributes, **data.attributes},
        requester_key=facts.requester_key if requester is None or requester.key is None else requester.key,
        requester_tier=facts.requester_tier if requester is None or requester.tier is None else requester.tier,
    )
