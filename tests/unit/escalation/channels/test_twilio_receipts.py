"""What Twilio says of a page, and whether it is Twilio who says it."""

import pytest

from services.escalation.channels import twilio_receipts
from services.escalation.channels.twilio_receipts import News

URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = [
    ("CallSid", "CA1234567890ABCDE"), ("Caller", "+14158675309"), ("Digits", "1234"), ("From", "+14158675309"),
    ("To", "+18005551212"),
]  # fmt: skip
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
"""Of Twilio's own example, made with the token 12345."""


def test_the_example_of_twilio_is_believed():
    """Whatever the order of its fields, and with any of the tokens of a rotation."""
    assert twilio_receipts.is_signed(SIGNATURE, URL, FORM, ["12345"])
    assert twilio_receipts.is_signed(SIGNATURE, URL, FORM[::-1], ["new", "12345"])


def test_a_field_that_is_there_more_than_once_counts_once_for_each_value():
    """As in Twilio's own libraries."""
    form = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]

    assert twilio_receipts.is_signed("IK+Dwps556ElfBT0I3Rgjkr1wJU=", URL, form, ["12345"])


@pytest.mark.parametrize(
    ("signature", "url", "form", "tokens"),
    [
        ("", URL, FORM, ["12345"]),
        ("Ünsigned", URL, FORM, ["12345"]),
        (SIGNATURE, URL, FORM, []),
        (SIGNATURE, URL, FORM, ["12346"]),
        (SIGNATURE, f"{URL}&x=1", FORM, ["12345"]),
        (SIGNATURE, URL, [*FORM, ("x", "")], ["12345"]),
        (SIGNATURE, URL, FORM[1:], ["12345"]),
    ],
)
def test_anything_else_is_not(signature, url, form, tokens):
    """Another address, field, token, or none."""
    assert not twilio_receipts.is_signed(signature, url, form, tokens)


@pytest.mark.parametrize(
    "url", ["https://mycompany.com:443/myapp.php?foo=1&bar=2", "https://mycompany.com/myapp.php?foo=1&bar=2"]
)
def test_an_address_is_the_same_with_its_port_and_without(url):
    """Twilio leaves out ports by rules of its own."""
    assert twilio_receipts.is_signed(SIGNATURE, url, FORM, ["12345"])


@pytest.mark.parametrize(
    ("form", "news"),
    [
        ({"MessageSid": "SM1", "MessageStatus": "delivered"}, News.ARRIVED),
        ({"MessageSid": "SM1", "MessageStatus": "undelivered"}, News.LOST),
        ({"MessageSid": "SM1", "MessageStatus": "failed"}, News.LOST),
        ({"MessageSid": "SM1", "MessageStatus": "sent"}, News.HAS_IT),
        ({"MessageSid": "SM1", "MessageStatus": "something new"}, News.HAS_IT),
        ({"CallSid": "CA1", "CallStatus": "ringing"}, News.RINGS),
        ({"CallSid": "CA1", "CallStatus": "in-progress"}, News.ARRIVED),
        ({"CallSid": "CA1", "CallStatus": "completed"}, News.ARRIVED),
        ({"CallSid": "CA1", "CallStatus": "busy"}, News.LOST),
        ({"CallSid": "CA1", "CallStatus": "no-answer"}, News.LOST),
        ({"CallSid": "CA1", "CallStatus": "canceled"}, News.LOST),
        ({}, News.HAS_IT),
    ],
)
def test_each_status_is_news_of_its_kind(form, news):
    """What is new to us is no failure."""
    found = twilio_receipts.read(list(form.items()))

    assert (news, form.get("MessageSid") or form.get("CallSid") or "") == (found.news, found.sid)


def test_why_a_message_was_lost_is_kept():
    """Twilio's code, in one line."""
    found = twilio_receipts.read(
        [("MessageSid", "SM1"), ("MessageStatus", "undelivered"), ("ErrorCode", "30003"), ("ErrorMessage", "a\nb")]
    )

    assert "Twilio says undelivered: 30003 a b, SM1" == found.detail
