"""A ticket's subject comes from a customer: however a channel writes it, it steers nothing."""

from uuid import UUID
from xml.etree import ElementTree as ET

from msgspec import json, structs

from services.escalation.channels import slack, smtp, teams, twilio, webhook
from services.escalation.domain import notice
from services.escalation.domain.ladder import Kind
from services.escalation.domain.recipient import Evidence
from tests.unit.escalation.channels.conftest import FACTS, LINK, page_by

WORDS = "<script>alert(1)</script> <!channel> [here](https://evil.test) </Say><Dial>+49900</Dial>"
SAID = f'Subject: "{WORDS}"'


def _page(method, providers):
    facts = structs.replace(FACTS, subject=notice.quoted(WORDS))
    text = notice.text(facts, Evidence(policy_version=1, generation=1), Kind.PAGE, LINK)
    return page_by(method, providers, facts=facts, text=text)


def test_in_slack_a_subject_mentions_nobody(providers):
    """It stands in plain text alone, and in no markup."""
    blocks = slack.message(_page("slack", providers))["blocks"]
    found = [block["text"] for block in blocks if "<!channel>" in str(block)]
    assert ["plain_text"] == [text["type"] for text in found]
    assert SAID in found[0]["text"]
    assert "&lt;!channel&gt;" in slack.escaped(SAID)


def test_in_teams_a_subject_is_no_markup(providers):
    """Only runs of text, which Teams shows as they are."""
    body = teams.card(_page("teams", providers))["attachments"][0]["content"]["body"]
    assert ["RichTextBlock"] == [block["type"] for block in body if WORDS in str(block)]


def test_a_mail_with_a_subject_is_plain_text_and_its_own_subject_is_the_headline(providers):
    """There is no HTML for it to be in."""
    page = _page("smtp", providers)
    mail = smtp.message(structs.replace(page, address="ana@example.org", options={"from": "desk@example.org"}))
    assert ["text/plain"] == [part.get_content_type() for part in mail.walk()]
    assert SAID in mail.get_content()
    assert "script" not in mail["Subject"]


def test_a_call_stays_well_formed(providers):
    """It says the first line alone, and that escaped."""
    for page in (_page("twilio", providers), page_by("twilio", providers, text=SAID)):
        root = ET.fromstring(twilio.spoken(page))  # noqa: S314 - our own
        assert ["Pause", "Say", "Pause", "Say"] == [child.tag for child in root]
        assert [] == list(root[1])


def test_a_webhook_has_the_subject_as_a_field(providers):
    """Beside the text."""
    data = json.decode(webhook.payload(_page("webhook", providers)))["data"]
    assert (WORDS, True) == (data["subject"], SAID in data["text"])
    bare = json.decode(webhook.payload(page_by("webhook", providers, id=UUID(int=2))))
    assert "subject" not in bare["data"]
