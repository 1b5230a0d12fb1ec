"""Jira Service Management's integration events: alerts by alias, taken now and done later, known by a request id."""

import re
from urllib.parse import unquote
from uuid import NAMESPACE_OID, uuid5

from tests.providers.credentials import JSM_KEY
from tests.providers.ledger import Ledger
from tests.providers.wire import Effect, Reply, Request, said

_CLOSE = re.compile(r"/jsm/ops/integration/v2/alerts/([^/]+)/close")
_LONGEST = {
    "message": 130,
    "alias": 512,
    "description": 15_000,
    "entity": 512,
    "source": 100,
    "user": 100,
    "note": 25_000,
}
_MEMBERS = frozenset({*_LONGEST, "responders", "visibleTo", "actions", "tags", "details", "priority"})


def answer(request: Request, ledger: Ledger) -> Reply:
    """202 and a request id, 401 without the key, 422 and what is wrong."""
    if request.authorization("GenieKey") != JSM_KEY:
        return said(401, {"message": "Could not authenticate", "took": 0.0}, problem="wrong API key")
    body = request.json()
    if request.method != "POST" or body is None:
        return said(400, {"message": "Body is not JSON"}, problem="no JSON was posted")
    problems = [f"{name} is too long" for name, most in _LONGEST.items() if len(str(body.get(name, ""))) > most]
    request_id = str(uuid5(NAMESPACE_OID, f"jsm {ledger.count('jsm')}"))
    taken = {"result": "Request will be processed", "took": 0.1, "requestId": request_id}
    if request.path == "/jsm/ops/integration/v2/alerts":
        problems += _alert_problems(body)
        alias = str(body.get("alias") or body.get("message"))
        verb = "joined" if ledger.is_open("jsm", alias) else "opened"
    elif (found := _CLOSE.fullmatch(request.path)) is not None:
        if request.parameters().get("identifierType") != ["alias"]:
            problems.append("identifierType is not alias: there is no alert of this id")
        alias = unquote(found.group(1))
        verb = "resolved" if ledger.is_open("jsm", alias) else "ignored"
    else:
        return said(404, {"message": "No such resource"}, problem="no such address")
    if problems:
        return said(
            422, {"message": "Request body is not processable", "errors": problems}, problem="; ".join(problems)
        )
    return said(202, taken, Effect(key=alias, verb=verb, account=JSM_KEY))


def _alert_problems(body: dict[str, object]) -> list[str]:
    problems = [f"unknown member {name}" for name in body.keys() - _MEMBERS]
    if not isinstance(body.get("message"), str) or not body["message"]:
        problems.append("message can not be empty")
    if body.get("priority", "P3") not in ("P1", "P2", "P3", "P4", "P5"):
        problems.append("priority should be one of P1, P2, P3, P4, P5")
    tags, details = body.get("tags", []), body.get("details", {})
    if not isinstance(tags, list) or len(tags) > 20 or any(not isinstance(tag, str) or len(tag) > 50 for tag in tags):
        problems.append("tags are at most 20 texts of 50 characters")
    if not isinstance(details, dict) or any(not isinstance(value, str) for value in details.values()):
        problems.append("details are texts by their names")
    return problems
