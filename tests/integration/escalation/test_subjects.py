"""A page says the subject of its ticket where the policy lets it (`paging.say_subject`), and nowhere else."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from shared.policy.document import Handoff, Paging
from tests.integration.escalation.conftest import LADDER, START
from tests.integration.escalation.test_waking import AT_NINE_O_FIVE, DUE
from tests.integration.escalation.test_waking import LADDER as FOLLOWING

ALLOWED = Paging(window=timedelta(), say_subject=True)
SAID = 'Subject: "Charged twice"'


@pytest.mark.parametrize("paging", [ALLOWED, Paging(window=timedelta())])
async def test_a_page_a_warning_and_a_copy_say_the_subject_where_the_policy_lets_them(
    world: Any, clock_control: Any, paging: Paging
) -> None:
    """One line below the headline; of a policy that doesn't, not a word."""
    world.use(structs.replace(LADDER, on_warning=("person/ana",), copy=("person/ben",)), paging=paging)
    await world.people("ana", "ben", "head")
    await world.ticket(warn_in=[timedelta(minutes=30)])
    await clock_control.freeze(START + timedelta(minutes=31))
    await world.drain()
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    assert {"warning", "page", "copy"} == {page.kind.value for page in world.provider.sent}
    for page in world.provider.sent:
        assert (page.text.splitlines()[1] == SAID) == ("Charged" in page.text) == paging.say_subject
        assert page.facts.subject == ("Charged twice" if paging.say_subject else None)


@pytest.mark.parametrize("is_taken", [False, True])
async def test_what_changes_hands_says_its_subject_too(world: Any, clock_control: Any, *, is_taken: bool) -> None:
    """To whoever comes, and where somebody has it, as a question to both."""
    handing_over = structs.replace(FOLLOWING, handoff=Handoff.HAND_OVER, silence={})
    world.use(handing_over, rotations={"support": AT_NINE_O_FIVE}, paging=ALLOWED)
    await world.people("ana", "ben", "cleo", "head")
    await world.ticket()
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    if is_taken:
        [one] = await world.escalations()
        await world.answering.by_key("default", one["id"], world.provider.sent[0].person)
    before = len(world.provider.sent)
    await clock_control.freeze(DUE + timedelta(minutes=5))
    await world.drain()
    later = world.provider.sent[before:]
    assert (2 if is_taken else 1) == len(later)
    assert all(page.text.splitlines()[2] == SAID for page in later)
