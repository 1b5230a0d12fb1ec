"""The policy file as its authors write it: keys, kinds of values, what may be left out.

The one list of keys: `shared.policy.shape` checks files against these structs and the JSON Schema is made from them.
What texts mean (durations, hours, references) is read by `shared.policy.parse` and its neighbours.
"""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from shared.contract.tickets import Channel, Status, TargetKind, Urgency
from shared.policy.document import Answers, Bind, Counts, Handoff
from shared.sla.policy import Reopen

Duration: TypeAlias = Annotated[
    str,
    Meta(
        description="How long: `30s`, `15m`, `4h`, `1h30m` of the calendar's open time, or `2bd` business days.",
        examples=["30s", "15m", "4h", "2bd"],
    ),
]
WarnPoint: TypeAlias = Annotated[
    str, Meta(description="When to warn: a share of the promise used, or open time left.", examples=["75%", "30m"])
]
Recipient: TypeAlias = Annotated[
    str,
    Meta(
        description="Whom to page: `on-call/<rotation>`, `person/<key>`, `owner`, `lead` or `channel/<name>`.",
        examples=["on-call/support", "person/ana", "owner"],
    ),
]
Texts: TypeAlias = str | Annotated[list[str], Meta(max_length=2_000)]
Comparand: TypeAlias = str | int | float | bool | list[str | int | float | bool | None] | None
When: TypeAlias = Annotated[
    dict[str, Comparand],
    Meta(
        description="Which tickets: fields (channel, urgency, theme, language, source, requester.tier, requester.key, "
        "team, attributes.<name>) with a value or a list of values, and `text` with words or /regular expressions/."
    ),
]


OWN_KEY = "x-"
"""Top-level keys that begin so are the author's own: a place for YAML anchors."""


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any mapping of the file."""


class HolidaysLine(Line, frozen=True, kw_only=True):
    """Public holidays of a country, closed all day."""

    country: Annotated[str, Meta(description="ISO 3166 code, as in `US`.", examples=["US", "DE"])]
    subdivision: Annotated[str, Meta(description="State or province, as in `MA`.")] | None = None
    without: Annotated[Texts, Meta(description="Names of holidays that are worked.")] = []
    dates: (
        Annotated[list[str], Meta(description="What they came to when this version was applied; written by us.")] | None
    ) = None


class ClosuresLine(Line, frozen=True, kw_only=True):
    """Closures that somebody else keeps."""

    ical: Annotated[
        str,
        Meta(
            description="iCalendar file, beside the policy file, or an https address. `deskclock policy` reads it when the "
            "policy is checked or applied; what it says is kept with the version.",
            examples=["closures.ics"],
        ),
    ]


class FeedLine(Line, frozen=True, kw_only=True):
    """What the `closures` of a calendar came to; written by `deskclock policy`, never read anew for a stored version."""

    events: Annotated[int, Meta(ge=0, le=100_000)]
    closed: Annotated[list[str], Meta(max_length=5_000, description="In the forms of a calendar's `closed`.")] = []


Parts: TypeAlias = Annotated[list[str], Meta(min_length=1, max_length=20)]


class CalendarLine(Line, frozen=True, kw_only=True):
    """When we work: hours and exceptions of its own, or made of other calendars."""

    timezone: (
        Annotated[
            str,
            Meta(
                description="IANA name; default UTC, for a calendar made of others that of its first part. "
                "Business days are days of this zone.",
                examples=["America/New_York"],
            ),
        ]
        | None
    ) = None
    hours: Annotated[
        Literal["always"] | dict[str, Texts],
        Meta(description='`always`, or days and ranges of days with times: {mon-fri: "09:00-12:30, 13:00-17:00"}.'),
    ] = {}
    holidays: HolidaysLine | Annotated[list[HolidaysLine], Meta(max_length=20)] = []
    closed: Annotated[
        Texts, Meta(description="Closures: `2026-12-24 12:00-24:00`, `2026-08-03..2026-08-14`, yearly `12-24..01-02`.")
    ] = []
    open: Annotated[Texts, Meta(description="Extra openings, in the same forms; they beat holidays and closures.")] = []
    closures: ClosuresLine | Annotated[list[ClosuresLine], Meta(max_length=20)] = []
    union: Annotated[Parts, Meta(description="Open where any of these calendars is.")] | None = None
    intersection: Annotated[Parts, Meta(description="Open where all of these calendars are.")] | None = None
    from_: Annotated[str, Meta(description="Open where this calendar is, and none of `without`.")] | None = field(
        default=None, name="from"
    )
    without: Annotated[str | Parts, Meta(description="Calendars to take away from that of `from`.")] | None = None


class ChannelLine(Line, frozen=True, kw_only=True):
    """How work of one channel arrives and what it costs an agent."""

    aliases: Annotated[Texts, Meta(description="What the helpdesk calls it.")] = []
    units: Annotated[int, Meta(ge=1, le=1000, description="Of an agent's capacity (12).")] | None = None
    interruptible: bool | None = None
    bind: Bind | None = None
    offer: (
        Annotated[str, Meta(description="How long an offer waits for an answer; `none` assigns without asking.")] | None
    ) = None
    at_most: (
        Annotated[int, Meta(ge=1, le=1000, description="Tickets of this channel that an agent has at a time.")] | None
    ) = None
    park: (
        Annotated[
            str,
            Meta(
                description="Work in which nobody has written for so long takes no capacity until the customer writes; "
                "`none`: never. Default 10m for live_chat."
            ),
        ]
        | None
    ) = None


class UrgencyLine(Line, frozen=True, kw_only=True):
    """Tickets like this are at least so urgent."""

    name: str
    urgency: Urgency
    when: When


class ThemeLine(Line, frozen=True, kw_only=True):
    """Tickets like this are about that."""

    name: str
    when: When


class SkillLine(Line, frozen=True, kw_only=True):
    """What tickets like this ask of their owner."""

    name: Annotated[
        str,
        Meta(
            max_length=100,
            description="Kept with the ticket and shown by `explain` where the rule hits; without a name it isn't.",
        ),
    ] = ""
    need: Annotated[
        str | list[str | dict[str, Annotated[int, Meta(ge=1, le=5)]]],
        Meta(
            description="Skills the owner must have: names, or `{name: least level 1-5}`.",
            examples=[["billing", {"sql": 3}]],
        ),
    ] = []
    prefer: Annotated[Texts, Meta(description="Skills that are good to have.")] = []
    insist: Annotated[
        bool, Meta(description="Wait for somebody with the preferred skills for a while, as `routing.relax` says.")
    ] = False
    when: When | None = None


class OverflowLine(Line, frozen=True, kw_only=True):
    """Who else may take what waits here, and from when on."""

    to: Annotated[str, Meta(description="Name of a pool.")]
    after: Annotated[str, Meta(description="Share of the promise that has passed, as in `50%`.")] = "50%"


class PoolLine(Line, frozen=True, kw_only=True):
    """Tickets like this wait in a queue of their own."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    when: When | None = None
    overflow: OverflowLine | None = None


class AffinityLine(Line, frozen=True, kw_only=True):
    """Who had a ticket before gets it again."""

    wait: Annotated[
        str, Meta(description="For how much of the time that is left it waits for them; default `20%`.")
    ] = "20%"
    same_customer: Annotated[
        str,
        Meta(description="So recently somebody had a ticket of the same customer; default `none`.", examples=["72h"]),
    ] = "none"


class RoutingLine(Line, frozen=True, kw_only=True):
    """How tickets are ordered and given to agents."""

    strict_priority: Annotated[bool, Meta(description="More urgent ones first while all can still be saved.")] = False
    rescue_after: Annotated[
        int,
        Meta(
            ge=1, le=100, description="What is later than so many lengths of its promise comes before everything else."
        ),
    ] = 3
    first_action: Annotated[
        str,
        Meta(
            description="Share of the time left in which an agent does something with what they got, or it goes to somebody "
            "else; `none`: it stays. Default `50%`."
        ),
    ] = "50%"
    relax: Annotated[
        list[str],
        Meta(
            min_length=1,
            max_length=10,
            description="Shares of the promise at which insisted preferences are given up, one group each.",
        ),
    ] = field(default_factory=lambda: ["25%", "50%", "75%"])
    affinity: AffinityLine = AffinityLine()
    fallback: Annotated[str, Meta(description="Key of the person who gets what nobody has the skills for.")] | None = (
        None
    )
    parked_at_most: Annotated[int, Meta(ge=0, le=1000, description="Parked tickets of one agent.")] = 6
    grace: Annotated[str, Meta(description="Who is gone for no longer keeps what they have; default `60s`.")] = "60s"
    away_after: Annotated[
        int, Meta(ge=1, le=100, description="Offers lapsed in a row until an agent counts as away.")
    ] = 2


class ModelLine(Line, frozen=True, kw_only=True):
    """When a trained model is believed."""

    confidence: Annotated[str, Meta(description="How sure it must be; default `60%`.")] = "60%"
    triage: Annotated[str, Meta(description="Skill needed for what it is unsure about; `none`: nothing more.")] = (
        "triage"
    )


class ValidLine(Line, frozen=True, kw_only=True):
    """The tickets a line is for, by when they were opened: from this instant, up to (not including) that one."""

    from_: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | None = field(default=None, name="from")
    to: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | None = None


class GraceLine(Line, frozen=True, kw_only=True):
    """A changed promise leaves so much open time at least, counted from the change."""

    grace: Annotated[str, Meta(description="Open time of the calendar: `30m`, `2h`.")]


class TargetLine(Line, frozen=True, kw_only=True):
    """What is promised to tickets like this; the first line that matches wins."""

    name: str
    kind: (
        Annotated[
            Literal["customer", "internal"],
            Meta(
                description="`internal`: a team's own first_response, resolution and ownership, beside the customer's; "
                "they restart when the ticket is handed to another team."
            ),
        ]
        | None
    ) = None
    when: When | None = None
    calendar: str | None = None
    first_response: Duration | None = None
    next_response: Duration | None = None
    update: Duration | None = None
    resolution: Duration | None = None
    ownership: Duration | None = None
    follow_up: Duration | None = None
    promise: Annotated[Literal["nothing"], Meta(description="Says that a line without targets is meant so.")] | None = (
        None
    )
    warn: Annotated[WarnPoint | list[WarnPoint], Meta(description="Each fires once per cycle.")] = []
    escalate: Annotated[str, Meta(description="Name of the escalation to start when it warns or breaks.")] | None = None
    valid: ValidLine | None = None
    pauses_while: (
        Annotated[
            list[Status] | dict[TargetKind, list[Status]],
            Meta(
                description="Statuses that stop resolution and update, or statuses by target; default [pending_customer, on_hold]."
            ),
        ]
        | None
    ) = None
    on_reopen: Reopen | None = None
    on_change: (
        Annotated[
            Literal["retroactive", "restart"] | GraceLine,
            Meta(
                description="What it does to a clock that runs already when the ticket comes under this line: the promise "
                "counts from the original start (`retroactive`, the default), from the change (`restart`), or from the "
                "start but so much open time is left at least ({grace: 30m})."
            ),
        ]
        | None
    ) = None


class StepLine(Line, frozen=True, kw_only=True):
    """Whom to page, so long after the step before."""

    after: Annotated[str, Meta(description="Since the step before: `0m`, `10m`.")] = "0m"
    counts: Annotated[Counts, Meta(description="`open`: `after` is open time of the promise's calendar.")] = (
        Counts.ELAPSED
    )
    page: Recipient | list[Recipient]
    answers: Annotated[
        Answers, Meta(description="`all`: each recipient has to acknowledge; one stops the pages to themselves only.")
    ] = Answers.ANY


class EscalationLine(Line, frozen=True, kw_only=True):
    """What happens when a promise is about to break, and when it breaks."""

    steps: Annotated[list[StepLine], Meta(min_length=1)]
    repeat: Annotated[int, Meta(ge=1, le=20, description="How often the steps are walked before `otherwise`.")] = 1
    otherwise: Recipient | list[Recipient] = []
    on_warning: Annotated[
        Recipient | list[Recipient], Meta(description="Who is told of a warning; default: the owner.")
    ] = "owner"
    copy: Annotated[Recipient | list[Recipient], Meta(description="Who gets a copy that asks nothing of them.")] = []
    silence: Annotated[
        str | dict[Urgency, str],
        Meta(
            description="So long after an acknowledgement, if the matter hasn't ended, it begins again with the first step; "
            "by urgency, as in {urgent: 30m, high: 2h}. Default `none`.",
        ),
    ] = "none"
    ends_after: Annotated[str, Meta(description="An escalation that nobody ends, ends then, and alarms.")] = "168h"
    snooze_at_most: Annotated[str, Meta(description="The longest snooze.")] = "8h"
    handoff: Annotated[
        Handoff, Meta(description="`hand_over`: whoever comes on call next gets what is not acknowledged.")
    ] = Handoff.KEEP
    flap_window: Annotated[
        str, Meta(description="A ticket that is reopened so soon goes on without a second page.")
    ] = "5m"


Turn: TypeAlias = Annotated[
    str,
    Meta(description="How long one turn lasts: `daily`, `weekly`, or as in `3 days`, `2 weeks`.", examples=["weekly"]),
]
LocalHandoff: TypeAlias = Annotated[
    str,
    Meta(
        description="Local time at which the next person comes: `mon 09:00` for weeks, `09:00` for days. One that a clock "
        "change leaves out moves forward, of one that comes twice it is the first.",
        examples=["mon 09:00", "09:00"],
    ),
]
Begins: TypeAlias = Annotated[
    str,
    Meta(description="The first of the people has the turn that holds this day.", extra_json_schema={"format": "date"}),
]


class LayerLine(Line, frozen=True, kw_only=True):
    """People who take turns, where no later layer is on."""

    name: Annotated[str, Meta(max_length=100, description="Said with each page; default its number.")] | None = None
    rotation: Turn
    handoff: LocalHandoff
    people: Annotated[list[str], Meta(min_length=1, max_length=500)]
    begins: Begins | None = None
    hours: Annotated[
        dict[str, Texts], Meta(description='When it is on, default always: {mon-fri: "09:00-17:00"}, local time.')
    ] = {}
    valid: Annotated[ValidLine, Meta(description="From when to when the layer is there at all.")] | None = None


class RotationLine(Line, frozen=True, kw_only=True):
    """Who is on call: people who take turns, layers of such, or what a calendar kept elsewhere says."""

    timezone: (
        Annotated[
            str, Meta(description="IANA name; of a feed, the zone of times without one.", examples=["Europe/Berlin"])
        ]
        | None
    ) = None
    rotation: Turn | None = None
    handoff: LocalHandoff | None = None
    people: (
        Annotated[list[str], Meta(min_length=1, max_length=500)]
        | Annotated[
            dict[str, str],
            Meta(
                max_length=2_000,
                description="Of a feed: names or e-mail addresses in it, with the key on the roster; `none` for events that "
                "are no shifts.",
            ),
        ]
        | None
    ) = None
    begins: Begins | None = None
    layers: Annotated[
        list[LayerLine],
        Meta(min_length=1, max_length=50, description="Later ones beat earlier ones where they are on."),
    ] = []
    ical: (
        Annotated[
            str,
            Meta(
                description="iCalendar file, or an https address, in which somebody else keeps the shifts; "
                "`deskclock on-call import` reads it.",
                examples=["https://calendar.example.org/support.ics"],
            ),
        ]
        | None
    ) = None


class PagingLine(Line, frozen=True, kw_only=True):
    """How pages are held together and held back."""

    window: Annotated[
        str, Meta(description="Pages to one recipient within this are one group; `0s`: each goes by itself.")
    ] = "60s"
    settle: Annotated[str, Meta(description="When a group tells of those that joined its first page.")] = "5s"
    digest_after: Annotated[str, Meta(description="What is paged so late is told in one digest.")] = "10m"
    say_subject: Annotated[bool, Meta(description="Whether pages may quote the ticket's subject.")] = False


class FollowUpLine(Line, frozen=True, kw_only=True):
    """After a ticket was solved we ask again."""

    after_solved: Duration
    when: When | None = None


class PolicyFile(Line, frozen=True, kw_only=True):
    """What we promise, to whom, and who is woken when we fail."""

    calendars: Annotated[dict[str, CalendarLine], Meta(max_length=200)] = {}
    channels: dict[Channel, ChannelLine] = {}
    urgency: Annotated[list[UrgencyLine], Meta(max_length=2_000)] = []
    themes: Annotated[list[ThemeLine], Meta(max_length=2_000)] = []
    skills: Annotated[list[SkillLine], Meta(max_length=2_000)] = []
    pools: Annotated[list[PoolLine], Meta(max_length=200)] = []
    routing: RoutingLine = RoutingLine()
    model: ModelLine = ModelLine()
    targets: Annotated[list[TargetLine], Meta(max_length=5_000)] = []
    escalations: Annotated[dict[str, EscalationLine], Meta(max_length=1_000)] = {}
    on_call: Annotated[dict[str, RotationLine], Meta(max_length=1_000)] = {}
    paging: PagingLine = PagingLine()
    follow_up: FollowUpLine | None = None
    feeds: Annotated[
        dict[str, FeedLine],
        Meta(max_length=200, description="By calendar, what its `closures` came to; written by `deskclock policy`."),
    ] = {}
    tzdata: (
        Annotated[str, Meta(description="Edition of the time zones when this version was applied; written by us.")]
        | None
    ) = None


def policy_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the policy file."""
    return schema_of(PolicyFile)


def schema_of(file: type[Line]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a kind of file."""
    schema = msgspec.json.schema(file)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$defs"][file.__name__]["patternProperties"] = {f"^{OWN_KEY}": {}}
    return schema
