"""A ticket that is opened again so soon after it was over: its escalation goes on, and nobody is paged twice (R18).

Whoever had acknowledged has it again; where nobody had, the next level is paged when its wait is over. Those who were told
that it was over get a copy that says it is not.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.escalation import news
from services.escalation.composing import Composing, Told
from services.escalation.domain import ladder as ladders
from services.escalation.domain import recipient as recipients
from services.escalation.domain.ladder import Kind, Position, Reason
from services.escalation.domain.recipient import Circle
from services.escalation.gathering import Rules
from services.escalation.store import resuming
from services.escalation.store.escalations import DueStep
from services.escalation.store.pages import NewPage
from services.escalation.store.resuming import Flap, Going
from shared.contract.tickets import Urgency
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection

_BEGINNING = Position(0, 0)


class Resumed(Struct, frozen=True):
    """An escalation that goes on with one before it, and the copies that say so."""

    due: DueStep
    flap: Flap
    going: Going
    copies: tuple[NewPage, ...]


async def resume(
    connection: Connection,
    due: Sequence[DueStep],
    rules: Mapping[UUID, Rules],
    circles: Mapping[UUID, Circle],
    composing: Composing,
    now: datetime,
) -> dict[UUID, Resumed]:
    """Let those of the held escalations go on that began so soon after one like them was over."""
    beginning = [
        (one, rules[one.id].ladder.flap_window)
        for one in due
        if one.generation == 1 and one.position == _BEGINNING and one.reason is not Reason.WARNED and one.since is None
    ]
    flaps = await resuming.load_flaps(connection, beginning) if beginning else {}
    resumed = {
        one.id: _resumed(one, flaps[one.id], rules[one.id], circles[one.id], composing, now)
        for one, _ in beginning
        if one.id in flaps
    }
    if resumed:
        await resuming.go_on(connection, [one.going for one in resumed.values()], now)
    return resumed


def announce(outbox: Outbox, one: Resumed, now: datetime) -> None:
    """Say that it goes on."""
    due = one.due
    told = news.EscalationResumed(
        escalation=due.id,
        generation=due.generation,
        source=due.source,
        ticket=due.external_id,
        target=due.target,
        cycle=due.cycle,
        before=one.flap.before,
        state=one.going.state,
        acknowledged_by=one.going.acknowledged_by,
        next_step_at=one.going.next_step_at,
        copied=tuple(
            news.PagedPerson(page=page.id, recipient=page.recipient, person=page.person, method=page.method)
            for page in one.copies
        ),
        at=now,
    )
    outbox.add(due.tenant, "escalation.resumed", due.external_id, told)


def _resumed(due: DueStep, flap: Flap, rules: Rules, circle: Circle, composing: Composing, now: datetime) -> Resumed:
    ladder = rules.ladder
    since = ladders.before(ladder, flap.position)
    silence = ladder.silence.get(Urgency(due.urgency)) if flap.acknowledged_by else None
    next_step_at = None
    if flap.acknowledged_by is None:
        next_step_at = ladders.planned_at(ladder, now, flap.position, rules.hours, since)
    going = Going(
        id=due.id,
        state="acknowledged" if flap.acknowledged_by else "open",
        position=flap.position,
        since=since,
        next_step_at=next_step_at,
        acknowledged_by=flap.acknowledged_by,
        acknowledged_at=flap.acknowledged_at,
        wakes_at=now + silence if silence else None,
        ends_at=now + ladder.ends_after,
    )
    taken = f"{flap.acknowledged_by} has it as before" if flap.acknowledged_by else "nobody has acknowledged it"
    told = Told(
        kind=Kind.COPY,
        at=since,
        due_at=due.next_step_at,
        now=now,
        next_step_at=next_step_at,
        next_recipients=ladders.recipients_of(ladder, flap.position) if next_step_at else (),
        subject=rules.subject_of(due),
        note=f"OPEN AGAIN: it was over, and is not; {taken}",
    )
    copies = tuple(composing.page(due, to, told) for to in recipients.reach(flap.asked, circle))
    return Resumed(due, flap, going, copies)
