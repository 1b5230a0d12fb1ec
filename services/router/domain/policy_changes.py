"""What differs between two versions of a policy file, as an operations lead would say it."""

from collections.abc import Iterator
from typing import Any

from shared.policy import calendars

_SECTIONS = (
    "calendars", "feeds", "channels", "urgency", "themes", "skills", "pools", "routing", "model", "targets", "escalations",
    "on_call", "paging", "follow_up", "tzdata",
)  # fmt: skip
_SINGLE = frozenset({"routing", "model", "paging", "follow_up", "tzdata"})
"""Sections that are one thing, not several with names."""
_BUILT_IN: dict[str, dict[str, Any]] = {"calendars": {calendars.ALWAYS: {"hours": "always"}}}
"""What holds where a file doesn't say otherwise: it neither comes nor goes."""
_LONGEST = 60


def changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """One line for each thing that is added, removed or changed, section by section; nothing where they say the same."""
    return tuple(line for section in _SECTIONS for line in _section(section, before.get(section), after.get(section)))


def _section(section: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    if section in _SINGLE:
        yield from _fields(section, before or {}, after or {})
        return
    built_in = _BUILT_IN.get(section, {})
    old, new = {**built_in, **_entries(before)}, {**built_in, **_entries(after)}
    for name in new:
        if name not in old:
            yield f'{section}: "{name}" added'
    for name in old:
        if name not in new:
            yield f'{section}: "{name}" removed'
    for name, entry in new.items():
        if name in old and old[name] != entry:
            yield from _fields(f'{section}: "{name}"', old[name], entry)
    if isinstance(after, list):
        kept = [name for name in old if name in new]
        if kept != [name for name in new if name in old]:
            yield f"{section}: in another order"


def _entries(value: Any) -> dict[str, Any]:
    """A section's entries by name; those of a list without names (or with one used twice) by what they say."""
    if not isinstance(value, list):
        return dict(value or {})
    entries: dict[str, Any] = {}
    for entry in value:
        name = str(entry.get("name") or _short(entry))
        number = 1
        while (numbered := name if number == 1 else f"{name} ({number})") in entries:
            number += 1
        entries[numbered] = entry
    return entries


def _fields(subject: str, before: Any, after: Any) -> Iterator[str]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield f"{subject} {_short(before)} -> {_short(after)}"
        return
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            yield f"{subject} {key} {_short(before.get(key))} -> {_short(after.get(key))}"


def _short(value: Any) -> str:
    match value:
        case None:
            return "none"
        case list():
            text = "[" + ", ".join(_short(item) for item in value) + "]"
        case dict():
            text = "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
        case _:
            text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
