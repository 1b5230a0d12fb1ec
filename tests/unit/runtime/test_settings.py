"""Settings from the environment: read, refused all at once, described."""

from enum import StrEnum
from typing import Annotated

import pytest
from msgspec import Meta, Struct

from shared.runtime import settings
from shared.runtime.settings import SECRET, SettingsError


class Mode(StrEnum):
    """A closed set."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Example(Struct, frozen=True, kw_only=True):
    """A service's settings."""

    database_url: Annotated[str, Meta(description="Where PostgreSQL is."), SECRET]
    environment: Annotated[Mode, Meta(description="Where this runs.")] = Mode.DEVELOPMENT
    port: Annotated[int, Meta(description="HTTP port.", ge=0, le=65535)] = 8080
    ratio: Annotated[float, Meta(description="A share.")] = 0.5
    quiet: Annotated[bool, Meta(description="Say less.")] = False


def test_variables_are_read_by_field_name() -> None:
    """DESKCLOCK_ and the name in capitals; numbers and flags are converted, the rest keeps its default."""
    environ = {
        "DESKCLOCK_DATABASE_URL": " postgresql://x ",
        "DESKCLOCK_PORT": "9000",
        "DESKCLOCK_QUIET": "true",
        "PORT": "1",
    }

    read = settings.load(Example, environ)

    assert Example(database_url="postgresql://x", port=9000, quiet=True) == read


def test_an_empty_variable_counts_as_unset() -> None:
    """Compose files pass empty strings for what nobody set."""
    assert 8080 == settings.load(Example, {"DESKCLOCK_DATABASE_URL": "x", "DESKCLOCK_PORT": ""}).port


def test_every_mistake_is_reported_at_once() -> None:
    """A missing, a mistyped and an unknown value stand in one text, each with its variable and meaning."""
    with pytest.raises(SettingsError) as caught:
        settings.load(Example, {"DESKCLOCK_PORT": "many", "DESKCLOCK_ENVIRONMENT": "prod"})

    text = str(caught.value)
    assert "DESKCLOCK_DATABASE_URL is not set: Where PostgreSQL is;" in text
    assert "DESKCLOCK_PORT=many" in text
    assert "DESKCLOCK_ENVIRONMENT=prod" in text


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping, os.environ is read."""
    monkeypatch.setenv("DESKCLOCK_DATABASE_URL", "postgresql://y")

    assert "postgresql://y" == settings.load(Example).database_url


def test_descriptions_mask_secrets() -> None:
    """What is shown to people has every setting, its default and meaning, and no secret."""
    shown = settings.describe(Example(database_url="postgresql://user:pass@x"))

    assert [
        "DESKCLOCK_DATABASE_URL",
        "DESKCLOCK_ENVIRONMENT",
        "DESKCLOCK_PORT",
        "DESKCLOCK_RATIO",
        "DESKCLOCK_QUIET",
    ] == [line.variable for line in shown]
    assert ("********", "", "Where PostgreSQL is.") == (shown[0].value, shown[0].default, shown[0].doc)
    assert ("development", "development") == (shown[1].value, shown[1].default)


def test_a_wrong_secret_is_not_repeated() -> None:
    """The error text masks it too."""

    class Secretive(Struct, frozen=True, kw_only=True):
        """One secret number."""

        pin: Annotated[int, Meta(description="A number."), SECRET]

    with pytest.raises(SettingsError) as caught:
        settings.load(Secretive, {"DESKCLOCK_PIN": "letmein"})

    assert "letmein" not in str(caught.value)
