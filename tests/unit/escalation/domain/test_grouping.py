"""Which pages are told together, and what a page says that tells of several (R4, R27, R30)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from services.escalation.domain import grouping, notice
from services.escalation.domain.grouping import Key
from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.recipient import Evidence
from services.escalation.store.pages import NewPage
from shared.policy.document import Paging

NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
FACTS = Facts(
    source="zendesk", ticket="881", channel="email", urgency="high", target="first_response", due_at=NOW, reason="breached",
    at=NOW + timedelta(seconds=5), recipient="person/ana", next_step_at=NOW + timedelta(minutes=10),
    next_recipients=("person/ben",),
)  # fmt: skip
EVIDENCE = Evidence(policy_version=1, generation=1)
PAGE = NewPage(
    id=UUID(int=1), tenant="t", escalation_id=None, kind=Kind.PAGE, step=2, loop=0, recipient="on-call/x",
    person="ana", method="console", address="", secret="", urgency="high", evidence=EVIDENCE, body=FACTS, due_at=NOW,
    token_hash=None,
)  # fmt: skip


def test_r27_the_key_is_recipient_urgency_and_step() -> None:
    """The person counts, whatever they are paged as."""
    key = grouping.key_of(PAGE, Paging(), NOW)
    assert Key(tenant="t", who="ana", kind="page", urgency="high", step=2) == key
    same = msgspec.structs.replace(PAGE, recipient="person/ana", loop=1)
    assert key == grouping.key_of(same, Paging(), NOW)


@pytest.mark.parametrize(
    "change",
    [{"kind": Kind.COPY}, {"kind": Kind.ALARM}, {"kind": Kind.RESOLVE}, {"quiet_until": NOW}, {"is_by_hand": True}],
)
def test_r27_only_pages_and_warnings_that_go_now_join(change: dict[str, object]) -> None:
    """Others stand alone."""
    assert grouping.key_of(msgspec.structs.replace(PAGE, **change), Paging(), NOW) is None


def test_r27_no_window_groups_nothing() -> None:
    """Not even what is late."""
    off = Paging(window=timedelta())
    assert grouping.key_of(PAGE, off, NOW + timedelta(days=1)) is None


def test_r30_what_is_late_joins_one_digest_whatever_its_step_and_urgency() -> None:
    """From the first instant after `digest_after`; a digest has no page of its own that goes first."""
    late = NOW + timedelta(minutes=10)
    assert "page" == grouping.key_of(PAGE, Paging(), late).kind
    later = late + timedelta(microseconds=1)
    digest = grouping.key_of(PAGE, Paging(), later)
    other = msgspec.structs.replace(PAGE, kind=Kind.WARNING, urgency="low", step=0)
    assert grouping.digest_key("t", "ana") == digest == grouping.key_of(other, Paging(), later)
    assert not grouping.goes_at_once(digest, 1)
    assert grouping.goes_at_once(grouping.key_of(PAGE, Paging(), late), 1)


def test_r4_the_worst_comes_first() -> None:
    """The most urgent, of those what is late longest; what has no due time last."""
    dues = [
        ("low", NOW),
        ("urgent", None),
        ("urgent", NOW),
        ("high", NOW - timedelta(hours=1)),
        ("urgent", NOW - timedelta(1)),
    ]
    assert [4, 2, 1, 3, 0] == grouping.worst_first(dues)


def test_r27_a_summary_says_how_many_by_when_which_and_one_link() -> None:
    """In plain text."""
    told = notice.roundup([FACTS, msgspec.structs.replace(FACTS, ticket="882")], NOW, before=1)
    text = notice.text(msgspec.structs.replace(FACTS, roundup=told), EVIDENCE, Kind.SUMMARY, "http://x/ack")
    broken = "was due 2026-06-01 09:00:00 UTC, 5 s ago"
    assert [
        "ALSO: 2 more pages since 2026-06-01 09:00:00 UTC, after 1 before; the worst first",
        f"- BROKEN: first response of ticket 881 (zendesk, email, high) {broken}",
        f"- BROKEN: first response of ticket 882 (zendesk, email, high) {broken}",
        "Next: person/ben at 2026-06-01 09:10:00 UTC, unless somebody acknowledges",
        "Why you: the policy names you",
        "Acknowledge all 2: http://x/ack",
    ] == text.splitlines()


def test_r27_no_more_than_twenty_are_named() -> None:
    """The others are counted."""
    told = notice.roundup([FACTS] * 500, NOW)
    text = notice.text(msgspec.structs.replace(FACTS, roundup=told), EVIDENCE, Kind.SUMMARY, "")
    assert 20 == text.count("- BROKEN")
    assert "- and 480 more" in text


def test_r4_a_digest_says_since_when() -> None:
    """And one of one is in the singular; one of warnings speaks of promises at risk."""
    facts = msgspec.structs.replace(FACTS, at=NOW + timedelta(hours=3))
    late = msgspec.structs.replace(facts, roundup=notice.roundup([facts], NOW, is_late=True))
    assert notice.headline(late).startswith("LATE: 1 page since 2026-06-01 09:00:00 UTC, 3 h 0 min ago")
    warned = msgspec.structs.replace(facts, roundup=notice.roundup(_tickets(3), NOW, is_warning=True))
    assert notice.headline(warned).startswith("ALSO: 3 more promises at risk since")
    over = msgspec.structs.replace(warned, resolution="answered")
    assert "OVER: 3 promises at risk that were told together: tickets 0, 1 and 2" == notice.headline(over)
    alone = msgspec.structs.replace(FACTS, resolution="answered", roundup=notice.roundup([FACTS], NOW))
    assert "OVER: 1 page that was told together: ticket 881" == notice.headline(alone)


def test_r14_what_is_over_names_the_first_few() -> None:
    """Each ticket once, and how many more."""
    both = [one for one in _tickets(32) for _ in range(2)]
    over = msgspec.structs.replace(FACTS, resolution="answered", roundup=notice.roundup(both, NOW))
    said = "OVER: 64 pages about 32 tickets that were told together: tickets 0, 1, 2 and 29 more"
    assert said == notice.headline(over)
    pair = msgspec.structs.replace(over, roundup=notice.roundup(_tickets(2), NOW))
    assert notice.headline(pair).endswith("told together: tickets 0 and 1")


def test_r27_several_pages_of_a_ticket_are_one_ticket() -> None:
    """And the order is told of a list only."""
    both = [one for one in _tickets(32) for _ in range(2)]
    facts = msgspec.structs.replace(FACTS, roundup=notice.roundup(both, NOW))
    assert notice.headline(facts).startswith("ALSO: 64 more pages about 32 tickets since")
    assert notice.text(facts, EVIDENCE, Kind.SUMMARY, "link").endswith("Acknowledge all 32 tickets: link")
    same = msgspec.structs.replace(FACTS, roundup=notice.roundup([FACTS, FACTS], NOW))
    assert notice.headline(same).startswith("ALSO: 2 more pages about 1 ticket since")
    assert notice.text(same, EVIDENCE, Kind.SUMMARY, "link").endswith("Acknowledge it: link")
    one = msgspec.structs.replace(FACTS, roundup=notice.roundup([FACTS], NOW))
    assert "ALSO: 1 more page since 2026-06-01 09:00:00 UTC" == notice.headline(one)


@pytest.mark.parametrize(
    ("quiet", "said"),
    [(0, "when they could not be told"), (2, "2 of them held for quiet hours"), (3, "held for quiet hours")],
)
def test_r24_a_digest_says_what_was_held_for_quiet_hours(quiet: int, said: str) -> None:
    """Not that it could not be told."""
    facts = msgspec.structs.replace(FACTS, at=NOW + timedelta(hours=3))
    told = notice.roundup(_tickets(3), NOW, is_late=True, quiet=quiet)
    headline = notice.headline(msgspec.structs.replace(facts, roundup=told))
    assert headline.endswith(f"3 h 0 min ago, {said}; the worst first")


def test_r4_a_next_step_that_is_past_is_not_said() -> None:
    """Nor who is next, where the step has moved."""
    facts = msgspec.structs.replace(FACTS, at=NOW + timedelta(hours=3), roundup=notice.roundup(_tickets(2), NOW))
    assert "Next:" not in notice.text(facts, EVIDENCE, Kind.DIGEST, "link")
    moved = msgspec.structs.replace(facts, next_step_at=NOW + timedelta(hours=4), next_recipients=())
    assert "Next: the next level at 2026-06-01 13:00:00 UTC" in notice.text(moved, EVIDENCE, Kind.DIGEST, "link")


def _tickets(count: int) -> list[Facts]:
    return [msgspec.structs.replace(FACTS, ticket=str(number)) for number in range(count)]


def test_r27_a_summary_of_warnings_says_that_nothing_is_paged_yet() -> None:
    """Not that it was the last of a ladder, which has not begun."""
    told = notice.roundup([FACTS] * 2, NOW, is_warning=True)
    facts = msgspec.structs.replace(FACTS, next_step_at=None, next_recipients=(), roundup=told)
    assert "Next: nothing yet; this is a warning" in notice.text(facts, EVIDENCE, Kind.SUMMARY, "")
