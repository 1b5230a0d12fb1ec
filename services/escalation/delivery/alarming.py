"""Alarms about ourselves: a page that nobody could be reached with is told to the catch-all of its ladder, else the console (R39)."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import structs

from services.escalation import tokens
from services.escalation.channels import Channel
from services.escalation.composing import Composing, Told
from services.escalation.domain import recipient as recipients
from services.escalation.domain.ladder import LAST_RESORT, Kind, Position, Reason
from services.escalation.domain.retry import Outcome
from services.escalation.gathering import Gathering
from services.escalation.store.escalations import Case
from services.escalation.store.pages import HeldEscalation, LeasedPage, NewPage
from services.escalation.tokens import Tokens
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Connection


class Alarming:
    """Makes alarms."""

    def __init__(self, shelf: PolicyShelf, token_maker: Tokens, channels: Mapping[str, Channel]) -> None:
        self._gathering = Gathering(shelf, channels)
        self._composing = Composing(token_maker, channels)

    async def given_up(
        self, connection: Connection, page: LeasedPage, held: HeldEscalation, outcome: Outcome, now: datetime
    ) -> list[NewPage]:
        """Alarms about a page that was given up."""
        case = _case(page, held)
        rules = await self._gathering.rules(connection, [case])
        circle = (await self._gathering.circles(connection, [case], rules, now))[case.id]
        ladder = rules[case.id].ladder
        reached = recipients.reach(ladder.otherwise, circle) or recipients.reach([LAST_RESORT], circle)
        to = page.person or page.recipient
        told = Told(
            kind=Kind.ALARM,
            at=Position(page.loop, page.step),
            due_at=now,
            now=now,
            note=(
                f"A PAGE WAS GIVEN UP: {to} could not be reached by {page.method} ({outcome.detail or outcome.result}). "
                f"`deskclock page dead` lists what was given up, `deskclock page replay {page.id}` tries it anew."
            ),
        )
        made = [self._composing.page(case, one, told) for one in reached if one.who != to]
        return [structs.replace(one, id=_id_of(one, page, now)) for one in made]


def _id_of(alarm: NewPage, page: LeasedPage, now: datetime) -> UUID:
    """The same for all pages of one account given up within a while, so that a provider that is gone raises one alarm."""
    return tokens.alarm_id(
        tenant=page.tenant,
        about=page.account,
        who=alarm.person or alarm.recipient,
        way=f"{alarm.method}\x1f{alarm.address}",
        now=now,
    )


def _case(page: LeasedPage, held: HeldEscalation) -> Case:
    body = page.body
    return Case(
        id=held.id,
        tenant=page.tenant,
        ticket_id=held.ticket_id,
        target=held.target,
        cycle=held.cycle,
        generation=held.generation,
        policy_version=held.policy_version,
        ladder=held.ladder,
        reason=Reason(held.reason),
        position=Position(held.loop, held.step),
        source=body.source,
        external_id=body.ticket,
        channel=body.channel,
        urgency=body.urgency,
        requester_tier=body.tier,
        matched=body.matched,
        due_at=body.due_at,
        calendar=None,
        owner=None,
        owner_name=body.owner,
        lead=None,
        about=body.about,
    )
