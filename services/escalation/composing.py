"""Pages of an escalation, as they are stored: who gets what by which way, under an id that anybody computes alike (R34)."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, structs

from services.escalation import tokens
from services.escalation.channels import Channel
from services.escalation.domain import ladder as ladders
from services.escalation.domain import notice, quiet
from services.escalation.domain.ladder import Kind, Position, Reason
from services.escalation.domain.notice import Facts
from services.escalation.domain.recipient import Circle, Reached
from services.escalation.store.escalations import Case
from services.escalation.store.pages import NewPage
from services.escalation.tokens import Tokens
from shared.policy.document import Ladder

_NOTHING_TO_ANSWER = frozenset({Kind.COPY, Kind.ALARM})


class Told(Struct, frozen=True, kw_only=True):
    """What a page is made for, the same for all who get it."""

    kind: Kind
    at: Position
    """The step, or the newest one."""
    due_at: datetime
    now: datetime
    next_step_at: datetime | None = None
    next_recipients: tuple[str, ...] = ()
    subject: str | None = None
    """The ticket's, where pages may say it."""
    note: str | None = None
    """One line before all others: what is different from any page."""
    is_by_hand: bool = False
    """Somebody wants it now."""


class Composing:
    """Makes pages."""

    def __init__(self, token_maker: Tokens, channels: Mapping[str, Channel]) -> None:
        self._tokens = token_maker
        self._channels = channels

    def page(self, case: Case, to: Reached, told: Told) -> NewPage:
        """The page of an escalation to somebody; what is only for information has no link, and no other way."""
        contact = to.contact
        is_answerable = told.kind not in _NOTHING_TO_ANSWER
        page_id = tokens.page_id(
            escalation=case.id,
            generation=case.generation,
            kind=told.kind,
            loop=told.at.loop,
            step=told.at.step,
            who=to.who,
            way=tokens.way(contact)
            if is_answerable or told.note is None
            else f"{tokens.way(contact)}\x1f{told.now.isoformat()}",
        )
        return NewPage(
            id=page_id,
            tenant=case.tenant,
            escalation_id=None if told.kind is Kind.ALARM else case.id,
            kind=told.kind,
            step=told.at.step,
            loop=told.at.loop,
            recipient=to.recipient,
            person=to.person,
            method=contact.method,
            address=contact.address,
            secret=contact.secret,
            options=contact.options,
            account=self._channels[contact.method].account(contact),
            urgency=case.urgency,
            evidence=to.evidence if told.kind is not Kind.COPY else structs.replace(to.evidence, fallback=()),
            body=_facts(case, to, told),
            due_at=told.due_at,
            token_hash=tokens.digest(self._tokens.token(page_id)) if is_answerable else None,
            is_by_hand=told.is_by_hand or case.reason is Reason.MANUAL,
        )


def unless_quiet(page: NewPage, ladder: Ladder, circle: Circle, now: datetime) -> NewPage:
    """The page, held back where it is of low urgency and its reader has quiet hours; the last level never is (R24)."""
    person = circle.people.get(page.person or "")
    if person is None:
        return page
    at = Position(page.loop, page.step)
    is_last = page.kind is Kind.PAGE and (ladders.is_over(ladder, at) or page.step + 1 >= len(ladder.steps))
    until = quiet.deferred_until(page.urgency, person.quiet_hours, person.timezone, now, is_last=is_last)
    if until is None:
        return page
    return structs.replace(page, quiet_until=until, evidence=structs.replace(page.evidence, quiet_until=until))


def _facts(case: Case, to: Reached, told: Told) -> Facts:
    return Facts(
        source=case.source,
        ticket=case.external_id,
        channel=case.channel,
        urgency=case.urgency,
        tier=case.requester_tier,
        target=case.target,
        matched=case.matched,
        due_at=case.due_at,
        reason=case.reason,
        at=told.now,
        next_step_at=told.next_step_at,
        next_recipients=told.next_recipients,
        owner=case.owner_name or case.owner,
        recipient=to.recipient,
        about=case.about,
        next_shift_at=case.next_shift_at,
        answer_due_at=case.answer_due_at,
        subject=notice.quoted(told.subject),
        note=told.note,
    )
