"""What an escalation goes by, gathered for a batch at one instant: its ladder, its promise's hours, and who is who.

The ladder is that of its own policy version (R26); whom a recipient stands for is resolved now (R19). Whatever is wrong
with one tenant's policy holds up nobody else: its escalations page the console.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct, structs

from services.escalation.channels import Channel
from services.escalation.domain import ladder as ladders
from services.escalation.domain import recipient as recipients
from services.escalation.domain.ladder import Hours
from services.escalation.domain.recipient import FALLBACK, Circle, Person
from services.escalation.on_call import duties
from services.escalation.on_call.duties import Need
from services.escalation.store import escalations
from services.escalation.store.escalations import Case
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Ladder, Paging, Policy
from shared.postgres.pool import Connection
from shared.runtime.logs import Log

_log = Log(__name__)


class Rules(Struct, frozen=True):
    """What one escalation goes by."""

    ladder: Ladder
    policy: Policy | None
    """None where it can't be had."""
    hours: Hours
    """Of the promise; any, where its clock or its policy is gone (sla-rules 63)."""

    @property
    def paging(self) -> Paging:
        """How pages are held together; the usual way, where the policy is gone."""
        return self.policy.paging if self.policy else Paging()

    def subject_of(self, case: Case) -> str | None:
        """The subject that pages say; None where the policy does not let them."""
        return case.subject if self.paging.say_subject else None


class Gathering:
    """Looks up policies and people for escalations."""

    def __init__(self, shelf: PolicyShelf, channels: Mapping[str, Channel]) -> None:
        self._shelf = shelf
        self._methods = frozenset(channels)
        self._paging = frozenset(
            name for name, channel in channels.items() if not channel.capabilities.is_informational
        )

    async def rules(self, connection: Connection, cases: Sequence[Case]) -> dict[UUID, Rules]:
        """The rules of each escalation; a ladder that can't be found has no steps."""
        policies: dict[tuple[str, int], Policy | None] = {}
        for case in cases:
            key = (case.tenant, case.policy_version)
            if key not in policies:
                policies[key] = await self._policy(connection, *key)
        return {case.id: _rules(case, policies[case.tenant, case.policy_version]) for case in cases}

    async def circles(
        self, connection: Connection, cases: Sequence[Case], rules: Mapping[UUID, Rules], now: datetime
    ) -> dict[UUID, Circle]:
        """What resolving needs to know for each escalation, at this instant (R19)."""
        named = {case.id: (*_everybody(rules[case.id].ladder), *case.also) for case in cases}
        needs = {
            case.id: Need(case.tenant, rules[case.id].policy, duties.rotations_of(named[case.id])) for case in cases
        }
        on_call = await duties.gather(connection, self._shelf, needs.values(), now)

        def circle(case: Case, people: Mapping[str, Person]) -> Circle:
            return Circle(
                at=now,
                policy_version=case.policy_version,
                generation=case.generation,
                rotations=on_call[needs[case.id]],
                owner=case.owner,
                lead=case.lead,
                people=people,
                methods=self._paging,
            )

        wanted: dict[UUID, set[str]] = {}
        for case in cases:
            empty = circle(case, {})
            found = {recipients.person_of(name, empty) for name in named[case.id]}
            wanted[case.id] = {key for key in found if key}
        known = await escalations.load_people(
            connection, {(case.tenant, key) for case in cases for key in wanted[case.id]}
        )
        return {
            case.id: circle(
                case, {key: known[case.tenant, key] for key in wanted[case.id] if (case.tenant, key) in known}
            )
            for case in cases
        }

    def for_information(self, circle: Circle) -> Circle:
        """The same by every channel: those that only inform too, by which nobody is ever paged."""
        return structs.replace(circle, methods=self._methods)

    async def _policy(self, connection: Connection, tenant: str, version: int) -> Policy | None:
        """A policy version; None where it can't be had, so that one tenant's trouble holds nobody else."""
        try:
            return await self._shelf.version(connection, tenant, version)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            raise  # the database's trouble, not the policy's: the step stays due
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, somebody is paged
            _log.error("policy_missing", "A policy version can't be used", error=error, tenant=tenant, version=version)
            return None


def _rules(case: Case, policy: Policy | None) -> Rules:
    calendar = policy.sla.calendars.get(case.calendar) if policy and case.calendar else None
    ladder = policy.escalations.get(case.ladder) if policy else None
    if ladder is None:
        _log.error(
            "ladder_missing",
            f"Policy version {case.policy_version} has no escalation {case.ladder!r}: the console is paged instead",
            tenant=case.tenant,
            escalation=str(case.id),
        )
        ladder = Ladder(name=case.ladder, steps=())
    return Rules(ladder, policy, calendar or ladders.ANY_HOUR)


def _everybody(ladder: Ladder) -> tuple[str, ...]:
    """Every recipient that the ladder may come to."""
    steps = (name for step in ladder.steps for name in step.page)
    return (*steps, *ladder.otherwise, *ladder.on_warning, *ladder.copy, *FALLBACK)
