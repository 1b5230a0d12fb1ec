"""ntfy: JSON posted to the server's root, bound for a topic; nothing is merged."""

import re

from tests.providers.credentials import NTFY_TOKEN
from tests.providers.ledger import Ledger
from tests.providers.wire import Effect, Reply, Request, is_web_address, page_id, said

_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}")
_LARGEST = 16_384
_LONGEST_MESSAGE = 4096
_MEMBERS = frozenset(
    {
        "topic", "message", "title", "tags", "priority", "actions", "click", "attach", "markdown", "icon", "filename",
        "delay", "email", "call", "sequence_id",
    }
)  # fmt: skip


def answer(request: Request, ledger: Ledger) -> Reply:
    """200 and the message as it is kept, or an error with a code of ntfy's own."""
    if request.authorization("Bearer") not in ("", NTFY_TOKEN):
        return _error(401, 40101, "unauthorized")
    if request.method not in ("POST", "PUT") or request.path != "/":
        return _error(404, 40401, "page not found")
    try:
        body = request.json()
    except ValueError:
        body = None
    if body is None or len(request.body) > _LARGEST:
        return _error(400, 40024, "invalid request: body must be JSON, at most 16 KB")
    problem = _problem(body)
    if problem:
        return _error(400, 40007, f"invalid request: {problem}")
    topic = str(body["topic"])
    if topic.startswith("locked") and not request.authorization("Bearer"):
        return _error(403, 40301, "forbidden")
    kept = {"id": f"m{ledger.count('ntfy'):011}", "time": 1780000000, "event": "message", "topic": topic}
    return said(
        200,
        {**kept, "message": body.get("message", "triggered")},
        Effect(key=page_id(str(body)), verb="opened", account=topic),
    )


def _problem(body: dict[str, object]) -> str:
    priority, actions = body.get("priority", 3), body.get("actions", [])
    checks = (
        (not body.keys() - _MEMBERS, "unknown members"),
        (_TOPIC.fullmatch(str(body.get("topic", ""))) is not None, "topic is wrong"),
        (len(str(body.get("message", "")).encode()) <= _LONGEST_MESSAGE, "the message becomes an attachment"),
        (isinstance(priority, int) and 1 <= priority <= 5, "priority is wrong"),
        ("click" not in body or is_web_address(body["click"]), "click is no address"),
        (isinstance(actions, list) and len(actions) <= 3, "actions are wrong, or too many"),
        (isinstance(actions, list) and all(_is_action(one) for one in actions), "an action is wrong"),
    )
    return next((text for fits, text in checks if not fits), "")


def _is_action(action: dict[str, object]) -> bool:
    known = action.get("action") in ("view", "broadcast", "http")
    return known and bool(action.get("label")) and is_web_address(action.get("url"))


def _error(status: int, code: int, text: str) -> Reply:
    return said(status, {"code": code, "http": status, "error": text, "link": "https://ntfy.sh/docs"}, problem=text)
