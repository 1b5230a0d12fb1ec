"""Several things at one instant: what each of them is about."""

from shared.contract.tickets import Status, TargetKind
from tests.unit.sla.building import NEXT, RESOLUTION, agent, at, customer, h, one, opened, pinned, place, policy, status
from tests.unit.sla.building import target as line

TARGETS = policy(line({NEXT: h(1), RESOLUTION: h(8)}))


def test_rule_58_a_deadline_set_as_a_ticket_is_reopened_is_that_of_the_promise_that_begins() -> None:
    """Helpdesks send both with the time of one click."""
    log = [opened("09:00"), status("10:00", Status.SOLVED), status("11:00", Status.OPEN), pinned("11:00", "2 12:00")]
    for events in (log, log[::-1]):
        assert at("2 12:00") == one(place(events, TARGETS, "3 09:00"), RESOLUTION, 2).due_at


def test_rule_58_a_deadline_set_as_the_customer_writes_is_that_of_the_answer_to_it() -> None:
    """And one that is set as the answer goes out changes nothing."""
    log = [opened("09:00"), agent("09:30"), customer("10:00"), pinned("10:00", "12:00", TargetKind.NEXT_RESPONSE)]
    assert at("12:00") == one(place(log, TARGETS, "13:00"), NEXT).due_at
    log += [agent("10:30"), pinned("10:30", "15:00", TargetKind.NEXT_RESPONSE)]
    assert at("12:00") == one(place(log, TARGETS, "13:00"), NEXT).due_at
