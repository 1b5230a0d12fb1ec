"""The roster file as its author writes it; what `shared.policy.layout` is for the policy file."""

from typing import Annotated, Any

from msgspec import Meta, field

from shared.contract.tickets import Channel
from shared.policy.document import Presence
from shared.policy.layout import Line, Texts, schema_of


class PersonLine(Line, frozen=True, kw_only=True):
    """Somebody who works tickets, is paged, or both."""

    name: str | None = None
    skills: dict[str, Annotated[int, Meta(ge=1, le=5)]] | list[str] = field(default_factory=dict)
    channels: Channel | list[Channel] = field(default_factory=list)
    capacity: Annotated[int, Meta(ge=0, le=1000)] = 12
    at_most: Annotated[
        dict[Channel, Annotated[int, Meta(ge=0, le=1000)]],
        Meta(description="Tickets of a channel at a time, as in {live_chat: 2}."),
    ] = field(default_factory=dict)
    pools: Annotated[Texts, Meta(description="Whose tickets they take; default all.")] = field(default_factory=list)
    presence: Presence = Presence.MANUAL
    calendar: (
        Annotated[str, Meta(description="With `presence: shift`: the policy's calendar of their shifts.")] | None
    ) = None
    lead: Annotated[str, Meta(description="Key of the person who leads them.")] | None = None
    contacts: Annotated[
        str | list[str | dict[str, str]],
        Meta(
            description="Ways to page them, the best first: `console`, or one method with its address (webhook, pagerduty, jsm, "
            "slack, teams, ntfy, sms, voice, email, apprise), what else it needs, and `secret`, or the `account` that has it.",
            examples=[
                ["console"],
                [{"webhook": "https://hooks.example.org/ana", "secret": "env:DESKCLOCK_SECRET_PAGER"}],
                [{"sms": "+4915112345678", "account": "twilio"}, {"voice": "+4915112345678", "account": "twilio"}],
            ],
        ),
    ] = "console"
    timezone: Annotated[str, Meta(description="Zone of their quiet hours.", examples=["Europe/Berlin"])] | None = None
    quiet_hours: (
        Annotated[
            str,
            Meta(
                description="`22:00-07:00` of their timezone: pages of low urgency wait until they end.",
                examples=["22:00-07:00"],
            ),
        ]
        | None
    ) = None


class RosterFile(Line, frozen=True, kw_only=True):
    """Who there is."""

    people: Annotated[dict[str, PersonLine], Meta(max_length=20_000)]
    accounts: Annotated[
        dict[str, dict[str, str]],
        Meta(
            max_length=200,
            description="What contacts of one provider's account share, by a name of your own: options as `from` or `server`, "
            "and `secret`, a reference as `env:DESKCLOCK_SECRET_TWILIO`.",
            examples=[{"twilio": {"from": "+4930123456", "secret": "env:DESKCLOCK_SECRET_TWILIO"}}],
        ),
    ] = field(default_factory=dict)


def roster_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the roster file."""
    return schema_of(RosterFile)
