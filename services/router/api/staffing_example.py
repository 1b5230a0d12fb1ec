"""What a report of missing staff looks like: Sunday evening, nobody on for billing chats."""

from datetime import UTC, datetime, timedelta

from services.router.domain import staffing, week
from services.router.domain.staffing import Arrived, Findings, Lack, Scale, Span, Staffing, Waited
from shared.contract.tickets import Channel
from shared.web.operations import Example

_NOW = datetime(2026, 6, 5, 14, tzinfo=UTC)
_SUNDAY_18, _SUNDAY_19 = 6 * 24 + 18, 6 * 24 + 19
_SORTS: tuple[tuple[Channel | None, tuple[str, ...], Lack | None], ...] = (
    (Channel.LIVE_CHAT, ("billing", "lang:de"), Lack.OFFLINE),
    (None, (), None),
)
_FINDINGS = Findings(
    arrived=[Arrived(Channel.LIVE_CHAT, ("billing", "lang:de"), hour, 15) for hour in (_SUNDAY_18, _SUNDAY_19)],
    others=(),
    waited=[
        Waited(channel, skills, reason, hour, 12, 0, 12 * 4 * 360.0)
        for channel, skills, reason in _SORTS
        for hour in (_SUNDAY_18, _SUNDAY_19)
    ],
    spans=[Span(channel, skills, reason, minutes, 8) for channel, skills, reason in _SORTS for minutes in (4, 6, 11)],
)
_SCALE = Scale(occurrences=(float(staffing.WEEKS),) * week.HOURS, weeks=staffing.WEEKS, capacity=staffing.CAPACITY)
_LINES, _SKILLS = staffing.tables(_FINDINGS, _SCALE)

SUNDAY_EVENING = Example(
    name="nobody on for billing chats on Sunday evening",
    body=Staffing(
        since=_NOW - timedelta(weeks=staffing.WEEKS),
        until=_NOW,
        timezone="Europe/Berlin",
        capacity=staffing.CAPACITY,
        held_minutes={Channel.LIVE_CHAT: 9.5},
        hours=week.by_day(_SCALE.occurrences),
        total=staffing.total(_FINDINGS, _SCALE),
        lines=tuple(_LINES),
        skills=tuple(_SKILLS),
        is_complete=True,
    ),
)
