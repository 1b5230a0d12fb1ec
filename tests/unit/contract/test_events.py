"""Ticket events on the wire: what is read, and what is refused with which words."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contract import events
from shared.contract.events import Opened, Rejected, Replied
from shared.contract.tickets import Author, Urgency

OPENED = {
    "specversion": "1.0",
    "id": "zd-881-1",
    "source": "zendesk",
    "type": "ticket.opened",
    "subject": "881",
    "time": "2026-06-05T10:00:00+02:00",
    "data": {
        "source": "zendesk",
        "external_id": "881",
        "channel": "chat",
        "subject": "Charged twice",
        "text": "...",
        "language": "en",
        "requester": {"key": "c-17", "tier": "gold"},
        "attributes": {"product": "pay"},
        "opened_at": "2026-06-05T10:00:00+02:00",
    },
}
"""The golden sample of the interface; it has to stay readable for ever."""


def read(**changes: Any) -> events.TicketEvent:
    """The golden sample with some attributes changed; None takes one out."""
    envelope = {name: value for name, value in {**OPENED, **changes}.items() if value is not None}
    return events.decode("acme", json.dumps(envelope).encode())


def refused(**changes: Any) -> Rejected:
    """Why the changed sample is refused."""
    with pytest.raises(Rejected) as caught:
        read(**changes)
    return caught.value


def test_the_golden_sample_is_read() -> None:
    """Identity, time in UTC, and the data as a struct."""
    event = read()
    assert ("acme", "zd-881-1", "zendesk", "881", "opened") == (
        event.tenant,
        event.id,
        event.source,
        event.ticket,
        event.kind,
    )
    assert datetime(2026, 6, 5, 8, tzinfo=UTC) == event.occurred_at
    assert isinstance(event.data, Opened)
    assert "gold" == event.data.requester.tier


def test_data_survives_the_event_log() -> None:
    """What is stored reads back as the same struct."""
    data = Opened(channel="chat", urgency=Urgency.HIGH, attributes={"n": [1, {"deep": None}]})
    assert data == events.decode_data(events.encode_data(data))


def test_unknown_fields_are_ignored() -> None:
    """A helpdesk may send more than we know."""
    assert "881" == read(extension="x", data={**OPENED["data"], "mood": "angry"}).ticket


def test_binary_mode_takes_its_attributes_from_headers() -> None:
    """`ce-` headers, in any case, and the data as the body."""
    headers = {
        "ce-id": "1",
        "CE-Source": "zendesk",
        "ce-type": "ticket.replied",
        "ce-subject": "881",
        "ce-time": "2026-06-05T10:00:00Z",
    }
    event = events.decode_binary("acme", headers, b'{"by": "agent"}')
    assert Replied(by=Author.AGENT) == event.data


def test_binary_mode_without_its_headers_is_refused() -> None:
    """The words say which headers are missing."""
    with pytest.raises(Rejected, match="ce-id, ce-source and ce-type"):
        events.decode_binary("acme", {"ce-type": "ticket.replied"}, b"{}")


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"type": "ticket.exploded"}, "unknown_type", "known are ticket.opened"),
        ({"type": "opened"}, "unknown_type", "unknown type"),
        ({"id": ""}, "invalid", "length >= 1"),
        ({"subject": None, "data": {"channel": "chat"}}, "invalid", "no ticket named"),
        ({"time": None, "data": {"channel": "chat"}}, "invalid", "no time"),
        ({"time": "2026-06-05T10:00:00", "data": {"channel": "chat"}}, "invalid", "timezone"),
        ({"time": "0001-01-01T00:00:00Z", "data": {"channel": "chat"}}, "invalid", "no time at which"),
        ({"time": "0001-01-01T00:00:00+14:00", "data": {"channel": "chat"}}, "invalid", "beyond the years"),
        ({"data": {}}, "invalid", "channel"),
        ({"data": {"channel": "chat", "subject": "a\u0000b"}}, "invalid", "NUL"),
        ({"data": {"channel": "chat", "urgency": "very"}}, "invalid", "urgency"),
        ({"data": []}, "invalid", "object"),
    ],
)
def test_what_can_not_be_used_is_refused_with_its_reason(changes: dict[str, Any], reason: str, words: str) -> None:
    """Each refusal has a reason for the metric and words for a person."""
    refusal = refused(**changes)
    assert reason == refusal.reason
    assert words in str(refusal)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"id":' * 5_000, b'{"data":' + b"[" * 5_000]
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Half a message, wrong bytes, or thousands of levels: never a fault of ours."""
    with pytest.raises(Rejected) as caught:
        events.decode("acme", body)
    assert caught.value.reason in {"unparseable", "invalid"}


@pytest.mark.parametrize("due_at", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "2100-01-01T00:00:00Z"])
def test_rule_58_a_deadline_beyond_the_years_of_calendars_is_refused(due_at: str) -> None:
    """An empty or absurd date is no deadline; the refusal says what is allowed."""
    with pytest.raises(Rejected, match="is outside the years 1970 to 2099; null takes a deadline back"):
        read(type="ticket.deadline_set", data={"target": "resolution", "due_at": due_at})


@pytest.mark.parametrize("time", ["2026-06-05T10:00:00", "yesterday"])
def test_a_time_that_cannot_be_read_is_refused_with_the_way_to_write_it(time: str) -> None:
    """In the envelope as in the data."""
    said = "write times with an offset, as in 2026-06-05T10:00:00"
    with pytest.raises(Rejected, match=said):
        read(time=time)
    with pytest.raises(Rejected, match=said):
        read(data={"channel": "chat", "subject": "x", "opened_at": time})
