"""PagerDuty and Jira Service Management: severities, priorities, keys, lengths."""

from uuid import UUID

import pytest
from msgspec import json, structs

from services.escalation.channels import jsm, pagerduty
from services.escalation.channels.answers import Answer
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Result
from tests.providers.credentials import JSM_KEY, PAGERDUTY_KEY
from tests.unit.escalation.channels.conftest import FACTS, LINK, page_by


@pytest.mark.parametrize(
    ("kind", "urgency", "severity", "priority"),
    [
        (Kind.PAGE, "urgent", "critical", "P1"), (Kind.PAGE, "high", "error", "P2"), (Kind.PAGE, "normal", "error", "P3"),
        (Kind.PAGE, "low", "warning", "P4"), (Kind.WARNING, "urgent", "warning", "P4"), (Kind.SUMMARY, "urgent", "critical", "P1"),
        (Kind.DIGEST, "urgent", "warning", "P3"), (Kind.COPY, "urgent", "info", "P5"), (Kind.ALARM, "low", "critical", "P1"),
        (Kind.CANARY, "high", "error", "P2"),
    ],
)  # fmt: skip
def test_how_loud_a_page_is_follows_its_kind_and_urgency(providers, kind, urgency, severity, priority):
    """A canary is as loud as the page that it stands for: else it would prove little."""
    page = page_by("pagerduty", providers, kind=kind, urgency=urgency)
    assert severity == pagerduty.trigger(page, "key")["payload"]["severity"]
    assert priority == jsm.alert(page)["priority"]


def test_r36_the_key_is_the_pages_id(providers):
    """Within what both take."""
    page = page_by("pagerduty", providers)
    assert str(UUID(int=1)) == pagerduty.trigger(page, "key")["dedup_key"] == jsm.alert(page)["alias"]
    assert len(str(page.id)) <= 255


def test_the_link_is_where_both_show_links(providers):
    """As a link of the event, and in the alert's details; nowhere where there is nothing to acknowledge."""
    page = page_by("pagerduty", providers)
    assert [{"href": LINK, "text": "Acknowledge"}] == pagerduty.trigger(page, "key")["links"]
    assert LINK == jsm.alert(page)["details"]["acknowledge"]
    without = page_by("pagerduty", providers, link="", text="COPY")
    assert not {"links", "client_url"} & pagerduty.trigger(without, "key").keys()
    assert "acknowledge" not in jsm.alert(without)["details"]


async def test_what_pagerduty_says_is_wrong_is_told(channels, providers, monkeypatch):
    """So that an operator can mend it; the key itself is not shown."""
    monkeypatch.setenv("DESKCLOCK_SECRET_PAGERDUTY", "short")
    outcome = await channels["pagerduty"].send(page_by("pagerduty", providers))
    assert (Result.REJECTED, "HTTP 400: Length of 'routing_key' is incorrect (should be 32 characters)") == (
        outcome.result, outcome.detail,
    )  # fmt: skip


async def test_what_jsm_says_is_wrong_is_told(channels, providers, monkeypatch):
    """A wrong API key."""
    monkeypatch.setenv("DESKCLOCK_SECRET_JSM", "other")
    outcome = await channels["jsm"].send(page_by("jsm", providers))
    assert (Result.REJECTED, "HTTP 401: Could not authenticate") == (outcome.result, outcome.detail)


async def test_jsm_says_what_it_calls_a_request(channels, providers):
    """It is done later: by this id anybody can ask how it went."""
    outcome = await channels["jsm"].send(page_by("jsm", providers))
    assert UUID(outcome.provider_id)


@pytest.mark.parametrize("errors", [[], ["a", 1], "a", None, {"a": 1}])
def test_errors_of_any_form_are_read(errors):
    """What a provider says of an error never is one of ours."""
    answer = Answer(status=400, headers={}, body=json.encode({"message": "wrong", "errors": errors}))
    assert "HTTP 400: " in pagerduty.outcome(answer, PAGERDUTY_KEY).detail
    assert "HTTP 400: wrong" == jsm.outcome(answer, JSM_KEY).detail


@pytest.mark.parametrize(
    ("line", "label"),
    [(f"Acknowledge: {LINK}", "Acknowledge"), (f"Acknowledge all 5: {LINK}", "Acknowledge all 5"), (LINK, "Acknowledge"), (f"{'x' * 99}: {LINK}", f"{'x' * 39}\N{HORIZONTAL ELLIPSIS}")],
)  # fmt: skip
def test_the_link_is_called_what_the_pages_text_calls_it(providers, line, label):
    """Of a page about several, all of them; of a trial, that it arrived."""
    page = page_by("pagerduty", providers, text=f"BROKEN\n{line}")
    assert label == pagerduty.trigger(page, "key")["links"][0]["text"]


def test_the_title_says_what_broke_although_a_note_comes_before_it(providers):
    """A note is the first line of the text, and the second of what a provider shows below the title."""
    facts = structs.replace(FACTS, note="Again:  nobody answered")
    page = page_by("pagerduty", providers, facts=facts, text="Again: nobody answered\nBROKEN: it\nNext: ben")
    payload = pagerduty.trigger(page, "key")["payload"]
    assert ("BROKEN: it", "Again: nobody answered\nNext: ben") == (
        payload["summary"],
        payload["custom_details"]["text"],
    )
