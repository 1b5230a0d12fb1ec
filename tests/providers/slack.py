"""Slack's Web API, as far as messages go: 200 whatever happens, `ok` says how it went; nothing is merged."""

from tests.providers.credentials import SLACK_CHANNEL, SLACK_TOKEN
from tests.providers.ledger import Ledger
from tests.providers.wire import Effect, Reply, Request, page_id, said

_CHANNELS = frozenset({SLACK_CHANNEL, "#support-pages"})
_LONGEST = 40_000
_LONGEST_BLOCK = 3000


def answer(request: Request, ledger: Ledger) -> Reply:
    """`ok` and the message's timestamp, or the error's code."""
    token = request.authorization("Bearer")
    if not token:
        return _error("not_authed")
    if token != SLACK_TOKEN:
        return _error("invalid_auth")
    body = request.json()
    if body is None:
        return _error("invalid_json" if request.body else "no_text")
    match request.method, request.path:
        case "POST", "/api/chat.postMessage":
            return _post(body, ledger)
        case "POST", "/api/chat.update":
            return _update(body, ledger)
    return _error("unknown_method")


def _post(body: dict[str, object], ledger: Ledger) -> Reply:
    problem = _problem(body)
    if problem:
        return _error(problem)
    stamp = f"1780000000.{ledger.count('slack') + 1:06}"
    thread = body.get("thread_ts")
    if thread is not None and _key_of(str(thread), ledger) is None:
        return _error("thread_not_found")
    text = str(body["text"])
    verb = "opened" if thread is None else "updated"
    return said(
        200,
        {"ok": True, "channel": SLACK_CHANNEL, "ts": stamp, "message": {"type": "message", "text": text, "ts": stamp}},
        Effect(key=page_id(str(body)), verb=verb, account=str(body["channel"])),
    )


def _update(body: dict[str, object], ledger: Ledger) -> Reply:
    if body.get("channel") != SLACK_CHANNEL:
        return _error("channel_not_found")  # an update takes no name
    problem = _problem(body)
    if problem:
        return _error(problem)
    key = _key_of(str(body.get("ts")), ledger)
    if key is None:
        return _error("message_not_found")
    stamp = body["ts"]
    return said(
        200,
        {"ok": True, "channel": SLACK_CHANNEL, "ts": stamp, "text": body["text"]},
        Effect(key=key, verb="resolved", account=SLACK_CHANNEL),
    )


def _problem(body: dict[str, object]) -> str:
    if body.get("channel") not in _CHANNELS:
        return "channel_not_found"
    text, blocks = body.get("text"), body.get("blocks", [])
    if not isinstance(text, str) or not text:
        return "no_text"
    if len(text) > _LONGEST:
        return "msg_too_long"
    if not isinstance(blocks, list) or len(blocks) > 50 or any(not _is_block(block) for block in blocks):
        return "invalid_blocks"
    return ""


def _is_block(block: object) -> bool:
    if not isinstance(block, dict) or block.get("type") not in ("section", "context", "divider", "actions", "header"):
        return False
    text = block.get("text")
    return not isinstance(text, dict) or 0 < len(str(text.get("text", ""))) <= _LONGEST_BLOCK


def _key_of(stamp: str, ledger: Ledger) -> str | None:
    """The page id of the message with a timestamp; None where there is no such message."""
    number = stamp.rpartition(".")[2]
    if not number.isdigit():
        return None
    posts = ledger.requests("slack")
    index = int(number) - 1
    if index >= len(posts) or not posts[index].path.endswith("chat.postMessage"):
        return None
    return page_id(posts[index].body)


def _error(code: str) -> Reply:
    return said(200, {"ok": False, "error": code}, problem=code)
