"""The link in a page. GET shows what it is about and a button; only the button's POST acknowledges (R11).

A small page that needs no script, no account and nothing from elsewhere. Programs may ask for JSON.
"""

import base64
import hashlib
from datetime import datetime
from html import escape
from typing import Any

from litestar import get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from services.escalation.answering import Answer, Standing
from services.escalation.api import dependencies
from services.escalation.domain import notice
from services.escalation.store.answers import Answerable
from shared.contract.problems import Kind, Refused
from shared.web import answers
from shared.web.bodies import Call
from shared.web.operations import operation

_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}"
    "dt{font-weight:600}dd{margin:0 0 .6rem}"
    "button{font:inherit;font-weight:600;padding:.8rem 1.6rem;border:0;border-radius:.4rem;background:#0b5cad;color:#fff}"
    "button:focus-visible{outline:3px solid #f5a623;outline-offset:2px}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
_LONGEST = 100


@get("/v1/ack/{token:str}", opt=operation(is_open=True, gives={200: str}, gives_text="text/html"))
async def show_acknowledgement(request: Call, token: FromPath[str]) -> ASGIResponse:
    """What the page is about, with a button; looking changes nothing."""
    found = await dependencies.of(request).answering.look(token) if len(token) <= _LONGEST else None
    if found is None:
        return _unknown(request)
    if found.state in ("open", "exhausted"):
        return _html("Acknowledge this page", f"{_described(found)}{_BUTTON}")
    return _html(_closed_title(found.state), f"<p>{_closed(found)}</p>{_described(found)}")


@post("/v1/ack/{token:str}", opt=operation(is_open=True, gives={200: Answer}))
async def acknowledge_page(request: Call, token: FromPath[str]) -> ASGIResponse:
    """Take responsibility as the person the page was sent to; nobody else is paged.

    Whoever comes second learns who was first; one that is resolved stays so. Both answer 200.
    """
    answer = await dependencies.of(request).answering.by_token(token) if len(token) <= _LONGEST else None
    if answer is None:
        return _unknown(request)
    if not _wants_html(request):
        return answers.json(answer, headers=_HEADERS)
    match answer.standing:
        case Standing.NOW:
            return _html("Acknowledged", "<p role='status'>It is yours now. Nobody else is paged.</p>")
        case Standing.BEFORE:
            said = f"{_text(answer.acknowledged_by)} acknowledged it at {_instant(answer.acknowledged_at)}."
            return _html("Already acknowledged", f"<p role='status'>{said}</p>")
        case Standing.RESOLVED:
            return _html("Already resolved", "<p role='status'>There is nothing left to do.</p>")


_BUTTON = "<form method='post'><button type='submit'>Acknowledge: I take care of it</button></form>"


def _wants_html(request: Call) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _unknown(request: Call) -> ASGIResponse:
    if not _wants_html(request):
        raise Refused(Kind.NOT_FOUND, "no page was sent with this link: take it from the page as it stands there")
    return _html(
        "This link is not known", "<p>No page was sent with it. Take it from the page as it stands there.</p>", 404
    )


def _described(found: Answerable) -> str:
    facts: list[tuple[str, Any]] = [
        ("Ticket", f"{found.external_id} ({found.source}, {found.channel}, {found.urgency})"),
        *_problem(found),
        ("Sent to", found.person_name),
    ]
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in facts) + "</dl>"


def _problem(found: Answerable) -> list[tuple[str, Any]]:
    if found.about is not None:
        return [("Why", notice.need(found.about))]
    return [("Promise", found.target.replace("_", " ")), ("Due", _instant(found.due_at))]


def _closed_title(state: str) -> str:
    return "Already resolved" if state == "resolved" else "Already acknowledged"


def _closed(found: Answerable) -> str:
    if found.state == "resolved":
        return f"It was resolved at {_instant(found.resolved_at)}. There is nothing left to do."
    return f"{_text(found.acknowledged_by)} acknowledged it at {_instant(found.acknowledged_at)}."


def _html(title: str, body: str, status: int = 200) -> ASGIResponse:
    page = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width,initial-scale=1'><style>{_STYLE}</style></head>"
        f"<body><main><h1>{title}</h1>{body}</main></body></html>"
    )
    return answers.text(page, "text/html", _HEADERS, status)


def _instant(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "unknown"


def _text(value: object) -> str:
    return escape(str(value) if value is not None else "somebody")
