"""Whether somebody takes the tickets of each pool of a policy, and whether each pool that people take tickets of is one.

Policy and roster are applied one after the other, so neither is wrong for being first: what doesn't fit is a warning.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shared.policy.document import DEFAULT_POOL, Person, Policy
from shared.policy.errors import did_you_mean, short
from shared.sla.condition import Condition

_NAMED = 5
_EVERYTHING = Condition({})


class Doubt(NamedTuple):
    """What is legal but hardly meant."""

    pointer: str
    """Into the policy file."""
    problem: str
    remedy: str


class Server(NamedTuple):
    """Somebody who works tickets."""

    key: str
    pools: tuple[str, ...]
    """Empty: all."""


def working(people: Iterable[Person]) -> list[Server]:
    """Those of a roster who work tickets."""
    return [Server(person.key, person.pools) for person in people if person.channels]


def doubts(policy: Policy, people: Iterable[Server]) -> Iterator[Doubt]:
    """Pools that nobody takes tickets of, and people who take tickets of pools that there are not; nothing without people."""
    servers = list(people)
    if not servers:
        return
    known = {DEFAULT_POOL, *(rule.name for rule in policy.pools)}
    for number, rule in enumerate(policy.pools):
        if not _is_served(rule.name, servers):
            yield Doubt(
                f"/pools/{number}/name",
                f"nobody on the roster takes tickets of the pool `{short(rule.name)}`",
                "add it to the `pools` of those who should, in the roster",
            )
    takes_the_rest = any(rule.name == DEFAULT_POOL or rule.when == _EVERYTHING for rule in policy.pools)
    if not takes_the_rest and not _is_served(DEFAULT_POOL, servers):
        yield Doubt(
            "/pools",
            f"tickets of no pool wait in `{DEFAULT_POOL}`, and nobody on the roster takes those",
            f"add `{DEFAULT_POOL}` to somebody's `pools` in the roster, or end the list with a pool without `when`",
        )
    strays: dict[str, list[str]] = {}
    for server in servers:
        for pool in server.pools:
            if pool not in known:
                strays.setdefault(pool, []).append(server.key)
    for pool, keys in sorted(strays.items()):
        listed = ", ".join(f"`{short(key)}`" for key in keys[:_NAMED]) + (", ..." if len(keys) > _NAMED else "")
        yield Doubt(
            "/pools",
            f"the roster has {listed} take tickets of `{short(pool)}`, which is no pool of the policy",
            did_you_mean(pool, known, what="pools"),
        )


def _is_served(pool: str, servers: Iterable[Server]) -> bool:
    return any(not server.pools or pool in server.pools for server in servers)
