"""How a roster says in which ways people are reached."""

import pytest

from shared.policy import methods
from shared.policy.document import Contact
from shared.policy.errors import PolicyErrors
from shared.policy.parse import parse_roster
from shared.policy.roster_layout import roster_schema

SID = "MG" + "0" * 32
ACCOUNTS = """
accounts:
  twilio: {from: "+4930123456", secret: "env:DESKCLOCK_SECRET_TWILIO"}
  mail: {from: desk@example.org, server: "smtp.example.org:587"}
people:
  bo: {contacts: %s}
"""


def contacts_of(text: str) -> tuple[Contact, ...]:
    """Those of somebody with these contacts, and two accounts to take from."""
    return parse_roster(ACCOUNTS % text).people["bo"].contacts


def test_contacts_take_what_their_account_has() -> None:
    """Number and secret stand in one place; what comes out names no account."""
    assert (
        Contact(
            method="sms",
            address="+4915112345678",
            secret="env:DESKCLOCK_SECRET_TWILIO",
            options={"from": "+4930123456"},
        ),
        Contact(
            method="email",
            address="bo@example.org",
            options={"from": "desk@example.org", "server": "smtp.example.org:587"},
        ),
    ) == contacts_of('[{sms: "+4915112345678", account: twilio}, {email: bo@example.org, account: mail}]')


def test_what_a_contact_says_itself_comes_first() -> None:
    """Its own sender and secret, not those of the account."""
    [contact] = contacts_of('[{sms: "+4915112345678", account: twilio, from: DESK, secret: "file:other"}]')

    assert ({"from": "DESK"}, "file:other") == (contact.options, contact.secret)


def test_an_account_lends_only_what_the_method_takes() -> None:
    """Of an account with more, the rest is left out: a call needs no mail server."""
    person = """
accounts: {all: {from: "+4930123456", server: mx.example.org, secret: "env:DESKCLOCK_SECRET_A"}}
people: {bo: {contacts: [{voice: "+4915112345678", account: all}] }}
"""

    assert (
        Contact(
            method="voice", address="+4915112345678", secret="env:DESKCLOCK_SECRET_A", options={"from": "+4930123456"}
        ),
    ) == parse_roster(person).people["bo"].contacts


@pytest.mark.parametrize(
    "contact",
    [
        "console",
        '{webhook: "https://hooks.example.org/x", secret: "env:DESKCLOCK_SECRET_A"}',
        '{pagerduty: desk, secret: "file:pd"}',
        '{jsm: desk, secret: "file:jsm"}',
        '{slack: C024BE91L, secret: "file:slack"}',
        "{ntfy: desk-alerts}",
        '{ntfy: "https://ntfy.example.org/desk", secret: "file:ntfy"}',
        f'{{sms: "+4915112345678", from: {SID}, secret: "file:t"}}',
        '{sms: "+4915112345678", from: "12345", secret: "file:t"}',
        '{voice: "+4915112345678", from: "+4930123456", secret: "file:t"}',
        "{email: a.b+c@mx.example.org, from: desk@localhost, server: '[2001:db8::1]:25', tls: none}",
        '{apprise: the team room, secret: "file:apprise"}',
    ],
)
def test_every_method_has_a_form_that_is_taken(contact: str) -> None:
    """One contact each, as documented."""
    [found] = contacts_of(f"[{contact}]")

    assert found.method in methods.METHODS


@pytest.mark.parametrize(
    ("contact", "pointer", "said"),
    [
        ("webhok", "", "did you mean `webhook`?"),
        ("{emial: a@example.org}", "/emial", "did you mean `email`?"),
        ("{fax: 1}", "/fax", "ways to page are `apprise`, `console`"),
        ("{console: here}", "/console", "takes no address"),
        ("ntfy", "", "`ntfy` has no address"),
        ('{webhook: "https://ana:pw@x.example", secret: "file:x"}', "/webhook", "no web address"),
        ('{webhook: "https://x.example"}', "", "needs a secret: its signing key"),
        ('{sms: "015112345678", account: twilio}', "/sms", "`+4915112345678`"),
        ('{sms: "+4915112345678", secret: "file:t"}', "", "no `from`"),
        ('{sms: "+4915112345678", account: twilio, from: "a name too long"}', "/from", "no sender"),
        ('{sms: "+4915112345678", account: twilio, form: DESK}', "/form", "did you mean `from`?"),
        ('{voice: "+4915112345678", account: twilio, from: DESK}', "/from", "no phone number"),
        ('{sms: "+4915112345678", account: twillo}', "/account", "did you mean `twilio`?"),
        ('{email: "Bo <bo@example.org>", account: mail}', "/email", "no e-mail address"),
        ('{email: "bo@example.org\\nBcc: x@example.org", account: mail}', "/email", "no e-mail address"),
        ('{email: bo@example.org, account: mail, server: "mx:99999"}', "/server", "no mail server"),
        ("{email: bo@example.org, account: mail, tls: maybe}", "/tls", "starttls"),
        ("{email: bo@example.org, account: twilio, server: mx.example.org}", "/account", "no e-mail address"),
        ('{slack: "#general", secret: "file:s"}', "/slack", "names can change"),
        ('{ntfy: "a topic"}', "/ntfy", "no ntfy topic"),
        ('{ntfy: desk, secret: "env:DATABASE_URL"}', "/secret", "env:DESKCLOCK_SECRET_<name>"),
        ('{ntfy: desk, secret: "env:DESKCLOCK_DATABASE_URL"}', "/secret", "env:DESKCLOCK_SECRET_<name>"),
        ('{sms: "+4915112345678", voice: "+4915112345678"}', "", "one method"),
        ('{secret: "file:x"}', "", "one method"),
    ],
)
def test_r23_what_would_never_arrive_is_refused_with_its_place(contact: str, pointer: str, said: str) -> None:
    """No usable way to reach somebody is found when the roster is read, not in the night."""
    with pytest.raises(PolicyErrors) as refused:
        contacts_of(f"[{contact}]")

    [fault] = refused.value.errors
    assert f"/people/bo/contacts/0{pointer}" == fault.pointer
    assert said in f"{fault.problem}; {fault.remedy}"


@pytest.mark.parametrize(
    ("account", "pointer", "said"),
    [
        ("{form: DESK}", "/accounts/a/form", "did you mean `from`?"),
        ("{secret: hunter2}", "/accounts/a/secret", "env:DESKCLOCK_SECRET_<name>"),
    ],
)
def test_accounts_are_checked_though_nobody_uses_them(account: str, pointer: str, said: str) -> None:
    """A secret in the file is refused wherever it stands."""
    with pytest.raises(PolicyErrors) as refused:
        parse_roster(f"accounts: {{a: {account}}}\npeople: {{bo: {{}}}}")

    [fault] = refused.value.errors
    assert pointer == fault.pointer
    assert said in f"{fault.problem}; {fault.remedy}"
    assert "hunter2" not in str(refused.value)


def test_r24_quiet_hours_are_kept_in_one_form() -> None:
    """Whatever spaces and dashes they were written with."""
    person = parse_roster("people: {bo: {timezone: Europe/Berlin, quiet_hours: '22:00 \u2013 7:30'}}").people["bo"]

    assert ("Europe/Berlin", "22:00-07:30") == (person.timezone, person.quiet_hours)


@pytest.mark.parametrize(
    ("person", "pointer", "said"),
    [
        ("quiet_hours: 22:00-07:00", "/quiet_hours", "add `timezone:`"),
        ("timezone: Europe/Berlin", "/timezone", "add `quiet_hours:`"),
        ("timezone: Europe/Berln, quiet_hours: 22:00-07:00", "/timezone", "did you mean `Europe/Berlin`?"),
        ("timezone: UTC, quiet_hours: 22:00", "/quiet_hours", "22:00-07:00"),
        ("timezone: UTC, quiet_hours: 22:00-22:00", "/quiet_hours", "22:00-07:00"),
        ("timezone: UTC, quiet_hours: 22:00-24:30", "/quiet_hours", "22:00-07:00"),
    ],
)
def test_r24_quiet_hours_have_a_zone_and_two_ends(person: str, pointer: str, said: str) -> None:
    """Both or none, and each readable."""
    with pytest.raises(PolicyErrors) as refused:
        parse_roster(f"people: {{bo: {{{person}}}}}")

    [fault] = refused.value.errors
    assert f"/people/bo{pointer}" == fault.pointer
    assert said in f"{fault.problem}; {fault.remedy}"


def test_the_schema_names_every_method_and_the_accounts() -> None:
    """An editor can say what may stand there."""
    described = roster_schema()["$defs"]
    said = described["PersonLine"]["properties"]["contacts"]["description"]

    assert [] == [name for name in methods.METHODS if name not in said]
    assert "DESKCLOCK_SECRET_TWILIO" in described["RosterFile"]["properties"]["accounts"]["description"]
