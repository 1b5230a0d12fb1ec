"""Settings, tokens, ids and pacing."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.escalation import loop, tokens
from services.escalation.errors import AddressRefused
from services.escalation.settings import Settings
from services.escalation.store import Pulse
from services.escalation.tokens import Tokens
from shared.runtime import settings

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
PAGE = UUID(int=7)


@pytest.mark.parametrize(
    ("due_in", "rate", "wait"),
    [
        (None, 1.0, loop.LONGEST_SECONDS),
        (100.0, 1.0, loop.LONGEST_SECONDS),
        (0.1, 1.0, 0.1),
        (100.0, 1000.0, 0.1),
        (0.0001, 1.0, loop.SHORTEST_SECONDS),
        (-5.0, 1.0, loop.HELD_SECONDS),
        (5.0, 0.0, loop.LONGEST_SECONDS),
    ],
)
def test_a_loop_sleeps_until_the_next_row_is_due_in_real_seconds(due_in, rate, wait):
    """Warped time passes faster; a row that somebody holds is looked at again soon."""
    due_at = None if due_in is None else NOW + timedelta(seconds=due_in)
    assert wait == pytest.approx(loop.wait_seconds(Pulse(now=NOW, rate=rate, due_at=due_at)))


def test_a_token_is_the_same_for_a_page_and_another_for_every_other():
    """So a repeated attempt carries the same link; a page's neighbour tells nothing."""
    made = Tokens(b"key", "https://desk.test")
    assert made.token(PAGE) == made.token(PAGE) != made.token(UUID(int=8))
    assert made.token(PAGE) != Tokens(b"other", "").token(PAGE)
    assert f"https://desk.test/v1/ack/{made.token(PAGE)}" == made.link(PAGE)
    assert 43 == len(made.token(PAGE))


def test_r34_each_part_of_a_page_makes_another_id():
    """Escalation, generation, kind, loop, step, person and way."""
    whole = {"escalation": PAGE, "generation": 1, "kind": "page", "loop": 0, "step": 0, "who": "ana", "way": "console"}
    changed = [
        {"escalation": UUID(int=8)}, {"generation": 2}, {"kind": "warning"}, {"loop": 1}, {"step": 1}, {"who": "ben"},
        {"way": "webhook"},
    ]  # fmt: skip
    ids = {tokens.page_id(**whole), *(tokens.page_id(**{**whole, **change}) for change in changed)}
    assert 8 == len(ids)
    assert tokens.page_id(**whole) in ids


def test_links_begin_with_the_public_address_or_where_we_listen():
    """Set, or made from host and port."""
    made = settings.load(
        Settings, {"DESKCLOCK_DATABASE_URL": "postgresql://x", "DESKCLOCK_PUBLIC_URL": "https://a.test/"}
    )
    assert "https://a.test" == made.link_base(1)
    assert "http://127.0.0.1:99" == settings.load(Settings, {"DESKCLOCK_DATABASE_URL": "postgresql://x"}).link_base(99)


def test_allowed_hosts_are_a_list_without_case():
    """Separated by commas."""
    made = settings.load(
        Settings, {"DESKCLOCK_DATABASE_URL": "x", "DESKCLOCK_PAGE_ALLOW_HOSTS": " Hooks.Internal, 10.0.0.5,"}
    )
    assert frozenset({"hooks.internal", "10.0.0.5"}) == made.allowed_hosts


def test_the_key_of_links_is_set_or_made_from_the_database():
    """The same in all replicas either way, and not the address itself."""
    made = Settings(database_url="postgresql://x")
    assert made.token_key == Settings(database_url="postgresql://x").token_key
    assert made.token_key != Settings(database_url="postgresql://x", ack_key="own").token_key


def test_an_error_says_its_own_text_or_what_it_is():
    """The docstring is the message where nothing else is said."""
    assert "may not be called" in str(AddressRefused())
    assert "this one" == str(AddressRefused("this one"))
