"""What a report of missing staff looks like: Sunday evening, nobody on for billing chats."""

from datetime import UTC, datetime, timedelta

from services.router.domain import staffing, week
from services.router.domain.staffing import Arrived, Findings, Lack, Minutes, Scale, Sort, Staffing, Waited
from shared.contract.tickets import Channel
from shared.web.operations import Example

_NOW = datetime(2026, 6, 5, 14, tzinfo=UTC)
_SUNDAY_18, _SUNDAY_19 = 6 * 24 + 18, 6 * 24 + 19
_SORT = Sort(Channel.LIVE_CHAT, ("billing", "lang:de"), Lack.OFFLINE)
_WAITED = Minutes(median=6.0, p90=11.0)
_CHATS = tuple(
    Waited(channel, ("billing", "lang:de") if reason else (), reason, hour, 12, 0, 12 * 4 * 360.0)
    for channel, reason in ((_SORT.channel, _SORT.reason), (None, None))
    for hour in (_SUNDAY_18, _SUNDAY_19)
)
_FINDINGS = Findings(
    arrived=[Arrived(Channel.LIVE_CHAT, ("billing", "lang:de"), hour, 15) for hour in (_SUNDAY_18, _SUNDAY_19)],
    others=(),
    waited=_CHATS,
    minutes={
        _SORT: _WAITED,
        Sort(): _WAITED,
        **{Sort(None, (skill,), Lack.OFFLINE): _WAITED for skill in ("billing", "lang:de")},
    },
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
