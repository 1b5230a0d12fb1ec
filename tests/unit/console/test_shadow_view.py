"""What a person reads of a candidate beside the policy in force."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from services.console.views import shadow as view
from services.router.store.shadows import Differences, Differing, State, Tally
from services.router.versions.shadow import Comparison, lines
from shared.contract.judges import JudgedBy
from shared.contract.tickets import Channel, ClockState, TargetKind

MONDAY = datetime(2026, 6, 1, 9, tzinfo=UTC)


def tally(policy: JudgedBy, channel: Channel, met: int, breached: int, running: int = 0) -> Tally:
    return Tally(
        policy=policy, target=TargetKind.FIRST_RESPONSE, channel=channel, clocks=met + breached + running,
        met=met, breached=breached, running=running, cancelled=0,
    )  # fmt: skip


FOUND = Comparison(
    source="", started_at=MONDAY, started_by="ana", state=State.RUNNING, failure=None, tickets=1_200, is_full=False, behind=0,
    lines=lines([
        tally(JudgedBy.LIVE, Channel.PHONE, 10, 0),
        tally(JudgedBy.LIVE, Channel.EMAIL, 90, 10, running=3),
        tally(JudgedBy.SHADOW, Channel.EMAIL, 80, 20),
    ]),
    differences=Differences(tickets=11, only_live=1, only_shadow=10),
    examples=(
        Differing(
            source="shop", external_id="881", channel=Channel.EMAIL, target=TargetKind.FIRST_RESPONSE, cycle=1,
            live_matched=None, live_state=None, live_due_at=None, live_breached_at=None,
            shadow_matched="[at] once", shadow_state=ClockState.BREACHED, shadow_due_at=MONDAY, shadow_breached_at=MONDAY,
        ),
    ),
)  # fmt: skip


def told(capsys: pytest.CaptureFixture[str], found: Comparison) -> str:
    view.tell(found)
    return capsys.readouterr().out


def test_both_stand_side_by_side_with_their_sum(capsys: pytest.CaptureFixture[str]) -> None:
    """By target and channel; where one promises nothing there is a dash."""
    rows = [line.split() for line in told(capsys, FOUND).splitlines()]
    assert ["first_response", "email", "90", "10", "3", "90.0", "80", "20", "0", "80.0"] in rows
    assert ["first_response", "phone", "10", "0", "0", "100.0", "0", "0", "0", "-"] in rows
    assert ["all", "100", "10", "3", "90.9", "80", "20", "0", "80.0"] in rows


def test_tickets_that_differ_are_counted_and_some_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With the line of each policy that judged them; names are printed as they are."""
    text = told(capsys, FOUND)
    assert (
        "11 tickets differ: on 1 a promise was broken by the policy in force only, on 10 by the candidate only" in text
    )
    assert "shop 881, first_response 1: live promises nothing; shadow breached (`[at] once`, due 2026-06-01" in text


def test_a_trial_that_does_not_go_on_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """And what is still missing from the figures."""
    failed = told(capsys, replace(FOUND, state=State.FAILED, failure="RecursionError", is_full=True, behind=7))
    for sentence in (
        "failed; tried on 1,200 tickets",
        "can't be tried: RecursionError",
        "about 7 events",
        "later ones are left out",
    ):
        assert sentence in failed


def test_agreement_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """And so is that there is nothing yet."""
    none = Differences(tickets=0, only_live=0, only_shadow=0)
    assert "both broke the same promises" in told(capsys, replace(FOUND, differences=none, examples=()))
    assert "nothing to compare yet" in told(capsys, replace(FOUND, lines=()))
