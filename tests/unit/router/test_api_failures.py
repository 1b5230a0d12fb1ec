"""What the router's own exceptions become over HTTP."""

import pytest

from services.router.api.app import TRANSLATIONS
from services.router.errors import IntakeFull, IntakeUnavailable
from shared.web import failures


@pytest.mark.parametrize(("error", "seconds"), [(IntakeFull(), "1"), (IntakeUnavailable(), "5")])
def test_what_cannot_be_taken_now_may_be_sent_again(error: Exception, seconds: str) -> None:
    """503 with the time to wait: the same ids make that safe."""
    refused = failures.refusal(error, TRANSLATIONS)
    assert (503, seconds) == (refused.problem.status, refused.headers["retry-after"])
