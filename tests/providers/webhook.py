"""A receiver of signed webhooks that keeps ids: a page it knows it drops, `page.resolved` closes what it names."""

import msgspec
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from tests.providers.credentials import WEBHOOK_SECRET
from tests.providers.ledger import Ledger
from tests.providers.wire import Effect, Reply, Request, said


def answer(request: Request, ledger: Ledger) -> Reply:
    """204, or 401 where the signature is wrong."""
    body = request.json()
    if request.method != "POST" or body is None:
        return said(400, {}, problem="no JSON was posted")
    try:
        Verifier(WEBHOOK_SECRET).verify(request.body, request.headers)
    except WebhookVerificationError as error:
        return said(401, {}, problem=f"not signed: {error}")
    data = msgspec.convert(body.get("data"), dict[str, object])
    if body.get("type") != "page.resolved":
        key = request.headers["webhook-id"]
        verb = "joined" if ledger.is_open("webhook", key) else "opened"
        return Reply(status=204, effects=(Effect(key=key, verb=verb, account=request.path),))
    closed = msgspec.convert(data.get("resolves", []), list[str])
    return Reply(
        status=204,
        effects=tuple(
            Effect(key=key, verb="resolved" if ledger.is_open("webhook", key) else "ignored", account=request.path)
            for key in closed
        ),
    )
