"""What an explanation of a ticket's clocks consists of; the names are those of `ticket explain --json` and of the HTTP answer.

Instants are aware UTC, durations seconds of float. `shared.sla.explaining.explain` fills it.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from shared.contract.tickets import Channel, ClockState, Status, TargetKind, Urgency
from shared.sla.fields import By


class Check(Struct, frozen=True, kw_only=True):
    """One field of a `when` against the ticket."""

    field: str
    """As in the policy file; `opened_at` for `valid`, `text` for words and expressions."""
    wanted: tuple[str, ...]
    """Any of these would do; the first few where there are many."""
    found: str
    """What the ticket says; empty where it says nothing."""
    holds: bool


class TriedLine(Struct, frozen=True, kw_only=True):
    """A target line that stands before the one that matched, and the checks that failed."""

    line: str
    failed: tuple[Check, ...]


class Match(Struct, frozen=True, kw_only=True):
    """Which line of the policy's targets holds, and why."""

    line: str | None
    """None: no line matched, so nothing is promised (`no_target`)."""
    policy_version: int
    since: datetime
    """From when on it held; the ticket is compared as it stood then."""
    checks: tuple[Check, ...]
    """Of the matching line; empty where it has no condition."""
    tried: tuple[TriedLine, ...]
    """The lines before it, in order."""
    tried_left_out: int


class IntervalState(StrEnum):
    """What a stretch of time did to a clock."""

    COUNTED = "counted"
    PAUSED = "paused"
    """A status stood that pauses this target; in or out of opening hours."""
    CLOSED = "closed"
    """The calendar was closed."""
    RESTARTED = "restarted"
    """Before a change that made the promise count from its own instant (`on_change: restart`)."""
    LEFT_OUT = "left_out"
    """Many intervals in one, to keep the answer short."""


class Interval(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stretch of a clock's life; one begins where the one before ends."""

    state: IntervalState
    since: datetime
    until: datetime
    open_seconds: float
    """What it added to the open time used."""
    held_seconds: float = 0.0
    """Opening hours that did not count because of the pause."""
    status: Status | None = None
    """The status that paused it."""
    is_ahead: bool = False
    """Still to come: how the clock gets from now to its due time if nothing changes."""
    intervals: int = 1
    """How many it stands for."""


class Turn(StrEnum):
    """What happened to a clock."""

    STARTED = "started"
    DUE_CHANGED = "due_changed"
    """The due time moved; it has none while the clock is paused."""
    LINE_CHANGED = "line_changed"
    """Another line or version of the policy promises the same."""
    WARNED = "warned"
    MET = "met"
    BREACHED = "breached"
    BREACH_RETRACTED = "breach_retracted"
    """We had taken it for broken, and what arrived late says otherwise."""
    CANCELLED = "cancelled"


class Cause(Struct, frozen=True, kw_only=True):
    """The event of the ticket that did it."""

    kind: str
    event_id: str
    occurred_at: datetime
    what: str
    """In words: `urgency normal -> urgent`, `status open -> pending_customer`, `hand-off to team G2`, ..."""
    known_at: datetime | None = None
    """When it reached us, if that was later."""


class Turning(Struct, frozen=True, kw_only=True):
    """One change of a clock."""

    turn: Turn
    at: datetime
    """When it took effect; a retraction: when we came to know."""
    due_before: datetime | None = None
    due_after: datetime | None = None
    """None while paused."""
    late_from: datetime | None = None
    """Where the due time had passed already when it changed: late from this instant on (rules 39 and 51)."""
    taken_back: datetime | None = None
    """Of a retraction: the instant of the breach that did not happen. It gives no due times."""
    line: str
    policy_version: int
    cause: Cause | None = None
    """None where time alone did it."""
    events_between: int = 0
    """Events before it that were not looked at one by one; what they changed is in this one."""


class Warned(Struct, frozen=True, kw_only=True):
    """A warning of a clock."""

    at: datetime
    is_ahead: bool
    """Still to come, if nothing changes; else it fired."""


class HolderKind(StrEnum):
    """Who had the ticket."""

    UNASSIGNED = "unassigned"
    """Nobody: it waited in the queue."""
    AGENT = "agent"
    TEAM = "team"
    """Handed to a team, and nobody in it had taken it."""
    OVER = "over"
    """Solved, closed, spam or merged: nobody had to have it."""


class Holding(Struct, frozen=True, kw_only=True):
    """A stretch in which the same people had the ticket."""

    kind: HolderKind
    agent: str | None
    team: str | None
    after_hand_off: bool
    """The team got it from another one."""
    since: datetime
    until: datetime | None
    """None: still."""


class HolderShare(Struct, frozen=True, kw_only=True):
    """How much of a clock's open time passed while somebody had the ticket."""

    holder: str
    """In words: `nobody (in the queue)`, `ana`, `ana (team G2, after a hand-off)`."""
    open_seconds: float


class ClockStory(Struct, frozen=True, kw_only=True):
    """One promise: what it was, how it was counted, what moved it and who had it."""

    target: TargetKind
    cycle: int
    state: ClockState
    promise: str
    """In words: `8h of office`, `2bd of office`, `deadline set by hand`."""
    calendar: str
    zone: str
    """Of the calendar; texts give local times of it."""
    policy_version: int
    match: Match | None
    """None where somebody set a deadline by hand and the policy promises nothing."""
    pauses_while: tuple[Status, ...]
    on_change: str
    on_reopen: str
    """What the line says of a reopened ticket; it did so where `counts_from` lies before `started_at`."""
    escalate: str | None
    started_at: datetime
    counts_from: datetime
    """From when time counts: before `started_at` where a reopened ticket resumes an older promise."""
    due_at: datetime | None
    late_from: datetime | None
    breached_at: datetime | None
    detected_at: datetime | None
    """When the breach was noticed."""
    met_at: datetime | None
    ended_at: datetime | None
    open_seconds: float
    """Open time used so far."""
    wall_seconds: float
    """Elapsed time from start to end, or so far."""
    left_seconds: float | None
    """Open time left; negative when late; None where it ended or is due by hand."""
    intervals: tuple[Interval, ...]
    turns: tuple[Turning, ...]
    turns_left_out: int
    warn: tuple[str, ...]
    """When the line warns, as in the policy file: `75%`, `30m`."""
    warnings: tuple[Warned, ...]
    holders: tuple[HolderShare, ...]
    """The open time used, by who had the ticket; the most first."""
    broke_with: str | None
    """Who had the ticket at the breach."""


class ModelSaid(Struct, frozen=True, kw_only=True):
    """What a trained model made of the text the ticket was opened with; whether it was used, `urgency_by` and `theme_by` say."""

    version: int
    theme: str | None
    """None: it is not asked for themes."""
    theme_confidence: float
    """0 to 1."""
    urgency: Urgency | None
    urgency_confidence: float


class Corrected(Struct, frozen=True, kw_only=True):
    """Somebody said otherwise than was held of the ticket until then."""

    field: str
    """`theme` or `urgency`."""
    was: str
    now: str
    at: datetime
    event_id: str


class Classified(Struct, frozen=True, kw_only=True):
    """What is held of the ticket, and who says so: a rule of the policy, a model, a person, the helpdesk or nobody."""

    channel: Channel
    channel_said: str
    """As the helpdesk writes it."""
    urgency: Urgency
    urgency_by: By
    theme: str
    theme_by: By
    language: str
    pool: str
    needs: tuple[tuple[str, int], ...]
    """Mandatory skills with the least level."""
    prefers: tuple[str, ...]
    rules: tuple[str, ...]
    """Names of the rules that hit: the theme's, then those for urgency, then those for skills that have a name."""
    model: ModelSaid | None
    """None: no model was in force when it was opened."""
    corrections: tuple[Corrected, ...]
    corrections_left_out: int
    """Earlier ones."""


class Outlook(Struct, frozen=True, kw_only=True):
    """What a team lead says when asked: read the sentences aloud."""

    happened: str
    next: str
    by: datetime | None
    responsible: str


class Waiting(Struct, frozen=True, kw_only=True):
    """Why a ticket has no owner yet."""

    reason: str
    """`new` (not looked at yet), `no_skill`, `offline`, `full`, `fragmented` or `excluded`."""
    since: datetime | None
    """None while it is `new`."""
    next_shift_at: datetime | None
    """Where those who can take it are not there: when the first of them is; None where that is not known."""
    help_at: datetime | None
    """When somebody is told, unless somebody takes it before; None where it just waits, or they were told."""
    insists: list[str] = []
    """Preferred skills that are needed as yet, because the policy insists upon them."""
    insists_until: datetime | None = None
    """When the last of them becomes a mere preference."""
    declined: list[str] = []
    """Who doesn't get it again: they declined it, let it lapse, gave it back or didn't touch it."""


class Given(Struct, frozen=True, kw_only=True):
    """How an agent has a ticket, or is offered it, and what time will do about that."""

    agent: str
    state: str
    """`offered`, `active` or `parked`."""
    since: datetime
    """When it was given or offered."""
    offered_until: datetime | None
    """When the offer lapses."""
    act_by: datetime | None
    """When it goes back into the queue, unless they do something with it."""
    park_at: datetime | None
    """When it is parked, unless somebody writes."""


class Explanation(Struct, frozen=True, kw_only=True):
    """One ticket, explained at one instant."""

    source: str
    external_id: str
    now: datetime
    zone: str
    """In which the texts give local times."""
    status: Status
    opened_at: datetime | None
    """None while only later events of the ticket have arrived: then nothing is promised yet."""
    policy_version: int | None
    outlook: Outlook
    classified: Classified | None
    """None while its opening has not arrived."""
    match: Match | None
    """The line that holds now for the customer's promises."""
    internal_match: Match | None
    """The same for a team's own; None where the policy has no such lines."""
    clocks: tuple[ClockStory, ...]
    clocks_left_out: int
    """Earlier finished ones."""
    holdings: tuple[Holding, ...]
    holdings_left_out: int
    """Earlier ones."""
    late_events_left_out: int
    """Events that arrived late and were not checked for breaches they took back."""
    waiting: Waiting | None = None
    """Why it has no owner yet; None where it has one, or needs none."""
    given: Given | None = None
    """How an agent has it; None while it waits, and once it is over."""
