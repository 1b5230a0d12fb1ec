"""Who may send how many pages now: fair over tenants, within each account's tokens and places (R29, R30, R37, R38)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.escalation.domain import sharing
from services.escalation.domain.sharing import Account, Lane, Limits, Reason

NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
WAIT = timedelta(seconds=10)
LIMITS = Limits(concurrency=20, free=20, per_account=10, per_second=10.0, burst=50.0)
WELL = Account(tokens=float("inf"), refilled_at=NOW, held_until=None, opened_at=None, probe_at=None, busy=0)


def lane(tenant: str = "a", account: str = "x", due: int = 5, priority: int = 1, oldest: float = 0) -> Lane:
    """Due pages."""
    return Lane(
        method="webhook",
        tenant=tenant,
        account=account,
        priority=priority,
        due=due,
        oldest_at=NOW - timedelta(seconds=oldest),
    )


def share(*lanes: tuple[Lane, Account], in_flight: dict[tuple[str, str], int] | None = None, **limits: Any) -> Any:
    """Shares of one channel."""
    return sharing.share(lanes, {"webhook": msgspec.structs.replace(LIMITS, **limits)}, in_flight or {}, NOW, WAIT)


def granted(shares: Any) -> dict[str, int]:
    """Pages by tenant."""
    found: dict[str, int] = {}
    for grant in shares.grants:
        found[grant.lane.tenant] = found.get(grant.lane.tenant, 0) + grant.pages
    return found


def test_r29_tenants_get_places_in_turn() -> None:
    """Nobody more than one ahead, and whoever has pages in flight already comes after the others."""
    shares = share(*((lane(tenant, due=9), WELL) for tenant in "abc"), free=8, in_flight={("webhook", "a"): 2})
    assert {"a": 2, "b": 3, "c": 3} == granted(shares)


def test_r29_an_account_has_so_many_places_and_tokens() -> None:
    """The fewer of both; what waits for tokens is told when they come."""
    assert {"a": 10} == granted(share((lane(due=21), WELL)))
    assert {"a": 4} == granted(share((lane(due=21), msgspec.structs.replace(WELL, busy=6))))
    shares = share((lane(due=21), msgspec.structs.replace(WELL, tokens=2.5)))
    assert {"a": 2} == granted(shares)
    [hold] = shares.holds
    assert (Reason.THROTTLE, timedelta(milliseconds=100)) == (hold.reason, hold.apart)
    assert timedelta(milliseconds=50) == hold.until - NOW


def test_r29_tokens_come_back_with_time_up_to_the_burst() -> None:
    """A clock that was put back brings none."""
    empty = msgspec.structs.replace(WELL, tokens=0.0, refilled_at=NOW - timedelta(seconds=2))
    assert 20.0 == sharing.refilled(empty, LIMITS, NOW)
    assert 50.0 == sharing.refilled(empty, LIMITS, NOW + timedelta(hours=1))
    assert 0.0 == sharing.refilled(empty, LIMITS, NOW - timedelta(hours=1))


def test_r29_the_first_page_of_an_urgent_escalation_needs_no_token() -> None:
    """The others of the account wait longer for it."""
    empty = msgspec.structs.replace(WELL, tokens=0.0)
    shares = share((lane(due=1, priority=0), empty), (lane(due=5), empty))
    assert [(0, 1)] == [(grant.lane.priority, grant.pages) for grant in shares.grants]
    assert timedelta(milliseconds=200) == shares.holds[0].until - NOW


def test_r30_whoever_waits_for_a_place_is_shown_as_held_back_after_a_second() -> None:
    """They stay due: a place may come free at any time."""
    full = msgspec.structs.replace(WELL, busy=10)
    assert [] == share((lane(due=1), full)).holds
    [hold] = share((lane(due=1, oldest=2), full)).holds
    assert (Reason.THROTTLE, True) == (hold.reason, hold.is_looked_at)
    [hold] = share((lane(due=3, oldest=2), WELL), free=0).holds
    assert hold.is_looked_at


def test_r37_an_account_that_asked_for_silence_gets_it() -> None:
    """All of its lanes wait, the urgent one too."""
    silent = msgspec.structs.replace(WELL, held_until=NOW + timedelta(seconds=7))
    shares = share((lane(priority=0), silent), (lane(), silent), (lane(account="y"), WELL))
    assert ["y"] == [grant.lane.account for grant in shares.grants]
    assert [(Reason.RETRY_AFTER, silent.held_until)] * 2 == [(hold.reason, hold.until) for hold in shares.holds]


def test_r38_a_broken_account_is_tried_by_one_page() -> None:
    """When its time has come, by the most important; the others wait."""
    broken = msgspec.structs.replace(WELL, opened_at=NOW, probe_at=NOW)
    shares = share((lane(), broken), (lane(priority=0, due=2), broken))
    assert [(0, 1)] == [(grant.lane.priority, grant.pages) for grant in shares.grants]
    assert {Reason.BREAKER} == {hold.reason for hold in shares.holds}
    assert 2 == len(shares.holds)
    later = msgspec.structs.replace(broken, probe_at=NOW + WAIT)
    assert [] == share((lane(), later)).grants


@given(
    dues=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.integers(1, 21), st.integers(0, 2)),
        max_size=12,
        unique_by=lambda one: (one[0], one[1], one[3]),
    ),
    free=st.integers(0, 20),
    busy=st.integers(0, 12),
    tokens=st.floats(-50, 50),
)
def test_r29_no_limit_is_ever_passed(
    dues: list[tuple[str, str, int, int]], free: int, busy: int, tokens: float
) -> None:
    """Whatever is due: places of the channel, of each account and of each tenant; tokens of all but urgent pages."""
    account = msgspec.structs.replace(WELL, busy=busy, tokens=tokens)
    shares = share(*((lane(t, a, n, p), account) for t, a, n, p in dues), free=free)
    assert free >= sum(grant.pages for grant in shares.grants)
    assert all(0 < grant.pages <= grant.lane.due for grant in shares.grants)
    assert all(pages <= 15 for pages in granted(shares).values())
    for key in {(t, a) for t, a, _, _ in dues}:
        mine = [grant for grant in shares.grants if (grant.lane.tenant, grant.lane.account) == key]
        assert sum(grant.pages for grant in mine) <= max(10 - busy, 0)
        assert sum(grant.pages for grant in mine if grant.lane.priority) <= max(int(tokens), 0)
