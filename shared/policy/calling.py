"""Whom to call where no promise says it: for a ticket that nobody takes, or when somebody asks for help with one."""

from shared.policy.document import Ladder, Policy


def ladder_for(policy: Policy, matched: str | None) -> Ladder | None:
    """The ladder of the target line `matched`; else that of the first line that has one; else the first by name.

    None where the policy has no escalations: then nobody can be told.
    """
    named = {target.name: target.escalate for target in policy.sla.targets if target.escalate is not None}
    name = named.get(matched or "") or next(iter(named.values()), None) or min(policy.escalations, default=None)
    return policy.escalations.get(name) if name is not None else None
