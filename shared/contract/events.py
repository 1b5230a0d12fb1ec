"""Ticket events on the wire: CloudEvents 1.0 in, one frozen struct out.

Every door (JetStream, HTTP, webhooks, files) turns its input into `TicketEvent` here. What can't be read raises
`Rejected` with a reason a person can act on; unknown fields are ignored.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from shared.contract.tickets import Author, Status, TargetKind, Urgency

Instant: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""RFC 3339 with an offset; a time without one is refused."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
ShortText: TypeAlias = Annotated[str, Meta(max_length=2_000)]
LongText: TypeAlias = Annotated[str, Meta(max_length=200_000)]


EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing happened to a ticket before this; what is dated so is somebody's empty date."""

LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""Calendars end here, so nothing is promised for later."""


class Rejected(ValueError):
    """The event can't be used; the text says why and what would be right."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        """One word from a closed set, fit for a metric label."""


class Requester(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The customer, as the helpdesk knows them."""

    key: ShortText | None = None
    tier: ShortText | None = None


class Opened(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="opened"):
    """A ticket came into being."""

    channel: ShortText
    subject: ShortText = ""
    text: LongText = ""
    language: Annotated[str, Meta(max_length=35)] | None = None
    requester: Requester = Requester()
    attributes: dict[str, Any] = {}
    urgency: Urgency | None = None
    by: Author = Author.CUSTOMER
    """Who began it. Where we did, a first response is owed from the customer's first message on (rule 43)."""
    team: Name | None = None
    """The team that begins with it."""
    split_from: Name | None = None
    """The ticket it was split off from. Its clocks are its own and count from its `opened_at` (rule 50)."""
    opened_at: Instant | None = None


class Replied(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="replied"):
    """Somebody wrote; only what is `public` reaches the customer."""

    by: Author
    public: bool = True
    at: Instant | None = None


class StatusChanged(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="status_changed"):
    """The helpdesk moved the ticket; `merged` says into which one."""

    status: Status
    into: Name | None = None
    at: Instant | None = None


class Updated(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="updated"):
    """Fields of the ticket changed; what is absent stays as it was."""

    channel: ShortText | None = None
    urgency: Urgency | None = None
    theme: Name | None = None
    """What the ticket is about, said by somebody who read it: beats rules and model."""
    attributes: dict[str, Any] | None = None
    requester: Requester | None = None
    at: Instant | None = None


class Assigned(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="assigned"):
    """The helpdesk gave the ticket to an agent by hand, or took it back (`agent: null`)."""

    agent: Name | None = None
    team: Name | None = None
    """The team that has it from now on, a hand-off if it is another one; absent leaves the team as it was."""
    at: Instant | None = None


class Accepted(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="accepted"):
    """An agent takes the ticket that is offered to them."""

    agent: Name
    at: Instant | None = None


class Declined(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="declined"):
    """An agent doesn't take the ticket that is offered to them: it goes to somebody else."""

    agent: Name
    reason: ShortText = ""
    at: Instant | None = None


class Released(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="released"):
    """An agent gives back a ticket that they have: it goes back into the queue with the age it has."""

    agent: Name
    reason: ShortText = ""
    at: Instant | None = None


class DeadlineSet(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="deadline_set"):
    """Somebody promised the customer a time by hand: the target's running clock is due then (rule 58).

    Neither pauses nor later changes of the ticket or the policy move it. `due_at: null` returns to the policy's promise.
    A due time outside the years 1970 to 2099 is refused.
    """

    target: TargetKind
    due_at: Instant | None
    at: Instant | None = None

    def __post_init__(self) -> None:
        """Refuse what no calendar can tell; raises ValueError."""
        if self.due_at is not None and not EARLIEST <= self.due_at < LATEST:
            years = f"the years {EARLIEST.year} to {LATEST.year - 1}"
            raise ValueError(f"due_at {self.due_at.isoformat()} is outside {years}; null takes a deadline back")


class Feedback(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="feedback"):
    """What the customer thought of it."""

    score: float
    scale: Annotated[str, Meta(pattern="^(csat|nps|ces)$")] = "csat"
    comment: LongText = ""
    at: Instant | None = None


class PolicyChanged(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="policy_changed"):
    """Another version of the policy judges the ticket from then on; only our own log says so."""

    version: int
    previous: int
    """The version that judged it before."""


class Owned(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="owned"):
    """We gave the ticket to an agent; read from the assignments, which are that part of the log."""

    agent: str


class Unowned(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="unowned"):
    """The ticket left that agent; read from the assignments as well."""

    agent: str


class Scored(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="scored"):
    """What a trained model made of the ticket's text; only our own log says so. Confidences are between 0 and 1."""

    model: int
    """The model's version."""
    theme: str | None = None
    theme_confidence: float = 0.0
    urgency: Urgency | None = None
    urgency_confidence: float = 0.0


Told: TypeAlias = (
    Opened | Replied | StatusChanged | Updated | Assigned | Accepted | Declined | Released | DeadlineSet | Feedback
)
"""What the outside can tell us of a ticket."""
Data: TypeAlias = Told | PolicyChanged | Owned | Unowned | Scored

KINDS: dict[str, type[Told]] = {
    "opened": Opened,
    "replied": Replied,
    "status_changed": StatusChanged,
    "updated": Updated,
    "assigned": Assigned,
    "accepted": Accepted,
    "declined": Declined,
    "released": Released,
    "deadline_set": DeadlineSet,
    "feedback": Feedback,
}


class TicketEvent(Struct, frozen=True, kw_only=True):
    """One fact about one ticket, as the rest of the program knows it."""

    tenant: str
    id: str
    """Unique in the tenant: the same id again is the same event."""
    source: str
    ticket: str
    """The helpdesk's own id of the ticket; unique in the source."""
    occurred_at: datetime
    data: Data

    @property
    def kind(self) -> str:
        """`opened`, `replied`, ...: the last word of the CloudEvents type."""
        return str(self.data.__struct_config__.tag)


class Envelope(Struct, frozen=True, kw_only=True):
    """CloudEvents 1.0 attributes; `data` is still unread."""

    id: Name
    source: Name
    type: ShortText
    subject: Name | None = None
    time: Instant | None = None
    specversion: str = "1.0"
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Identity(Struct, frozen=True):
    source: Name | None = None
    external_id: Name | None = None


_envelope = msgspec.json.Decoder(Envelope)
_identity = msgspec.json.Decoder(_Identity)
_tagged: msgspec.json.Decoder[Data] = msgspec.json.Decoder(Data)
_by_kind: dict[str, msgspec.json.Decoder[Told]] = {kind: msgspec.json.Decoder(struct) for kind, struct in KINDS.items()}
_encoder = msgspec.json.Encoder()


def decode(tenant: str, body: bytes) -> TicketEvent:
    """Read one event in CloudEvents' structured mode; raises `Rejected`."""
    try:
        envelope = _envelope.decode(body)
    except msgspec.ValidationError as error:
        raise Rejected("invalid", f"not a CloudEvent: {_plain(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected("unparseable", f"not JSON: {error}") from None
    return from_envelope(tenant, envelope)


def decode_binary(tenant: str, headers: Mapping[str, str], body: bytes) -> TicketEvent:
    """Read one event in CloudEvents' binary mode: attributes in `ce-` headers, `data` as the body; raises `Rejected`."""
    attributes = {name[3:].lower(): value for name, value in headers.items() if name[:3].lower() == "ce-"}
    try:
        envelope = msgspec.convert({**attributes, "data": msgspec.Raw(body or b"{}")}, Envelope)
    except msgspec.ValidationError as error:
        raise Rejected(
            "invalid", f"not a CloudEvent: {_plain(error)}; binary mode takes ce-id, ce-source and ce-type headers"
        ) from None
    return from_envelope(tenant, envelope)


def from_envelope(tenant: str, envelope: Envelope) -> TicketEvent:
    """Read the `data` of an envelope by its type; raises `Rejected`."""
    kind = envelope.type.removeprefix("ticket.")
    decoder = _by_kind.get(kind)
    if decoder is None or envelope.type == kind:
        known = ", ".join(f"ticket.{name}" for name in KINDS)
        raise Rejected("unknown_type", f"unknown type {envelope.type!r}; known are {known}")
    if b"\\u0000" in bytes(envelope.data):
        raise Rejected("invalid", "data holds a NUL character (\\u0000), which no text may hold")
    try:
        data = decoder.decode(envelope.data)
        identity = _identity.decode(envelope.data)
    except msgspec.ValidationError as error:
        raise Rejected("invalid", f"{envelope.type}: {_plain(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected("unparseable", f"data is not JSON: {error}") from None
    ticket = envelope.subject or identity.external_id
    if ticket is None:
        raise Rejected("invalid", "no ticket named: give its id as `subject`, or as `data.external_id`")
    occurred_at = (data.opened_at if isinstance(data, Opened) else data.at) or envelope.time
    if occurred_at is None:
        raise Rejected("invalid", "no time: give `time`, with an offset, as in 2026-06-05T10:00:00+02:00")
    try:
        occurred_at = occurred_at.astimezone(UTC)
    except OverflowError:
        raise Rejected("invalid", f"{occurred_at.isoformat()} lies beyond the years that UTC can tell") from None
    if occurred_at < EARLIEST:
        raise Rejected("invalid", f"{occurred_at.isoformat()} is no time at which a customer could have written")
    return TicketEvent(
        tenant=tenant,
        id=envelope.id,
        source=identity.source or envelope.source,
        ticket=ticket,
        occurred_at=occurred_at,
        data=data,
    )


def _plain(error: msgspec.ValidationError) -> str:
    """What the decoder says, with the way out where it is a time that can't be read."""
    said = str(error)
    is_time = "RFC3339" in said or "timezone component" in said
    return f"{said}; write times with an offset, as in 2026-06-05T10:00:00+02:00" if is_time else said


def encode_data(data: Data) -> bytes:
    """`data` as JSON with its kind in it, the form in which the event log keeps it."""
    return _encoder.encode(data)


def decode_data(stored: bytes | str) -> Data:
    """The inverse of `encode_data`."""
    return _tagged.decode(stored)
