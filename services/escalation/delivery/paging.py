"""Pages that follow from other pages, and what is said of one when it is concluded."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from services.escalation import news, tokens
from services.escalation.channels import Channel
from services.escalation.domain.ladder import LAST_RESORT, Kind
from services.escalation.domain.retry import Outcome
from services.escalation.store.pages import LeasedPage, NewPage, SentPage
from services.escalation.tokens import Tokens
from shared.policy.document import Contact
from shared.postgres.outbox import Outbox


def by_next_contact(page: SentPage, token_maker: Tokens, channels: Mapping[str, Channel]) -> NewPage | None:
    """The same page by the person's next contact, one of another account where there is one; None where there is none (R37)."""
    ways = [contact for contact in page.evidence.fallback if contact.method in channels]
    if not ways:
        return None
    others = (way for way in ways if channels[way.method].account(way) != page.account)
    contact = next(others, ways[0])
    rest = tuple(way for way in ways if way is not contact)
    return _another_way(page, contact, rest, page.recipient, page.person, token_maker, channels)


def by_last_resort(page: SentPage, token_maker: Tokens, channels: Mapping[str, Channel]) -> NewPage | None:
    """The same page on the console; None where it failed there."""
    method = LAST_RESORT.removeprefix("channel/")
    if page.method == method:
        return None
    return _another_way(page, Contact(method=method), (), LAST_RESORT, None, token_maker, channels)


def announce(outbox: Outbox, page: LeasedPage, state: str, outcome: Outcome, now: datetime) -> None:
    """Say that a page was accepted or given up; one that is tried again says nothing."""
    if state not in ("accepted", "failed"):
        return
    outbox.add(
        page.tenant,
        f"page.{state}",
        page.body.ticket,
        news.PageConcluded(
            page=page.id,
            escalation=page.escalation_id,
            group=page.group_id,
            tells=page.body.roundup.count if page.body.roundup else 1,
            source=page.body.source,
            ticket=page.body.ticket,
            kind=page.kind,
            loop=page.loop,
            step=page.step,
            recipient=page.recipient,
            person=page.person,
            method=page.method,
            attempts=page.attempts,
            due_at=page.due_at,
            at=now,
            detail=outcome.detail or None,
        ),
    )


def _another_way(
    page: SentPage,
    contact: Contact,
    rest: tuple[Contact, ...],
    recipient: str,
    person: str | None,
    token_maker: Tokens,
    channels: Mapping[str, Channel],
) -> NewPage:
    is_of_group = page.escalation_id is None and page.group_id is not None
    page_id = tokens.page_id(
        escalation=page.escalation_id or page.group_id or page.id,
        generation=page.group_version or 0 if is_of_group else page.evidence.generation,
        kind=page.kind,
        loop=page.loop,
        step=page.step,
        who=person or recipient,
        way=tokens.way(contact),
    )
    return NewPage(
        id=page_id,
        tenant=page.tenant,
        escalation_id=page.escalation_id,
        kind=page.kind,
        step=page.step,
        loop=page.loop,
        recipient=recipient,
        person=person,
        method=contact.method,
        address=contact.address,
        secret=contact.secret,
        options=contact.options,
        account=channels[contact.method].account(contact),
        urgency=page.urgency,
        evidence=msgspec.structs.replace(page.evidence, fallback=rest),
        body=msgspec.structs.replace(page.body, recipient=recipient, fallback_of=page.method),
        due_at=page.due_at,
        token_hash=None if page.kind is Kind.ALARM else tokens.digest(token_maker.token(page_id)),
        group_id=page.group_id if is_of_group else None,
        group_version=page.group_version if is_of_group else None,
        told_by=page.root if is_of_group else None,
    )
