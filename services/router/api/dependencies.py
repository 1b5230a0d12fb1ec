"""What the router's handlers work with: made once by `main.py`, handed to the application, asked for by name."""

from typing import Any, cast

from litestar import Request
from msgspec import Struct, field

from services.router.intake import Intake
from services.router.views import Views
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from shared.web.keyring import KeyRing

STATE = "router"


class Dependencies(Struct, frozen=True, kw_only=True):
    """The use cases and stores behind the router's API."""

    pool: Pool
    intake: Intake
    views: Views
    keyring: KeyRing
    shelf: PolicyShelf = field(default_factory=PolicyShelf)
    """Compiled policies, shared with intake where `main` says so."""


def of(call: Request[Any, Any, Any]) -> Dependencies:
    """Those of the application that serves this request."""
    return cast("Dependencies", call.app.state[STATE])
