"""Pages to one recipient told together: the first at once, the others of a while in a summary (R27), late ones in a digest (R4, R30).

Pages join in the transaction that makes them; a loop tells of those that joined. Locks are taken in the order of all:
escalations, groups by their keys, pages.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import structs

from services.escalation import tokens
from services.escalation.domain import grouping as rules
from services.escalation.domain import notice
from services.escalation.domain.grouping import Joining, Key
from services.escalation.domain.ladder import Kind
from services.escalation.store import Pulse, groups, pages
from services.escalation.store.groups import Group, Member
from services.escalation.store.pages import NewPage
from services.escalation.tokens import Tokens
from shared import ids
from shared.policy.document import Paging
from shared.postgres import time as database_time
from shared.postgres.pool import Connection, Pool
from shared.runtime.logs import Log

BATCH = 20
_STALE_AT_ONCE = 500

_log = Log(__name__)


async def admit(connection: Connection, made: Sequence[tuple[NewPage, Paging]], now: datetime) -> None:
    """Store new pages, each by its policy's rules: sent at once, or told with the group it joins.

    The caller holds the escalations. Safe beside others: what two workers admit joins one group.
    """
    keys = [rules.key_of(page, paging, now) for page, paging in made]
    joining: dict[Key, Joining] = {}
    for (page, paging), key in zip(made, keys, strict=True):
        if key is None:
            continue
        before = joining.get(key)
        joining[key] = Joining(
            id=ids.uuid7(now),
            key=key,
            recipient=page.recipient,
            person=page.person,
            pages=1 if before is None else before.pages + 1,
            window=paging.window,
            settle=paging.settle,
        )
    joined = await groups.join(connection, list(joining.values()), now) if joining else {}
    taken = {key: before for key, (_, before) in joined.items()}
    placed = []
    for (page, paging), key in sorted(zip(made, keys, strict=True), key=_by_due):
        if key is None:
            placed.append(structs.replace(page, digest_at=rules.told_with_others_at(page, paging)))
            continue
        taken[key] += 1
        is_sent = rules.goes_at_once(key, taken[key])
        placed.append(
            structs.replace(
                page,
                state="pending" if is_sent else "grouped",
                group_id=joined[key][0],
                group_version=taken[key],
                digest_at=page.due_at + paging.digest_after if is_sent else None,
            )
        )
    await pages.insert(connection, placed, now)


class Grouping:
    """Tells of those that joined; any number of these may run beside each other."""

    def __init__(self, pool: Pool, token_maker: Tokens) -> None:
        self._pool = pool
        self._tokens = token_maker

    async def pulse(self) -> Pulse:
        """Look at what is due."""
        async with self._pool.acquire() as connection:
            return await groups.pulse(connection)

    async def run_once(self) -> int:
        """Put late pages into digests, and look at groups that are due; returns how many of both.

        One that can't be told of keeps no other from it; where nothing else was done, raises why.
        """
        done = await self._gather_stale()
        async with self._pool.acquire() as connection:
            now = await database_time.now(connection)
            due = await groups.load_due(connection, now, BATCH)
        wrong = None
        for group_id in due:
            try:
                done += await self._look(group_id)
            except Exception as error:  # noqa: BLE001 - what is wrong with one group keeps no other from being told of
                _log.error("group_not_told", "A group can't be told of", error=error, group=str(group_id))
                wrong = error
        if wrong is not None and not done:
            raise wrong
        return done

    async def _gather_stale(self) -> int:
        """Pages that were never tried and are long due are told in one digest for each recipient (R30)."""
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            stale = await groups.load_stale(connection, now, _STALE_AT_ONCE)
            if not stale:
                return 0
            usual = Paging()
            joining: dict[Key, Joining] = {}
            for page in stale:
                key = rules.digest_key(page.tenant, page.person or page.recipient)
                before = joining.get(key)
                joining[key] = Joining(
                    id=ids.uuid7(now),
                    key=key,
                    recipient=page.recipient,
                    person=page.person,
                    pages=1 if before is None else before.pages + 1,
                    window=usual.window,
                    settle=usual.settle,
                )
            joined = await groups.join(connection, list(joining.values()), now)
            taken = {key: before for key, (_, before) in joined.items()}
            placed = []
            for page in stale:
                key = rules.digest_key(page.tenant, page.person or page.recipient)
                taken[key] += 1
                placed.append((page.id, joined[key][0], taken[key]))
            await groups.group_pages(connection, placed)
        return len(stale)

    async def _look(self, group_id: UUID) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            found = await groups.lock_due(connection, group_id, now)
            if found is None:
                return 0
            group, members = found
            is_over = group.is_open and group.closes_at <= now
            told_at = now if members else group.told_at
            await groups.save(
                connection, group.id, told=group.members, told_at=told_at, is_open=group.is_open and not is_over
            )
            if members:
                await self._tell(connection, group, members, now, is_over=is_over)
        return 1

    async def _tell(
        self, connection: Connection, group: Group, members: Sequence[Member], now: datetime, *, is_over: bool
    ) -> None:
        """Send one page that names the members; after the window it is the first of a group of its own."""
        order = rules.worst_first([(one.body.urgency, one.body.due_at) for one in members])
        worst_first = [members[index] for index in order]
        if is_over:
            new_id = ids.uuid7(now)
            numbers = {one.id: number for number, one in enumerate(worst_first, 1)}
            version, before = len(members), 0
            await groups.open_after(connection, group.id, new_id, version, now)
        else:
            new_id = group.id
            numbers = {one.id: one.group_version for one in members}
            version, before = group.members, group.told
        page = self._page(structs.replace(group, id=new_id), worst_first, version, before, now)
        await groups.tell(connection, page.id, new_id, list(numbers.items()))
        await pages.insert(connection, [page], now)

    def _page(self, group: Group, worst_first: Sequence[Member], version: int, before: int, now: datetime) -> NewPage:
        """A page about a group: to the same person as the newest of its members, by the same ways."""
        kind = Kind.DIGEST if group.kind == rules.DIGEST else Kind.SUMMARY
        newest = max(worst_first, key=lambda one: one.group_version)
        page_id = tokens.page_id(
            escalation=group.id,
            generation=version,
            kind=kind,
            loop=0,
            step=group.step,
            who=group.who,
            way=f"{newest.method}\x1f{newest.address}",
        )
        since = min(one.due_at for one in worst_first)
        facts = [structs.replace(one.body, at=now) for one in worst_first]
        soonest, whom = _what_follows(worst_first, now)
        told = notice.roundup(
            facts,
            since,
            is_warning=all(one.kind is Kind.WARNING for one in worst_first),
            is_late=kind is Kind.DIGEST,
            before=before,
            quiet=sum(1 for one in worst_first if one.evidence.quiet_until is not None),
        )
        return NewPage(
            id=page_id,
            tenant=group.tenant,
            escalation_id=None,
            kind=kind,
            step=newest.step,
            loop=newest.loop,
            recipient=newest.recipient,
            person=newest.person,
            method=newest.method,
            address=newest.address,
            secret=newest.secret,
            options=newest.options,
            account=newest.account,
            urgency=newest.urgency,
            evidence=newest.evidence,
            body=structs.replace(
                facts[0], recipient=newest.recipient, roundup=told, next_step_at=soonest, next_recipients=whom
            ),
            due_at=now,
            token_hash=tokens.digest(self._tokens.token(page_id)),
            group_id=group.id,
            group_version=version,
        )


def _what_follows(members: Sequence[Member], now: datetime) -> tuple[datetime | None, tuple[str, ...]]:
    """When the first of the next steps is, as they are planned now, and whom it pages; nobody is named of one that has moved.

    One that is due already is left for later ones; where there are none, it is what follows.
    """
    steps = sorted(one.next_step_at for one in members if one.next_step_at is not None)
    soonest = next((at for at in steps if at > now), steps[0] if steps else None)
    whom = (one.body.next_recipients for one in members if one.next_step_at == one.body.next_step_at == soonest)
    return soonest, next(whom, ())


def _by_due(one: tuple[tuple[NewPage, Paging], Key | None]) -> tuple[datetime, UUID]:
    (page, _), _ = one
    return page.due_at, page.id
