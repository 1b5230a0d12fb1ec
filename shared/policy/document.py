"""A whole policy version, compiled: everything an operations lead decides, ready to be asked.

`shared.policy.parse` makes it from the file; the router asks it for urgency, skills and channels, escalation for
ladders and rotations, the fold for targets and calendars.
"""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from msgspec import Struct

from shared.contract.tickets import Channel, Urgency
from shared.sla.condition import Condition
from shared.sla.hours import Hours
from shared.sla.policy import SlaPolicy

TOO_SHORT_TO_INSIST = timedelta(minutes=2)
"""Of a promise shorter than this no time is spent on waiting for somebody who is only preferred."""


class Bind(StrEnum):
    """When a ticket gets its owner: when one can start (`late`), or at once."""

    LATE = "late"
    ON_ARRIVAL = "on_arrival"


class ChannelRule(Struct, frozen=True, kw_only=True):
    """What work of one channel costs an agent, in units of capacity."""

    units: int
    interruptible: bool = False
    bind: Bind = Bind.LATE
    offer: timedelta | None = None
    """How long an offer waits for an answer; None assigns without asking."""
    at_most: int | None = None
    """So many tickets of the channel an agent has at a time, unless the roster says otherwise; None: as units allow."""
    park: timedelta | None = None
    """Real-time work in which nobody has written for so long is parked and takes no units, unless we owe an answer; None: never."""


class UrgencyRule(Struct, frozen=True, kw_only=True):
    """Tickets under this condition are at least this urgent; the highest rule that matches wins."""

    name: str
    urgency: Urgency
    when: Condition


class ThemeRule(Struct, frozen=True, kw_only=True):
    """Tickets under this condition are of this theme; the first match wins."""

    name: str
    when: Condition


class SkillRule(Struct, frozen=True, kw_only=True):
    """Skills that tickets under this condition need (with the least level) and prefer; `{language}` and the like are filled in."""

    name: str = ""
    need: tuple[tuple[str, int], ...] = ()
    prefer: tuple[str, ...] = ()
    when: Condition | None = None
    insist: bool = False
    """What is preferred is asked for like a need, until `Routing.relax` gives it up."""


class PoolRule(Struct, frozen=True, kw_only=True):
    """Tickets under this condition wait in a queue of their own; the first match wins."""

    name: str
    when: Condition
    overflow_to: str | None = None
    """Agents of that pool may take them too, once `overflow_after` of the promise has passed."""
    overflow_after: float = 1.0
    """A share of the promise, 0 to 1."""


class Routing(Struct, frozen=True, kw_only=True):
    """How tickets are ordered and given to agents (routing-rules 3); the defaults are the best we measured."""

    strict_priority: bool = False
    """Among tickets that can still be saved, the more urgent come first."""
    rescue_after: float = 3.0
    """G: a ticket later than so many lengths of its promise comes before all that isn't."""
    first_action: float | None = 0.5
    """An agent does something with accepted work within this share of the time that is left, or it goes to somebody else."""
    relax: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Shares of the promise after which one group of insisted preferences after the other is given up."""
    affinity_wait: float = 0.2
    """A ticket waits for its previous owner for this share of the time in which it can still be saved."""
    same_customer: timedelta | None = None
    """Who had a ticket of the same customer so recently counts as the previous owner."""
    fallback: str | None = None
    """Who gets what nobody on the roster has the skills for."""
    parked_at_most: int = 6
    """Parked tickets of one agent."""
    grace: timedelta = timedelta(seconds=60)
    """Who is gone for no longer than this keeps what they have."""
    away_after: int = 2
    """Offers that lapse in a row until an agent counts as away."""


class ModelTerms(Struct, frozen=True, kw_only=True):
    """When a trained model is believed."""

    confidence: float = 0.6
    """Less than this, and the model has said nothing."""
    triage: str | None = "triage"
    """The skill that tickets need about which a model is unsure; None: no other than the rules ask for."""


class Counts(StrEnum):
    """What the wait before a step is made of."""

    ELAPSED = "elapsed"
    OPEN = "open"
    """Open time of the promise's calendar."""


class Answers(StrEnum):
    """Whose acknowledgement ends a step with several recipients."""

    ANY = "any"
    ALL = "all"
    """Each answers for themselves: one acknowledgement stops the pages to that person only."""


class Handoff(StrEnum):
    """What becomes of an escalation when the shift of those it paged ends."""

    KEEP = "keep"
    HAND_OVER = "hand_over"
    """Whoever comes on call gets pages that nobody has acknowledged, and is asked to take over those that somebody has."""


class Step(Struct, frozen=True, kw_only=True):
    """One step of a ladder: whom to page, so long after the step before."""

    after: timedelta
    page: tuple[str, ...]
    """Recipients: `on-call/<rotation>`, `person/<key>`, `owner`, `lead` (the owner's), `channel/<name>`."""
    counts: Counts = Counts.ELAPSED
    answers: Answers = Answers.ANY


class Ladder(Struct, frozen=True, kw_only=True):
    """An escalation policy: what happens when a promise is about to break, and when it breaks."""

    name: str
    steps: tuple[Step, ...]
    repeat: int = 1
    """How often the steps are walked before `otherwise`."""
    otherwise: tuple[str, ...] = ()
    on_warning: tuple[str, ...] = ("owner",)
    """Who is told of a warning; where nobody owns the ticket, the recipients of the first step."""
    copy: tuple[str, ...] = ()
    """Who reads along: informational copies, which nobody need acknowledge and which are not tried twice."""
    silence: Mapping[Urgency, timedelta] = {}
    """So long after an acknowledgement without an end of the matter it goes up again (R12); never where none is given."""
    ends_after: timedelta = timedelta(days=7)
    """The hard end of an escalation that nobody ends: it alarms (R12)."""
    snooze_at_most: timedelta = timedelta(hours=8)
    handoff: Handoff = Handoff.KEEP
    flap_window: timedelta = timedelta(minutes=5)
    """What is opened again so soon goes on without a second page (R18)."""


class Paging(Struct, frozen=True, kw_only=True):
    """How pages are held together and held back (R4, R27 to R30)."""

    window: timedelta = timedelta(seconds=60)
    """Pages to one recipient of one urgency and step within this are one group."""
    settle: timedelta = timedelta(seconds=5)
    """So long after its first page a group tells of those that joined."""
    digest_after: timedelta = timedelta(minutes=10)
    """What is paged so long after it was due is told in one digest."""
    say_subject: bool = False
    """Whether a page may quote the ticket's subject, which is the customer's own text."""


class Cadence(StrEnum):
    """What one person's turn is counted in."""

    DAILY = "daily"
    WEEKLY = "weekly"


class Layer(Struct, frozen=True, kw_only=True):
    """People who take turns, always or at certain hours; a hand-off is a local time of the rotation's zone (R20)."""

    name: str = ""
    """Empty for the only layer of a rotation that is written without `layers`."""
    cadence: Cadence
    every: int = 1
    """So many days or weeks a turn lasts."""
    handoff_weekday: int = 0
    """0 is Monday; without meaning where turns are counted in days."""
    handoff_time: time
    people: tuple[str, ...]
    begins: date | None = None
    """The first of the people has the turn that holds this day; None: turns are counted from the year 1."""
    hours: tuple[tuple[Hours, ...], ...] | None = None
    """When it is on, Monday to Sunday on the wall; None: always."""
    valid_from: datetime | None = None
    valid_to: datetime | None = None


class Feed(Struct, frozen=True, kw_only=True):
    """A rotation that somebody else's calendar keeps: its shifts are imported, never fetched while paging (R25)."""

    source: str
    """An https address, or a file."""
    is_zoned: bool = True
    """Whether the policy gives a zone for times that the feed writes without one."""
    people: Mapping[str, str | None] = {}
    """Name or e-mail address, as the feed has it, to the key on the roster; None: such events are no shifts."""


class Rotation(Struct, frozen=True, kw_only=True):
    """Who is on call when, by plan: layers, of which a later one beats the earlier ones where it is on; or a feed."""

    name: str
    zone: ZoneInfo
    layers: tuple[Layer, ...] = ()
    feed: Feed | None = None

    @property
    def people(self) -> frozenset[str]:
        """Everybody whom the policy names in it."""
        fed = self.feed.people.values() if self.feed else ()
        return frozenset([*(key for layer in self.layers for key in layer.people), *filter(None, fed)])


class Policy(Struct, frozen=True, kw_only=True, eq=False):
    """One version of one tenant's policy. Compared and hashed by identity, so that what is compiled from it can be kept."""

    version: int
    sla: SlaPolicy
    channels: Mapping[Channel, ChannelRule]
    """Every channel has a rule: the policy's own, else the defaults of routing-rules 3.1."""
    aliases: Mapping[str, Channel]
    """Case-folded name as a helpdesk writes it -> channel; holds the channels' own names too."""
    urgency: tuple[UrgencyRule, ...] = ()
    themes: tuple[ThemeRule, ...] = ()
    skills: tuple[SkillRule, ...] = ()
    escalations: Mapping[str, Ladder] = {}
    on_call: Mapping[str, Rotation] = {}
    paging: Paging = Paging()
    pools: tuple[PoolRule, ...] = ()
    routing: Routing = Routing()
    model: ModelTerms = ModelTerms()


DEFAULT_POOL = "default"
"""Where tickets wait that no rule sends elsewhere."""


class Presence(StrEnum):
    """How we know whether an agent works: said, by shift calendar, or by heartbeat."""

    MANUAL = "manual"
    SHIFT = "shift"
    LEASE = "lease"


class Contact(Struct, frozen=True, kw_only=True):
    """One way to reach a person: a paging channel and what it needs to know."""

    method: str
    """`console`, `webhook`, ..."""
    address: str = ""
    secret: str = ""
    """Never the secret itself: `env:DESKCLOCK_SECRET_NAME` or `file:NAME`."""
    options: Mapping[str, str] = {}
    """What else the channel needs to know, as in {"from": "+4930..."}; no secrets."""


class Person(Struct, frozen=True, kw_only=True):
    """Somebody on the roster; works tickets if `channels` isn't empty, can be paged if `contacts` isn't."""

    key: str
    name: str
    skills: Mapping[str, int] = {}
    """Skill -> level, 1 to 5; 5 is best."""
    channels: tuple[Channel, ...] = ()
    capacity: int = 12
    at_most: Mapping[Channel, int] = {}
    """Tickets of a channel at a time; what isn't here is as the policy says."""
    pools: tuple[str, ...] = ()
    """Whose tickets they take; empty: all."""
    presence: Presence = Presence.MANUAL
    calendar: str | None = None
    """The policy's calendar by which a `shift` is."""
    lead: str | None = None
    contacts: tuple[Contact, ...] = (Contact(method="console"),)
    timezone: str | None = None
    """Of their quiet hours."""
    quiet_hours: str | None = None
    """`22:00-07:00`: pages of low urgency wait until they end (R24)."""


class Roster(Struct, frozen=True, kw_only=True):
    """Who there is."""

    people: Mapping[str, Person]
