"""Whom to call where no promise says it: for a ticket that nobody takes, or when somebody asks for help with one."""

from datetime import datetime
from typing import NamedTuple

from shared.policy.document import Ladder, Policy


def ladder_for(policy: Policy, matched: str | None) -> Ladder | None:
    """The ladder of the target line `matched`; else that of the first line that has one; else the first by name.

    None where the policy has no escalations: then nobody can be told.
    """
    named = {target.name: target.escalate for target in policy.sla.targets if target.escalate is not None}
    name = named.get(matched or "") or next(iter(named.values()), None) or min(policy.escalations, default=None)
    return policy.escalations.get(name) if name is not None else None


class Call(NamedTuple):
    """A step of a ladder: whom it pages, as the policy writes it, and when."""

    at: datetime
    page: tuple[str, ...]


def walk(ladder: Ladder, since: datetime, begin: int = 0) -> tuple[Call, ...]:
    """The steps of a ladder from an instant on, while nobody acknowledges; those that go together are one.

    Where it begins later than with the first step (0), that step is due at once.
    """
    calls: list[Call] = []
    at = since
    for index, step in enumerate(ladder.steps[begin:]):
        if index or not begin:
            at += step.after
        if calls and calls[-1].at == at:
            calls[-1] = Call(at, calls[-1].page + step.page)
        else:
            calls.append(Call(at, step.page))
    return tuple(calls)
