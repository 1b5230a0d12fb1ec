"""What the helpdesk should do for the customer when a promise is due or broken: give word, or follow up.

Nothing is said to the customer by us. The helpdesk gets an event with what happened, what happens next, by when and who
is responsible, in the same transaction as the firing that caused it.
"""

from collections.abc import Iterable
from datetime import datetime

from services.escalation import news
from services.escalation.store import escalations
from services.escalation.store.escalations import Outlook
from shared.contract.tickets import TargetKind
from shared.ledger.clocks import DueClock
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection
from shared.sla.clock import Change, Clock

_PROMISED = {
    TargetKind.UPDATE: "word on how it stands",
    TargetKind.RESOLUTION: "a solution",
}
"""The promises of which a customer hears when they break: whoever waits for an answer wants that, and no word about it."""
_NEXT = {
    TargetKind.FIRST_RESPONSE: "somebody answers for the first time",
    TargetKind.NEXT_RESPONSE: "somebody answers",
    TargetKind.UPDATE: "there is word on how it stands",
    TargetKind.RESOLUTION: "it is solved",
}


async def inform(
    connection: Connection, outbox: Outbox, fired: Iterable[tuple[DueClock, Clock, Change | None]], now: datetime
) -> None:
    """Put `customer.notice_due` and `follow_up.due` into the outbox where a fired clock asks for one."""
    notices = []
    for due, clock, change in fired:
        if change is None:
            continue
        if clock.target is TargetKind.FOLLOW_UP:
            outbox.add(due.tenant, "follow_up.due", due.external_id, _follow_up(due, clock))
        elif clock.target in _PROMISED and (change is Change.BREACHED or clock.target is TargetKind.UPDATE):
            notices.append((due, clock))
    if not notices:
        return
    outlooks = await escalations.load_outlooks(connection, [due.ticket_id for due, _ in notices], now)
    for due, clock in notices:
        outlook = outlooks.get(due.ticket_id, Outlook())
        outbox.add(due.tenant, "customer.notice_due", due.external_id, _notice(due, clock, outlook))


def _follow_up(due: DueClock, clock: Clock) -> news.FollowUpDue:
    return news.FollowUpDue(
        source=due.source,
        ticket=due.external_id,
        channel=due.channel,
        cycle=clock.cycle,
        solved_at=clock.started_at,
        due_at=clock.due_at,
        is_late=clock.breached_at is not None,
    )


def _notice(due: DueClock, clock: Clock, outlook: Outlook) -> news.CustomerNoticeDue:
    promised = _PROMISED[clock.target]
    is_late = clock.breached_at is not None
    what = f"{promised} was promised and did not come in time" if is_late else f"{promised} is due"
    if is_late or clock.due_at is None:
        next_target, by_when = outlook.target, outlook.due_at
    else:
        next_target, by_when = clock.target, clock.due_at
    next_step = _NEXT[next_target] if next_target in _NEXT and by_when else "tell them when to expect the next word"
    return news.CustomerNoticeDue(
        source=due.source,
        ticket=due.external_id,
        channel=due.channel,
        urgency=due.urgency,
        target=clock.target,
        cycle=clock.cycle,
        is_late=is_late,
        due_at=clock.due_at,
        what_happened=what,
        what_happens_next=next_step,
        by_when=by_when,
        responsible=outlook.owner,
    )
