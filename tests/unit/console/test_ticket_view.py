"""How one ticket is told to a person."""

import io
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from rich.console import Console

from services.console.domain.ticket import AssignmentLine, ClockLine, EventLine, TicketHead, TicketStory
from services.console.views import ticket
from shared.contract.tickets import Status, TargetKind, Urgency
from shared.sla.explaining.explain import explain
from shared.sla.policy import Judge
from tests.unit.sla.building import RESOLUTION, at, classify, h, opened, policy, status, target, urgency

NOW = datetime(2026, 6, 5, 12, tzinfo=UTC)
HEAD = TicketHead(
    id=UUID(int=1),
    source="zendesk",
    external_id="881",
    status="open",
    opened_at=NOW,
    solved_at=None,
    channel="email",
    urgency="normal",
    theme=None,
    language=None,
    subject=None,
    requester_key=None,
    requester_tier=None,
    matched="all",
    needs=msgspec.Raw(b"[]"),
    prefers=(),
    rules=(),
    pool="email",
    policy_version=1,
    owner=None,
    assigned_at=None,
    waiting_reason="no_skill",
    queued_at=NOW - timedelta(seconds=22),
)
CLOCK = ClockLine(
    target="first_response",
    cycle=1,
    matched="all",
    policy_version=1,
    calendar="always",
    state="breached",
    started_at=NOW - timedelta(hours=4),
    due_at=NOW - timedelta(hours=2),
    warned=0,
    warned_at=None,
    breached_at=NOW - timedelta(hours=2),
    detected_at=NOW - timedelta(hours=2),
    met_at=None,
    ended_at=None,
    open_used=timedelta(hours=2),
    wall_used=None,
)


def told(clock: ClockLine) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    story = TicketStory(now=NOW, head=HEAD, clocks=(clock,), events=(), assignments=(), pages=())
    console.print(ticket.show(story))
    return console.export_text()


def test_why_nobody_has_it_is_told_in_words() -> None:
    """For how long, and the reason."""
    assert "nobody: waits for 22s: nobody on the roster can take it" in told(CLOCK)


def test_a_late_answer_is_no_kept_promise() -> None:
    """It was answered, and how late."""
    answered = CLOCK.due_at + timedelta(minutes=39, seconds=57) if CLOCK.due_at else NOW
    text = told(msgspec.structs.replace(CLOCK, met_at=answered, ended_at=answered))
    assert "answered 39m 57s late" in text
    assert "kept" not in text
    assert "still open, 2h late" in told(CLOCK)


def reasons(*data: bytes, assignments: tuple[AssignmentLine, ...] = (), **clock: object) -> str:
    """What `ticket explain` says of a log and a clock; promises are explained from a log of their own."""
    events = [opened("1 09:00"), urgency("1 10:00", Urgency.URGENT), status("1 18:00", Status.SOLVED)]
    promises = policy(
        target({RESOLUTION: h(4)}, urgency=Urgency.NORMAL),
        target({RESOLUTION: h(4), TargetKind.OWNERSHIP: h(8)}, name="urgent"),
    )
    explained = explain(events, Judge(promises, classify), at("1 19:00"))
    assert explained is not None
    lines = [
        EventLine(event_id=str(number), occurred_at=NOW, received_at=NOW, data=msgspec.Raw(said))
        for number, said in enumerate(data)
    ]
    story = TicketStory(
        now=NOW,
        head=HEAD,
        clocks=(msgspec.structs.replace(CLOCK, **clock),),
        events=tuple(lines),
        assignments=assignments,
        pages=(),
    )
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(ticket.explain(story, explained))
    return console.export_text()


def test_every_time_of_an_explanation_is_local() -> None:
    """The opening in its head, too."""
    assert "(opened Fri 05 Jun 2026 14:00)" in reasons()


def test_a_turn_that_answers_late_is_not_called_kept() -> None:
    """It says by how much it is late."""
    text = reasons()
    assert "done, 5h late" in text
    assert "  kept" not in text


def test_a_promise_that_counts_from_before_it_began_is_not_called_reopened() -> None:
    """A rise of the urgency does the same as a reopening."""
    text = reasons()
    assert "counts from Mon 01 Jun 2026 09:00, before it began" in text
    assert "reopened" not in text


def test_a_hand_off_to_a_team_takes_nothing_back() -> None:
    """Only an assignment to nobody, without a team, does."""
    text = reasons(b'{"kind":"assigned","team":"tier2"}', b'{"kind":"assigned","agent":null}')
    assert "handed to team tier2  [" in text
    assert "taken back by hand" in text


def test_who_answered_an_offer_is_told_with_their_words() -> None:
    """Also where the answer came too late to change anything."""
    text = reasons(
        b'{"kind":"accepted","agent":"flo"}',
        b'{"kind":"declined","agent":"eve","reason":"on the phone"}',
        b'{"kind":"released","agent":"ana","reason":"lunch"}',
    )
    for said in ("flo accepts it  [", "eve declines it: on the phone  [", "ana gives it back: lunch  ["):
        assert said in text


def test_a_warning_of_an_internal_promise_stands_where_it_was_given() -> None:
    """Not before the promise began, and under the name that people say."""
    text = reasons(target="internal_resolution", started_at=NOW, warned_at=NOW - timedelta(hours=1), warned=1)
    assert "Fri 05 Jun 2026 14:00   clock   team's resolution is at risk" in text


def test_offers_stand_beside_who_had_it() -> None:
    """Who was asked and did not take it never had it; who took it later had it from then on; what is direct is no offer."""
    minute = timedelta(minutes=1)
    declined = AssignmentLine(
        agent="ana", by_hand=False, assigned_at=NOW, accepted_at=None, state="offered", ended_at=NOW + minute,
        end_reason="declined",
    )  # fmt: skip
    taken = AssignmentLine(
        agent="ben", by_hand=False, assigned_at=NOW + minute, accepted_at=NOW + 2 * minute, state="active", ended_at=None,
        end_reason=None,
    )  # fmt: skip
    direct = AssignmentLine(
        agent="chi", by_hand=True, assigned_at=NOW, accepted_at=NOW, state="active", ended_at=None, end_reason=None
    )
    text = reasons(assignments=(declined, taken, direct))
    assert ("ana has it" in text, "chi is asked" in text, "chi has it by hand" in text) == (False, False, True)
    for said in (
        "14:00   offer   ana is asked",
        "14:01   offer   ana no longer: declined",
        "14:02   owner   ben has it",
    ):
        assert said in text
