"""Settings: frozen structs filled from DESKCLOCK_* variables once, at the start; all mistakes are reported at once.

The variable of a field is DESKCLOCK_ and its name in capitals. A field is `Annotated[type, Meta(description="...")]`;
`SECRET` after it masks its value where settings are shown.
"""

import os
from collections.abc import Mapping
from typing import Any, Final, TypeVar, get_type_hints

import msgspec
from msgspec import Meta, Struct

PREFIX = "DESKCLOCK_"
_MASKED = "********"

SettingsType = TypeVar("SettingsType", bound=Struct)

SECRET: Final = "secret"  # noqa: S105 - a mark, not a password
"""Marks a field whose value is never shown: `Annotated[str, Meta(description="..."), SECRET]`."""


class SettingsError(ValueError):
    """Settings are missing or wrong; the text lists every one of them."""


class Described(Struct, frozen=True, kw_only=True):
    """One setting for a person: `value` is masked where it is a secret."""

    variable: str
    value: str
    default: str
    doc: str


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def load(settings: type[SettingsType], environ: Mapping[str, str] | None = None) -> SettingsType:
    """Read a struct of settings; raises SettingsError naming every wrong variable."""
    given = os.environ if environ is None else environ
    hints = get_type_hints(settings, include_extras=True)
    values: dict[str, object] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(settings):
        name = variable(field.name)
        text = given.get(name, "").strip()
        if not text:
            if field.required:
                problems.append(f"{name} is not set: {_doc_of(hints[field.name]).rstrip('.')}")
            continue
        try:
            values[field.name] = msgspec.convert(text, hints[field.name], strict=False)
        except msgspec.ValidationError as error:
            shown = _MASKED if _is_secret(hints[field.name]) else text
            problems.append(f"{name}={shown}: {error} ({_doc_of(hints[field.name]).rstrip('.')})")
    if problems:
        raise SettingsError("; ".join(problems))
    return settings(**values)


def describe(settings: Struct) -> list[Described]:
    """Every setting with its value, default and meaning, in the struct's order."""
    hints = get_type_hints(type(settings), include_extras=True)
    described = []
    for field in msgspec.structs.fields(settings):
        secret = _is_secret(hints[field.name])
        default = "" if field.required else str(field.default)
        value = str(getattr(settings, field.name))
        described.append(
            Described(
                variable=variable(field.name),
                value=_MASKED if secret and value else value,
                default=default,
                doc=_doc_of(hints[field.name]),
            )
        )
    return described


def _notes(hint: Any) -> tuple[Any, ...]:
    notes: tuple[Any, ...] = getattr(hint, "__metadata__", ())
    return notes


def _doc_of(hint: Any) -> str:
    return next((note.description for note in _notes(hint) if isinstance(note, Meta) and note.description), "")


def _is_secret(hint: Any) -> bool:
    return SECRET in _notes(hint)
