"""Pages that people ask for: a canary that tries somebody's contacts, and a page that was given up, tried anew (R39).

Both go the way of every page, through the same loops and limits.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct, structs

from services.escalation import news, tokens
from services.escalation.channels import Channel
from services.escalation.domain import notice
from services.escalation.domain import recipient as recipients
from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.recipient import Circle, Reached
from services.escalation.on_call import duties
from services.escalation.on_call.duties import Need
from services.escalation.store import escalations, pages, trying
from services.escalation.store.pages import NewPage
from services.escalation.store.trying import Dead
from services.escalation.tokens import Tokens
from shared import ids
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Contact
from shared.policy.paging import CHANNEL, ON_CALL, PERSON
from shared.postgres import time as database_time
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Pool

_NEEDS_A_TICKET = frozenset({"owner", "lead"})


class Nobody(Exception):
    """There is nobody to try; the text says why, and the way out."""


class Moot(Exception):
    """The page can't be tried anew; the text says why."""


class Canary(Struct, frozen=True, kw_only=True):
    """A canary that was put on its way."""

    page: UUID
    person: str | None
    name: str
    method: str


class Tested(Struct, frozen=True, kw_only=True):
    """Whom a recipient stands for now, and the canaries to them."""

    recipient: str
    """As the policy writes it."""
    person: str | None
    name: str
    why: str
    pages: tuple[Canary, ...]
    """One by each contact; `GET /v1/pages/{id}` tells what becomes of each."""


class Trying:
    """Sends canaries."""

    def __init__(self, pool: Pool, shelf: PolicyShelf, token_maker: Tokens, channels: Mapping[str, Channel]) -> None:
        self._pool = pool
        self._shelf = shelf
        self._tokens = token_maker
        self._channels = channels

    async def test(self, tenant: str, recipient: str, *, first: bool = False) -> Tested:
        """Send a canary by every contact of whoever the recipient is now, or by the first alone; raises Nobody.

        A name alone is a person's key.
        """
        named = recipient if "/" in recipient else f"{PERSON}{recipient}"
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            to = await self._reach(connection, tenant, named, recipient, now)
            contacts = (to.contact, *to.evidence.fallback)
            made = [self._page(tenant, to, contact, now) for contact in (contacts[:1] if first else contacts)]
            await pages.insert(connection, made, now)
        return Tested(
            recipient=named,
            person=to.person,
            name=to.name,
            why=notice.because(named, to.evidence),
            pages=tuple(Canary(page=page.id, person=to.person, name=to.name, method=page.method) for page in made),
        )

    async def _reach(self, connection: Connection, tenant: str, named: str, recipient: str, now: datetime) -> Reached:
        if recipient in _NEEDS_A_TICKET:
            raise Nobody(f"who is `{recipient}` depends on a ticket: name a person, a rotation or a channel")
        policy = await self._shelf.current(connection, tenant)
        need = Need(tenant, policy, duties.rotations_of((named,)))
        on_call = await duties.gather(connection, self._shelf, [need], now)
        circle = Circle(
            at=now,
            policy_version=policy.version,
            generation=1,
            rotations=on_call[need],
            owner=None,
            lead=None,
            people={},
            methods=frozenset(self._channels),
        )
        key = recipients.person_of(named, circle)
        known = await escalations.load_people(connection, {(tenant, key)}) if key else {}
        circle = structs.replace(circle, people={person.key: person for person in known.values()})
        found = recipients.reach([named], circle)
        if found:
            return found[0]
        raise Nobody(_why_nobody(named, key, circle))

    def _page(self, tenant: str, to: Reached, contact: Contact, now: datetime) -> NewPage:
        page_id = ids.uuid7(now)
        return NewPage(
            id=page_id,
            tenant=tenant,
            escalation_id=None,
            kind=Kind.CANARY,
            step=0,
            loop=0,
            recipient=to.recipient,
            person=to.person,
            method=contact.method,
            address=contact.address,
            secret=contact.secret,
            options=contact.options,
            account=self._channels[contact.method].account(contact),
            evidence=structs.replace(to.evidence, fallback=()),
            body=Facts(
                source="deskclock",
                ticket="test",
                channel="other",
                urgency="normal",
                target="test",
                due_at=None,
                reason="test",
                at=now,
                recipient=to.recipient,
            ),
            due_at=now,
            token_hash=tokens.digest(self._tokens.token(page_id)),
        )


def _why_nobody(named: str, key: str | None, circle: Circle) -> str:
    """Why a recipient reaches nobody now."""
    if named.startswith(CHANNEL):
        known = ", ".join(sorted(circle.methods))
        return f"there is no channel `{named.removeprefix(CHANNEL)}` here: known are {known}"
    if named.startswith(ON_CALL) and named.removeprefix(ON_CALL) not in circle.rotations:
        return f"the policy has no rotation `{named.removeprefix(ON_CALL)}`: see its `on_call`"
    if key is None and named.startswith(ON_CALL):
        return f"nobody is on call for `{named.removeprefix(ON_CALL)}` now: `deskclock on-call` shows the gaps"
    if key is None:
        return f"`{named}` is no recipient: write person/KEY, on-call/ROTATION or channel/NAME"
    if key not in circle.people:
        return f"there is nobody `{key}` on the roster: `deskclock roster show` lists them"
    return f"`{key}` has no contact that can be used here: write some under `contacts` of the roster"


async def replay(connection: Connection, tenant: str, page_id: UUID) -> Dead | None:
    """Try a page that was given up anew, under the same id and with a budget of its own; None where there is no such page.

    Its attempts, reasons and content stay. Opens a transaction of its own. Raises Moot.
    """
    async with connection.transaction():
        page = await trying.hold(connection, tenant, page_id)
        if page is None:
            return None
        if page.state != "failed":
            raise Moot(f"it was not given up: it is {page.state}")
        if not page.is_wanted:
            raise Moot("nobody needs it any more: its escalation is answered or over")
        now = await database_time.now(connection)
        await trying.replay(connection, page_id, now)
        outbox = Outbox(now)
        outbox.add(
            tenant,
            "page.replayed",
            page.ticket,
            news.PageReplayed(
                page=page.id,
                kind=page.kind,
                ticket=page.ticket,
                recipient=page.recipient,
                person=page.person,
                method=page.method,
                attempts=page.attempts,
                at=now,
            ),
        )
        await outbox.save(connection)
    return page
