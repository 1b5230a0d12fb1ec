"""The answer to `explain` for a ticket that was raised from normal to urgent: an example for the documentation, made by the fold."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.contract.events import Opened, StatusChanged, TicketEvent, Updated
from shared.contract.tickets import Channel, Status, TargetKind, Urgency
from shared.sla.calendar import Calendar
from shared.sla.condition import Condition
from shared.sla.explaining.explain import explain
from shared.sla.fields import Classification, Facts
from shared.sla.hours import CalendarSpec, Hours
from shared.sla.policy import Judge, SlaPolicy, Target, WarnAt
from shared.web.operations import Example

_OFFICE = Calendar(
    CalendarSpec(
        name="office",
        zone=ZoneInfo("Europe/Berlin"),
        weekly=((Hours(9 * 3600, 17 * 3600),),) * 5 + ((),) * 2,
    )
)


def _line(name: str, hours: int, when: Condition | None) -> Target:
    return Target(
        name=name,
        calendar="office",
        promises={TargetKind.RESOLUTION: timedelta(hours=hours)},
        when=when,
        warn=(WarnAt(share=0.75),),
        pauses_while={TargetKind.RESOLUTION: frozenset({Status.PENDING_CUSTOMER, Status.ON_HOLD})},
    )


_POLICY = SlaPolicy(
    version=3,
    calendars={"office": _OFFICE},
    targets=(_line("urgent", 4, Condition({"urgency": frozenset({"urgent"})})), _line("all others", 16, None)),
)


def _classify(facts: Facts) -> Classification:
    return Classification(
        channel=Channel.EMAIL, urgency=facts.urgency or Urgency.NORMAL, theme="unknown", language=facts.language
    )


def _event(hour: int, data: Opened | StatusChanged | Updated) -> TicketEvent:
    return TicketEvent(
        tenant="default",
        id=f"evt-{hour}",
        source="shop-mail",
        ticket="881",
        occurred_at=datetime(2026, 6, 1, hour, tzinfo=UTC),
        data=data,
    )


def _example() -> object:
    log = [
        _event(7, Opened(channel="email")),
        _event(8, StatusChanged(status=Status.PENDING_CUSTOMER)),
        _event(10, StatusChanged(status=Status.OPEN)),
        _event(11, Updated(urgency=Urgency.URGENT)),
    ]
    return explain(log, Judge(_POLICY, _classify), datetime(2026, 6, 1, 12, tzinfo=UTC))


EXAMPLE = Example(name="raised to urgent", body=_example())
