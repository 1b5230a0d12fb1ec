"""What escalation's handlers work with: made once by `main.py`, handed to the application, asked for by name."""

from typing import Any, cast

from litestar import Request
from msgspec import Struct

from services.escalation.answering import Answering
from services.escalation.delivery.receipts import Receipts
from services.escalation.delivery.trying import Trying
from services.escalation.raising import Raising
from shared.ledger.policies import PolicyShelf
from shared.policy.methods import METHODS
from shared.postgres.pool import Pool
from shared.web.keyring import KeyRing

STATE = "escalation"


class Dependencies(Struct, frozen=True, kw_only=True):
    """The use cases and stores behind escalation's API."""

    pool: Pool
    shelf: PolicyShelf
    answering: Answering
    keyring: KeyRing
    raising: Raising | None = None
    """Sends escalations up; None sends none."""
    trying: Trying | None = None
    """Sends test pages; None sends none."""
    receipts: Receipts | None = None
    """What providers say of pages; None takes none."""
    methods: frozenset[str] = frozenset(METHODS)
    """Paging channels of this installation: who has a contact for none of them can't be reached."""


def of(call: Request[Any, Any, Any]) -> Dependencies:
    """Those of the application that serves this request."""
    return cast(Dependencies, call.app.state[STATE])
