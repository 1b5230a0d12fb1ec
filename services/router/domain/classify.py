"""What the policy's rules make of a ticket: channel, urgency, theme and skills (routing-rules 2).

Order: channel and theme first, then urgency (its rules may ask for the theme), then skills (theirs may ask for both).
A trained model is asked for a theme that no rule knows, and may raise an urgency, never lower it; a person beats both.
All words and expressions of a policy are searched in one pass over the text.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import TypeAlias

import msgspec

from shared.contract.tickets import Channel, Urgency
from shared.policy.document import DEFAULT_POOL, ModelTerms, Policy, SkillRule
from shared.sla import condition
from shared.sla.condition import Condition, TextSearch
from shared.sla.fields import By, Classification, Fields
from shared.sla.timeline import Facts, Judge

UNKNOWN_THEME = "unknown"
"""The theme of a ticket that no theme rule knows."""

_PLACE = re.compile(r"\{([^{}]+)\}")
_POLICIES_KEPT = 256
_BY_RANK = sorted(Urgency, key=lambda urgency: urgency.rank)


_Skill: TypeAlias = str | Callable[[Fields], str | None]
"""A skill's name, or what fills it in for a ticket: None where the ticket lacks what the name asks for."""


class _Rules:
    """A policy's rules, each condition with the number under which the text search reports it."""

    def __init__(self, policy: Policy) -> None:
        self._patterns: list[Condition] = []
        self.aliases = policy.aliases
        self.themes = tuple((rule.name, rule.when, self._numbered(rule.when)) for rule in policy.themes)
        self.urgency = tuple(
            (rule.name, rule.urgency.rank, rule.when, self._numbered(rule.when)) for rule in policy.urgency
        )
        self.skills = tuple(
            (rule.when, self._numbered(rule.when), _needs(rule), _prefers(rule), rule.insist, rule.name)
            for rule in policy.skills
        )
        self.pools = tuple((rule.name, rule.when, self._numbered(rule.when)) for rule in policy.pools)
        self._search = TextSearch(self._patterns)

    def _numbered(self, when: Condition | None) -> int | None:
        if when is None or not when.patterns:
            return None
        self._patterns.append(when)
        return len(self._patterns) - 1

    def found_in(self, text: str) -> frozenset[int]:
        """Numbers of the conditions one of whose patterns is in the text."""
        return self._search.found_in(text)


def classify(policy: Policy, facts: Facts) -> Classification:
    """Judge a ticket by the rules of a policy version; the names of the rules that hit are in the answer."""
    rules = _rules_of(policy)
    text = f"{facts.subject}\n{facts.text}" if facts.subject or facts.text else ""
    found = rules.found_in(text)
    fields = Fields(
        channel=rules.aliases.get(facts.channel.strip().casefold(), Channel.OTHER),
        urgency=facts.urgency or Urgency.NORMAL,
        theme=UNKNOWN_THEME,
        language=facts.language,
        source=facts.source,
        requester_key=facts.requester_key,
        requester_tier=facts.requester_tier,
        team=facts.team,
        attributes=facts.attributes,
        text=text,
    )
    hits: list[str] = []
    ruled = _with_rule_theme(rules, fields, found, hits)
    fields, theme_by, is_unsure = ruled, By.RULE if hits else By.NOBODY, False
    if facts.theme or facts.scored is not None:
        fields, theme_by, is_unsure = _with_theme(policy.model, ruled, facts)
    urgency, urgency_by = _urgency_of(rules, (fields, ruled), found, facts, hits)
    if facts.scored is not None:
        urgency, urgency_by = _raised(policy.model, facts, urgency, urgency_by)
    needs: tuple[tuple[str, int], ...] = ()
    prefers: tuple[str, ...] = ()
    insists: tuple[tuple[str, ...], ...] = ()
    if rules.skills or rules.pools:
        fields = msgspec.structs.replace(fields, urgency=urgency)
    if rules.skills:
        needs, prefers, insists = _skills_for(rules, fields, found, hits)
    if is_unsure and policy.model.triage is not None and policy.model.triage not in dict(needs):
        needs = tuple(sorted((*needs, (policy.model.triage, 1))))
        prefers = tuple(name for name in prefers if name != policy.model.triage)
    return Classification(
        channel=fields.channel,
        urgency=urgency,
        urgency_by=urgency_by,
        theme=fields.theme,
        theme_by=theme_by,
        language=fields.language,
        needs=needs,
        prefers=prefers,
        insists=insists,
        pool=_pool_for(rules, fields, found) if rules.pools else DEFAULT_POOL,
        rules=tuple(hits),
    )


def _with_rule_theme(rules: _Rules, fields: Fields, found: frozenset[int], hits: list[str]) -> Fields:
    for name, when, number in rules.themes:
        if (number is None or number in found) and when.fields_hold(fields):
            hits.append(name)
            return msgspec.structs.replace(fields, theme=name)
    return fields


def _with_theme(terms: ModelTerms, ruled: Fields, facts: Facts) -> tuple[Fields, By, bool]:
    """The theme that holds, who says so, and whether a model was asked and is unsure: a person beats rules, rules a model."""
    if facts.theme:
        return msgspec.structs.replace(ruled, theme=facts.theme), By.PERSON, False
    if ruled.theme != UNKNOWN_THEME:
        return ruled, By.RULE, False
    scored = facts.scored
    if scored is None or scored.theme is None:
        return ruled, By.NOBODY, False
    if scored.theme_confidence < terms.confidence:
        return ruled, By.NOBODY, True
    return msgspec.structs.replace(ruled, theme=scored.theme), By.MODEL, False


def _urgency_of(
    rules: _Rules, views: tuple[Fields, Fields], found: frozenset[int], facts: Facts, hits: list[str]
) -> tuple[Urgency, By]:
    """The highest of what was said and what rules say, of the ticket with its theme and with the theme by rules alone.

    So a model's theme may bring a rule to bear and keeps none from it; where it is only that, no rule makes a ticket less
    urgent than it is without the model.
    """
    fields, ruled = views
    is_one = fields.theme == ruled.theme or bool(facts.theme)
    best = None if facts.urgency is None else facts.urgency.rank
    is_floored = best is None and not is_one
    by = By.NOBODY if facts.urgency is None else By.PERSON if facts.is_urgency_said else By.HELPDESK
    for name, rank, when, number in rules.urgency:
        if (number is None or number in found) and (
            when.fields_hold(fields) or (not is_one and when.fields_hold(ruled))
        ):
            hits.append(name)
            is_floored = is_floored and not when.fields_hold(ruled)
            if best is None or rank < best:
                best, by = rank, By.RULE
    if is_floored and best is not None and best > Urgency.NORMAL.rank:
        return Urgency.NORMAL, By.NOBODY
    return Urgency.NORMAL if best is None else _BY_RANK[best], by


def _raised(terms: ModelTerms, facts: Facts, urgency: Urgency, by: By) -> tuple[Urgency, By]:
    """A model may raise what is there, where it is sure and nobody has said since how urgent it is."""
    scored = facts.scored
    if scored is None or scored.urgency is None or facts.is_urgency_said:
        return urgency, by
    if scored.urgency_confidence < terms.confidence or scored.urgency.rank >= urgency.rank:
        return urgency, by
    return scored.urgency, By.MODEL


@lru_cache(maxsize=_POLICIES_KEPT)
def judge(policy: Policy) -> Judge:
    """A policy version as the fold wants it."""
    return Judge(policy.sla, partial(classify, policy))


def _skills_for(
    rules: _Rules, fields: Fields, found: frozenset[int], hits: list[str]
) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Needed, preferred, and of the latter those that are insisted upon, a group for each such rule."""
    needs: dict[str, int] = {}
    prefers: dict[str, None] = {}
    insists: list[tuple[str, ...]] = []
    for when, number, needed, preferred, insist, rule in rules.skills:
        if when is not None and not ((number is None or number in found) and when.fields_hold(fields)):
            continue
        if rule:
            hits.append(rule)
        for skill, level in needed:
            name = skill if isinstance(skill, str) else skill(fields)
            if name and level > needs.get(name, 0):
                needs[name] = level
        if preferred:
            group = _filled(preferred, fields)
            prefers |= dict.fromkeys(group)
            if insist and group:
                insists.append(group)
    return (
        tuple(sorted(needs.items())),
        tuple(name for name in prefers if name not in needs) if prefers else (),
        tuple(insists),
    )


def _filled(skills: Iterable[_Skill], fields: Fields) -> tuple[str, ...]:
    """The names of those skills that the ticket can fill in."""
    names = (skill if isinstance(skill, str) else skill(fields) for skill in skills)
    return tuple(dict.fromkeys(name for name in names if name))


def _pool_for(rules: _Rules, fields: Fields, found: frozenset[int]) -> str:
    for name, when, number in rules.pools:
        if (number is None or number in found) and when.fields_hold(fields):
            return name
    return DEFAULT_POOL


@lru_cache(maxsize=_POLICIES_KEPT)
def _rules_of(policy: Policy) -> _Rules:
    return _Rules(policy)


def _needs(rule: SkillRule) -> tuple[tuple[_Skill, int], ...]:
    return tuple((_skill(name), level) for name, level in rule.need)


def _prefers(rule: SkillRule) -> tuple[_Skill, ...]:
    return tuple(_skill(name) for name in rule.prefer)


def _skill(template: str) -> _Skill:
    parts = _PLACE.split(template)
    before = parts[0].casefold()
    if len(parts) == 1:
        return before
    places = [
        (condition.reader(place.strip()), rest.casefold()) for place, rest in zip(parts[1::2], parts[2::2], strict=True)
    ]

    def filled(fields: Fields) -> str | None:
        name = before
        for read, rest in places:
            value = read(fields)
            if value.__class__ is tuple:
                value = value[-1]
            if not value:
                return None
            name = f"{name}{value}{rest}"
        return name

    return filled
