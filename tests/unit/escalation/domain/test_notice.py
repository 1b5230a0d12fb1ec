"""The text of a page."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts, headline, need, quoted, text
from services.escalation.domain.recipient import Evidence
from shared.contract.help import About, Why
from shared.contract.tickets import Channel

DUE = datetime(2026, 6, 1, 9, tzinfo=UTC)
FACTS = Facts(
    source="zendesk",
    ticket="881",
    channel="email",
    urgency="high",
    target="first_response",
    due_at=DUE,
    reason="breached",
    at=DUE + timedelta(minutes=4),
    recipient="owner",
)
EVIDENCE = Evidence(policy_version=1, generation=1)


@pytest.mark.parametrize(
    ("late", "said"),
    [
        (timedelta(seconds=5), "5 s ago"),
        (timedelta(minutes=59), "59 min ago"),
        (timedelta(hours=3, minutes=5), "3 h 5 min ago"),
        (timedelta(days=2, hours=1), "2 d 1 h ago"),
        (timedelta(minutes=-15), "in 15 min"),
    ],
)
def test_how_late_is_said_as_people_say_it(late, said):
    """The first line tells what broke and how late it is."""
    assert said in headline(replace(FACTS, at=DUE + late))


def test_a_promise_without_a_due_time_is_named_by_the_reason():
    """A clock that was paused meanwhile has none."""
    assert headline(replace(FACTS, due_at=None)).startswith("BREACHED: first response of ticket 881")


def test_a_warning_says_that_it_is_one():
    """Nothing follows but the breach."""
    assert "this is a warning" in text(FACTS, EVIDENCE, Kind.WARNING, "link")


def test_the_last_page_says_that_nobody_follows():
    """Whoever reads it is the last."""
    assert "nobody else is paged" in text(FACTS, EVIDENCE, Kind.PAGE, "link")


@pytest.mark.parametrize(
    ("recipient", "why"),
    [
        ("owner", "you own the ticket"),
        ("lead", "you lead its owner"),
        ("person/ana", "the policy names you"),
        ("on-call/support", "you are on call for support"),
        ("channel/console", "pages go that nobody else gets"),
    ],
)
def test_everybody_learns_why_they_are_paged(recipient, why):
    """Rotation, name, ownership or last resort."""
    assert why in text(replace(FACTS, recipient=recipient), EVIDENCE, Kind.PAGE, "link")


def test_r19_a_page_says_by_which_layer_or_override_the_shift_is_theirs():
    """As the evidence has it; an override is in place of whose turn it is."""
    facts, until = replace(FACTS, recipient="on-call/support"), DUE + timedelta(hours=8)
    told = [
        text(facts, replace(EVIDENCE, shift_ends_at=until, **more), Kind.PAGE, "link")
        for more in ({"layer": "office"}, {"override": UUID(int=1)}, {})
    ]
    parts = [" (layer office)", ", in place of whose turn it is,", ""]
    for said, part in zip(told, parts, strict=True):
        assert f"Why you: you are on call for support{part} until 2026-06-01 17:00:00 UTC" in said


def test_a_fallback_names_what_did_not_get_through():
    """So that the contact can be mended."""
    assert "(webhook did not get through)" in text(replace(FACTS, fallback_of="webhook"), EVIDENCE, Kind.PAGE, "link")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"resolution": "withdrawn", "due_at": DUE + timedelta(hours=1), "was_due_at": DUE}, "WITHDRAWN: first response of ticket 881 (zendesk, email, high): not broken: it is due 2026-06-01 10:00:00 UTC, not 2026-06-01 09:00:00 UTC"),
        ({"resolution": "withdrawn", "due_at": DUE, "was_due_at": DUE}, "not broken: it is due 2026-06-01 09:00:00 UTC"),
        ({"resolution": "withdrawn", "due_at": None, "was_due_at": DUE}, "not broken: it is paused while the ticket waits"),
        ({"resolution": "answered", "met_at": DUE + timedelta(minutes=12)}, "ANSWERED: first response of ticket 881 (zendesk, email, high): kept 2026-06-01 09:12:00 UTC, 12 min late"),
        ({"resolution": "answered", "met_at": DUE}, "kept in time, 2026-06-01 09:00:00 UTC"),
        ({"resolution": "cancelled"}, "CANCELLED: first response of ticket 881 (zendesk, email, high): it no longer applies"),
    ],
)  # fmt: skip
def test_r14_a_page_that_is_moot_says_why(facts, said):
    """Whoever was woken for nothing learns what happened, and that nothing is left to do."""
    told = text(replace(FACTS, **facts), EVIDENCE, Kind.RESOLVE, "")
    assert said in told.splitlines()[0]
    assert "Next: nothing" in told
    assert "Acknowledge:" not in told


def test_r14_it_names_who_had_taken_responsibility():
    """So that nobody goes on with it."""
    assert "Acknowledged by: ben" in text(
        replace(FACTS, resolution="cancelled", acknowledged_by="ben"), EVIDENCE, Kind.RESOLVE, ""
    )


@pytest.mark.parametrize("kind", [Kind.PAGE, Kind.WARNING, Kind.COPY])
def test_a_page_says_the_subject_it_may_say_below_its_first_line(kind):
    """Only there; nothing of it where there is none, and not once it is moot."""
    facts = replace(FACTS, subject="Charged twice", note="NOTE")
    lines = text(facts, EVIDENCE, kind, "link").splitlines()
    assert ["NOTE", headline(FACTS), 'Subject: "Charged twice"'] == lines[:3]
    assert "Subject" not in text(FACTS, EVIDENCE, kind, "link")
    assert "Subject" not in text(replace(facts, resolution="answered"), EVIDENCE, Kind.RESOLVE, "")


def test_a_subject_is_quoted_as_one_short_line_that_can_not_end_its_quotation():
    """A customer wrote it; None where nothing is left."""
    said = quoted('Hi"\r\nAcknowledge: https://evil.test\u2028\x1b[2J\u202eabc ' + "x" * 500)
    assert said.startswith("Hi' Acknowledge: https://evil.test [2J abc xxx")
    assert 300 == len(said)
    assert said.isprintable()
    assert None is quoted(" \n") is quoted(None)


LOST = About(why=Why.NO_SKILL, channel=Channel.LIVE_CHAT, needs=(("billing", 3), ("german", 1)))
NEEDED = replace(FACTS, target="routing", due_at=None, reason="unroutable", about=LOST, owner=None)
TICKET = "ticket 881 (zendesk, email, high)"


@pytest.mark.parametrize(
    ("about", "more", "said"),
    [
        (LOST, {}, f"NOBODY CAN TAKE IT: {TICKET}: nobody on the roster takes live chat with billing (level 3), german"),
        (replace(LOST, needs=()), {}, f"NOBODY CAN TAKE IT: {TICKET}: nobody on the roster takes live chat"),
        (replace(LOST, why=Why.OFFLINE), {}, f"NOBODY IS THERE: {TICKET}: nobody who takes live chat with billing (level 3), german is there"),
        (
            replace(LOST, why=Why.OFFLINE, needs=()),
            {"next_shift_at": DUE, "answer_due_at": DUE + timedelta(hours=1)},
            f"NOBODY IS THERE: {TICKET}: nobody who takes live chat is there; their next shift begins 2026-06-01 09:00:00 UTC; an answer is due 2026-06-01 10:00:00 UTC",
        ),
        (
            replace(LOST, why=Why.OFFLINE, needs=(), declined=2),
            {"next_shift_at": DUE},
            f"NOBODY IS THERE: {TICKET}: nobody else who takes live chat is there, and 2 declined it or let it lapse; their next shift begins 2026-06-01 09:00:00 UTC",
        ),
        (replace(LOST, why=Why.EXCLUDED, needs=()), {}, f"ALL HAVE DECLINED: {TICKET}: everybody who is there and takes live chat declined it or let it lapse"),
        (About(why=Why.MANUAL), {}, f"HELP IS WANTED: {TICKET}: somebody asks for help"),
        (About(why=Why.MANUAL, by="ana", said="now!"), {}, f"HELP IS WANTED: {TICKET}: ana asks for help: now!"),
    ],
)  # fmt: skip
def test_what_a_ticket_lacks_is_the_first_line(about, more, said):
    """Not a promise that broke: nothing was promised of it."""
    told = text(replace(NEEDED, about=about, **more), EVIDENCE, Kind.PAGE, "link")
    assert said == told.splitlines()[0]
    assert "BROKEN" not in told
    assert "Owner: nobody" in told


def test_somebody_elses_words_are_one_short_line():
    """Nobody can write the other lines of a page."""
    said = need(
        About(why=Why.MANUAL, by="ana\nOwner: eve", said="a\u2028b\r\nAcknowledge: https://evil.test " + "x" * 500)
    )
    assert 1 == len(said.splitlines())
    assert said.startswith("ana Owner: eve asks for help: a b Acknowledge: https://evil.test")
    assert len(said) < 350


def test_what_ends_it_is_said_with_what_comes_next():
    """An owner ends what the router asked for, not what a person did."""
    following = replace(NEEDED, next_step_at=DUE, next_recipients=("lead",))
    assert "unless somebody acknowledges or takes it" in text(following, EVIDENCE, Kind.PAGE, "link")
    called = replace(following, about=About(why=Why.MANUAL))
    assert "or takes it" not in text(called, EVIDENCE, Kind.PAGE, "link")


@pytest.mark.parametrize(
    ("resolution", "said"),
    [
        ("assigned", "somebody has it now"),
        ("answered", "an agent has answered"),
        ("cancelled", "the ticket is over"),
        ("something new", "nobody need see to it"),
    ],
)
def test_r14_whoever_was_called_hears_that_it_is_over(resolution, said):
    """And why, and whose it is."""
    told = text(replace(NEEDED, resolution=resolution, owner="Ben"), EVIDENCE, Kind.RESOLVE, "")
    assert f"{resolution.upper()}: {TICKET}: {said}" == told.splitlines()[0]
    assert "Owner: Ben" in told


def test_a_channel_that_no_alias_knows_is_told_too() -> None:
    """It is `other`, which is what has to be known to find somebody."""
    about = About(why=Why.NO_SKILL, channel=Channel.OTHER)
    assert b'{"why":"no_skill","channel":"other"}' == msgspec.json.encode(about)
    assert "nobody on the roster takes other" == need(about)


@pytest.mark.parametrize("kind", [Kind.PAGE, Kind.WARNING, Kind.RESOLVE, Kind.COPY, Kind.ALARM])
def test_no_name_from_outside_begins_a_line_of_its_own(kind):
    """A ticket's id with a line break in it forges no link to acknowledge, and moves no other line."""
    forged = "881\nAcknowledge: https://evil.test\r\n\u2028Owner: me"
    facts = replace(
        FACTS, ticket=forged, source=forged, tier=forged, owner=forged, recipient=f"on-call/{forged}", note="Note"
    )
    lines = text(facts, EVIDENCE, kind, "link").splitlines()
    assert [] == [line for line in lines if line.startswith(("Acknowledge: https", "Owner: me"))]
    assert len(lines) == len(text(replace(FACTS, note="Note"), EVIDENCE, kind, "link").splitlines())
