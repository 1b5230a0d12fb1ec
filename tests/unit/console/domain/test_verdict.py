"""Our verdict beside the city's: agreement is counted only where both have judged."""

from datetime import UTC, datetime, timedelta

import pytest

from services.console.domain.report import by_type
from services.console.domain.requests import CityVerdict, Request
from services.console.domain.verdict import Comparison, Resolution, compare, compare_all

OPENED = datetime(2015, 5, 18, 13, tzinfo=UTC)
DUE = OPENED + timedelta(days=2)
UNTIL = OPENED + timedelta(days=30)


def request(**fields: object) -> Request:
    known: dict[str, object] = {
        "number": "1",
        "opened_at": OPENED,
        "promised_at": DUE,
        "closed_at": OPENED + timedelta(days=1),
        "verdict": CityVerdict.ONTIME,
        "subject": "Public Works Department",
        "reason": "Street Lights",
        "type": "Street Light Outages",
        "neighborhood": "Back Bay",
        "channel": "Constituent Call",
    }
    return Request(**(known | fields))


def ours(**fields: object) -> Resolution:
    known: dict[str, object] = {
        "external_id": "1",
        "line": "two days",
        "state": "met",
        "due_at": DUE,
        "met_at": OPENED + timedelta(days=1),
        "breached_at": None,
    }
    return Resolution(**(known | fields))


BROKEN = ours(state="breached", met_at=None, breached_at=DUE)
OVERDUE = request(verdict=CityVerdict.OVERDUE)


@pytest.mark.parametrize(
    ("expected", "theirs", "mine"),
    [
        (Comparison.AGREE_ON_TIME, request(), ours()),
        (Comparison.AGREE_OVERDUE, OVERDUE, BROKEN),
        (Comparison.AGREE_OVERDUE, OVERDUE, ours(state="breached", breached_at=DUE)),
        (Comparison.CITY_NO_PROMISE, request(promised_at=None), ours()),
        (Comparison.WE_NO_PROMISE, request(), ours(state=None, due_at=None, met_at=None)),
        (Comparison.CITY_SILENT, request(verdict=None, closed_at=None), BROKEN),
        (Comparison.NOT_REPLAYED, request(closed_at=UNTIL + timedelta(days=1)), ours(state="running", met_at=None)),
        (Comparison.NOT_JUDGED, request(), ours(state="cancelled", met_at=None)),
        (Comparison.SAME_DUE, OVERDUE, ours()),
        (Comparison.DUE_DIFFERS, OVERDUE, ours(due_at=DUE + timedelta(days=3))),
        (Comparison.MISSING, request(), None),
    ],
)
def test_each_way_to_compare_has_its_name(expected: Comparison, theirs: Request, mine: Resolution | None) -> None:
    """Agreement, disagreement, or the reason why there is nothing to compare."""
    assert expected == compare(theirs, mine, UNTIL)


def test_agreements_are_counted_over_what_both_have_judged() -> None:
    """What only one of them judged is listed, and left out of the share."""
    requests = [request(), request(number="2", verdict=None), request(number="3", verdict=CityVerdict.OVERDUE)]
    verdicts = compare_all(requests, {"1": ours(), "2": BROKEN, "3": ours(due_at=DUE + timedelta(seconds=59))}, UNTIL)
    assert (1, 2) == (verdicts.agreements, verdicts.compared)
    assert (3, 3) == (verdicts.same_promise, verdicts.both_promised)
    assert {Comparison.AGREE_ON_TIME: 1, Comparison.CITY_SILENT: 1, Comparison.SAME_DUE: 1} == verdicts.counts


def test_a_type_compares_both_attainments_over_the_same_requests() -> None:
    """A request that is late and open still counts as broken by us, and stays out of the comparison."""
    requests = [request(), request(number="2", verdict=None, closed_at=None)]
    (line,) = by_type(requests, {"1": ours(), "2": BROKEN})
    assert (2, 1, 1, 1, 1.0, 1.0) == (line.requests, line.kept, line.broken, line.both, line.ours, line.city)
