"""A workflow of Microsoft Teams: its address is its secret, it takes an Adaptive Card, answers 202, and merges nothing."""

from tests.providers.credentials import TEAMS_SIGNATURE
from tests.providers.ledger import Ledger
from tests.providers.wire import Effect, Reply, Request, is_web_address, page_id, said

_LARGEST = 28 * 1024
_CARD = "application/vnd.microsoft.card.adaptive"
_ELEMENTS = frozenset({"TextBlock", "FactSet", "Container", "RichTextBlock", "ActionSet"})


def answer(request: Request, _ledger: Ledger) -> Reply:
    """202 and nothing else, 401 where the signature is wrong, 400 where the card is."""
    if request.method != "POST" or not request.path.endswith("/triggers/manual/paths/invoke"):
        return said(
            404, {"error": {"code": "WorkflowNotFound", "message": "no such workflow"}}, problem="no such address"
        )
    parameters = request.parameters()
    if parameters.get("sig") != [TEAMS_SIGNATURE] or "api-version" not in parameters:
        error = {"code": "AuthorizationFailed", "message": "The authentication credentials are not valid."}
        return said(401, {"error": error}, problem="wrong signature")
    body = request.json()
    problem = "no JSON" if body is None else _problem(body)
    if len(request.body) > _LARGEST:
        problem = "larger than 28 KB"
    if problem:
        return said(400, {"error": {"code": "TriggerInputSchemaMismatch", "message": problem}}, problem=problem)
    return Reply(status=202, effects=(Effect(key=page_id(request.body.decode()), verb="opened", account=request.path),))


def _problem(body: dict[str, object]) -> str:
    attachments = body.get("attachments")
    if body.get("type") != "message" or not isinstance(attachments, list) or len(attachments) != 1:
        return "not a message with one attachment"
    attachment = attachments[0]
    if attachment.get("contentType") != _CARD:
        return "not an Adaptive Card"
    card = attachment.get("content")
    if not isinstance(card, dict) or card.get("type") != "AdaptiveCard" or not card.get("version"):
        return "not an Adaptive Card"
    elements = card.get("body")
    if not isinstance(elements, list) or not elements or any(one.get("type") not in _ELEMENTS for one in elements):
        return "a card of unknown elements"
    for action in card.get("actions", []):
        if action.get("type") != "Action.OpenUrl" or not is_web_address(action.get("url")):
            return "an action that opens nothing"
    return ""
