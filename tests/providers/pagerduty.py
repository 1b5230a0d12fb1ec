"""PagerDuty's Events API v2: one address, the routing key in the body, alerts merged by `dedup_key` while they are open."""

from tests.providers.credentials import PAGERDUTY_KEY
from tests.providers.ledger import Ledger
from tests.providers.wire import Effect, Reply, Request, is_web_address, said

_LARGEST = 512 * 1024
_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "error", "warning", "info")
_MEMBERS = frozenset({"routing_key", "event_action", "dedup_key", "payload", "images", "links", "client", "client_url"})
_PAYLOAD = frozenset({"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"})


def answer(request: Request, ledger: Ledger) -> Reply:
    """202 and the key, or 400 and what is wrong."""
    if (request.method, request.path) != ("POST", "/v2/enqueue"):
        return said(404, {}, problem="no such address")
    if len(request.body) > _LARGEST:
        return said(413, {}, problem="larger than 512 KB")
    event = request.json()
    if event is None:
        return _invalid("Event object is not JSON")
    problems = _problems(event)
    if problems:
        return _invalid(*problems)
    key = str(event.get("dedup_key") or f"made-{ledger.count('pagerduty')}")
    return said(
        202,
        {"status": "success", "message": "Event processed", "dedup_key": key},
        Effect(
            key=key, verb=_verb(str(event["event_action"]), ledger.is_open("pagerduty", key)), account=PAGERDUTY_KEY
        ),
    )


def _verb(action: str, is_open: bool) -> str:
    if action == "trigger":
        return "joined" if is_open else "opened"
    if not is_open:
        return "ignored"
    return "resolved" if action == "resolve" else "updated"


def _problems(event: dict[str, object]) -> list[str]:
    problems = [f"unknown member {name}" for name in event.keys() - _MEMBERS]
    key = event.get("routing_key")
    if not isinstance(key, str) or len(key) != 32:
        problems.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    elif key != PAGERDUTY_KEY:
        problems.append("Invalid routing key")
    action, dedup = event.get("event_action"), event.get("dedup_key")
    if action not in _ACTIONS:
        problems.append("'event_action' is missing or wrong")
    if dedup is not None and (not isinstance(dedup, str) or not 0 < len(dedup) <= 255):
        problems.append("Length of 'dedup_key' is incorrect (should be less than 256 characters)")
    if action in ("acknowledge", "resolve") and not dedup:
        problems.append("'dedup_key' is missing or blank")
    if action == "trigger":
        problems += _payload_problems(event.get("payload"))
    for link in _list(event.get("links", [])):
        if not isinstance(link, dict) or not is_web_address(link.get("href")):
            problems.append("'href' of a link is missing or no address")
    return problems


def _payload_problems(payload: object) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    problems = [f"unknown member payload.{name}" for name in payload.keys() - _PAYLOAD]
    problems += [
        f"'payload.{name}' is missing or blank"
        for name in ("summary", "source", "severity")
        if not isinstance(payload.get(name), str) or not payload[name]
    ]
    if payload.get("severity") not in _SEVERITIES:
        problems.append("'payload.severity' is invalid (must be one of critical, error, warning, info)")
    if len(str(payload.get("summary", ""))) > 1024:
        problems.append("'payload.summary' is longer than 1024 characters")
    return problems


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [None]


def _invalid(*problems: str) -> Reply:
    body = {"status": "invalid event", "message": "Event object is invalid", "errors": problems}
    return said(400, body, problem="; ".join(problems))
