"""What a model may and may not do to a ticket, whatever it says, whatever the policy and whatever came when."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.router.domain.classify import UNKNOWN_THEME, classify, judge
from shared.contract.events import Data, Opened, Scored, TicketEvent, Updated
from shared.contract.tickets import Urgency
from shared.policy.document import Policy
from shared.policy.parse import parse_policy
from shared.sla import timeline
from shared.sla.fields import By, Facts
from tests.effort import examples

OPENED = datetime(2026, 6, 1, 9, tzinfo=UTC)
THEMES = ["billing", "shipping", "bug", UNKNOWN_THEME]
TEXTS = ["invoice", "parcel", "outage", "please", "thanks"]


def _when(draw: st.DrawFn, *, asks: tuple[str, ...]) -> dict[str, Any]:
    field = draw(st.sampled_from(["text", *asks]))
    values = {"text": TEXTS, "theme": THEMES, "urgency": list(Urgency), "not.theme": THEMES}[field]
    wanted = draw(st.lists(st.sampled_from([str(value) for value in values]), min_size=1, max_size=2, unique=True))
    return {"not": {"theme": wanted}} if field == "not.theme" else {field: wanted}


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Rules over words, themes and urgencies, also for what no rule knows."""
    urgency = [
        {"name": f"u{n}", "urgency": str(draw(st.sampled_from(Urgency))), "when": _when(draw, asks=("theme",))}
        for n in range(draw(st.integers(0, 4)))
    ]
    themes = [
        {"name": draw(st.sampled_from(THEMES[:-1])), "when": _when(draw, asks=())}
        for _ in range(draw(st.integers(0, 2)))
    ]
    skills = [
        {"name": f"s{n}", "need": [f"skill{n}"], "when": _when(draw, asks=("theme", "urgency"))}
        for n in range(draw(st.integers(0, 2)))
    ]
    model = {
        "confidence": draw(st.sampled_from(["0%", "60%", "100%"])),
        "triage": draw(st.sampled_from(["triage", "none"])),
    }
    text = {"urgency": urgency, "themes": themes, "skills": skills, "model": model}
    return parse_policy(json.dumps(text), version=1)


scored = st.builds(
    Scored,
    model=st.integers(1, 3),
    theme=st.sampled_from([*THEMES[:-1], None]),
    theme_confidence=st.floats(0, 1),
    urgency=st.sampled_from([*Urgency, None]),
    urgency_confidence=st.floats(0, 1),
)
facts = st.builds(
    Facts,
    source=st.just("shop"),
    channel=st.just("email"),
    urgency=st.sampled_from([*Urgency, None]),
    text=st.lists(st.sampled_from(TEXTS), max_size=3).map(" ".join),
    theme=st.sampled_from(["", "", "billing"]),
    is_urgency_said=st.booleans(),
)


@settings(max_examples=examples(400))
@given(policies(), facts, scored)
def test_a_model_never_lowers_an_urgency(policy: Policy, known: Facts, said: Scored) -> None:
    """Not even where its theme keeps a rule from hitting that would have hit without it."""
    alone, beside = classify(policy, known), classify(policy, replace(known, scored=said))

    assert beside.urgency.rank <= alone.urgency.rank
    assert set(alone.rules) <= {*beside.rules, *(rule for rule in alone.rules if rule.startswith("s"))}
    if known.is_urgency_said:
        assert By.MODEL is not beside.urgency_by


@settings(max_examples=examples(400))
@given(policies(), facts, scored)
def test_rules_come_before_a_model_and_people_before_both(policy: Policy, known: Facts, said: Scored) -> None:
    """The channel is never a model's; what it is not sure of it has not said, but for the need of triage."""
    alone, beside = classify(policy, known), classify(policy, replace(known, scored=said))
    is_sure = said.theme is not None and said.theme_confidence >= policy.model.confidence

    assert alone.channel is beside.channel
    if known.theme:
        assert (known.theme, By.PERSON) == (beside.theme, beside.theme_by)
    elif alone.theme != UNKNOWN_THEME:
        assert (alone.theme, By.RULE) == (beside.theme, beside.theme_by)
    else:
        assert (said.theme if is_sure else UNKNOWN_THEME) == beside.theme
    asks = alone.theme == UNKNOWN_THEME and not known.theme and said.theme is not None and not is_sure
    assert (asks and policy.model.triage is not None) == ("triage" in dict(beside.needs))
    assert "triage" not in dict(alone.needs)
    if policy.model.confidence == 1 and said.theme_confidence < 1 and said.urgency_confidence < 1:
        assert (alone.theme, alone.urgency) == (beside.theme, beside.urgency)


moments = st.integers(-2, 6).map(lambda hours: timedelta(hours=hours))
data = st.one_of(
    st.builds(Opened, channel=st.just("email"), text=st.sampled_from(TEXTS)),
    scored,
    st.builds(Updated, theme=st.sampled_from([*THEMES, None]), urgency=st.sampled_from([*Urgency, None])),
)


@settings(max_examples=examples(200))
@given(policies(), st.lists(st.tuples(moments, data), max_size=8), st.randoms(use_true_random=False))
def test_scores_and_corrections_in_any_order_make_one_ticket(
    policy: Policy, said: list[tuple[timedelta, Data]], chance: random.Random
) -> None:
    """Theme, urgency, skills and clocks are those of the log, however it came; the log alone decides."""
    log = [
        TicketEvent(tenant="acme", id=str(n), source="shop", ticket="1", occurred_at=OPENED + moment, data=what)
        for n, (moment, what) in enumerate([(timedelta(), Opened(channel="email", text="please")), *said])
    ]
    judged = judge(policy)
    expected = timeline.place(log, judged.policy, judged.classify, OPENED + timedelta(days=1))
    for _ in range(5):
        shuffled = [*log, *chance.choices(log, k=2)]
        chance.shuffle(shuffled)
        assert expected == timeline.place(shuffled, judged.policy, judged.classify, OPENED + timedelta(days=1))
