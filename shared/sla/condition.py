"""A compiled `when`: which tickets a line of the policy is about.

Fields are compared as text without regard to case, so `Gold`, `gold` and, for attributes, `5` and `"5"` are the same.
Users' patterns run on RE2: time linear in the text, whatever they wrote (routing-rules 2).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import re2  # type: ignore[import-untyped]

from shared.sla.fields import Fields

FIELDS = ("channel", "urgency", "theme", "language", "source", "requester.tier", "requester.key", "team")
"""What a `when` can compare besides `attributes.<name>` and `text`."""

ATTRIBUTE = "attributes."
PATTERN_LIMIT = 500
"""Characters of one word or expression."""
TEXT_LIMIT = 20_000
"""Only so many characters of a ticket's text are searched: what comes later is quoted mail."""

SIZE_LIMIT = 5_000
"""Of one compiled word or expression, in RE2 instructions; a word has about fifty."""

_PATTERN_MEMORY = 1 << 20
_SEARCH_MEMORY = 64 << 20
_EDGE = r"[\x00-/:-@\[-^`{-\x{bf}\x{2000}-\x{206f}\x{3000}-\x{303f}\x{ff00}-\x{ff0f}]"
"""What may stand beside a whole word: no letter, no digit, no underscore."""

_ESCAPED = re.compile(r"\\(.)")
_NOTHING: frozenset[int] = frozenset()

Reader: TypeAlias = Callable[[Fields], Any]


class Pattern(NamedTuple):
    """One entry of `text`, ready to be searched for."""

    expression: str
    size: int
    """RE2 instructions."""


class BadPattern(ValueError):
    """A word or expression can't be searched for; the text says why."""


def pattern(entry: str) -> Pattern:
    """One entry of `text`: whole words, or `/an expression/`; raises `BadPattern`.

    Words match without regard to case and to how they are spaced. At an edge that has no upper and lower case
    (Chinese, Thai, a sign) no word boundary is asked for.
    """
    if len(entry) > PATTERN_LIMIT:
        raise BadPattern(f"{len(entry)} characters long, the limit is {PATTERN_LIMIT}")
    is_expression = len(entry) > 1 and entry.startswith("/") and entry.endswith("/")
    expression = entry[1:-1] if is_expression else _whole_words(entry)
    try:
        compiled = re2.compile(expression, options(_PATTERN_MEMORY))
    except re2.error as error:
        raise BadPattern(_said(error)) from None
    if compiled.programsize > SIZE_LIMIT:
        raise BadPattern("too large once its repetitions are unfolded")
    if compiled.search(b"") is not None:
        raise BadPattern("found in an empty text too, so in every ticket")
    return Pattern(expression, compiled.programsize)


def options(memory: int = _SEARCH_MEMORY) -> re2.Options:
    """How every pattern of a policy is compiled; `memory` is the most it may take, in bytes."""
    chosen = re2.Options()
    chosen.case_sensitive = False
    chosen.never_capture = True
    chosen.log_errors = False
    chosen.max_mem = memory
    return chosen


def searchable(text: str) -> bytes:
    """A ticket's text in the form that patterns are searched in."""
    return text[:TEXT_LIMIT].encode("utf-8", "replace")


def canonical(value: object) -> str:
    """A value of a field or of a policy as the text that is compared; a missing one is the empty text."""
    match value:
        case str():
            return value.strip().casefold()
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value).casefold()


class Condition:
    """What has to be true of a ticket; with nothing in it, it is true of all."""

    __slots__ = ("_checks", "_search", "comparisons", "patterns")

    def __init__(self, comparisons: Mapping[str, frozenset[str]], patterns: tuple[str, ...] = ()) -> None:
        """`comparisons` maps fields to the canonical values of which one must be there; of `patterns` one must be found."""
        self.comparisons = dict(comparisons)
        self.patterns = patterns
        self._checks = tuple((reader(field), values) for field, values in self.comparisons.items())
        self._search = re2.compile(self.joined_patterns, options()).search if patterns else None

    @property
    def joined_patterns(self) -> str:
        """One expression that finds what any of the patterns finds."""
        return "|".join(f"(?:{part})" for part in self.patterns)

    def holds_for(self, fields: Fields) -> bool:
        """Whether all comparisons hold and, if there are patterns, one of them is in the text."""
        return self.fields_hold(fields) and (self._search is None or self._search(searchable(fields.text)) is not None)

    def fields_hold(self, fields: Fields) -> bool:
        """The comparisons alone, for callers that search the text for many conditions at once."""
        for read, values in self._checks:
            value = read(fields)
            if value.__class__ is tuple:
                if values.isdisjoint(value):
                    return False
            elif value not in values:
                return False
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Condition):
            return NotImplemented
        return self.comparisons == other.comparisons and self.patterns == other.patterns

    def __hash__(self) -> int:
        return hash((frozenset(self.comparisons.items()), self.patterns))

    def __repr__(self) -> str:
        return f"Condition({self.comparisons!r}, {self.patterns!r})"


class TextSearch:
    """The patterns of many conditions, searched in one pass over a text."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        """Raises `BadPattern` where they are too large together."""
        self._search = re2.Set.SearchSet(options()) if conditions else None
        if self._search is not None:
            for when in conditions:
                self._search.Add(when.joined_patterns)
            try:
                self._search.Compile()
            except re2.error:
                raise BadPattern("all words and expressions together are too large to search for at once") from None

    def found_in(self, text: str) -> frozenset[int]:
        """Places in the list of those conditions one of whose patterns is in the text."""
        if self._search is None or not text:
            return _NOTHING
        return frozenset(self._search.Match(searchable(text)) or ())


def _whole_words(entry: str) -> str:
    words = entry.split()
    if not words:
        raise BadPattern("empty")
    before = f"(?:^|{_EDGE})" if _has_boundary(words[0][0]) else ""
    after = f"(?:$|{_EDGE})" if _has_boundary(words[-1][-1]) else ""
    return before + r"\s+".join(re2.escape(word) for word in words) + after


def spoken(expression: str) -> str:
    """A pattern's expression as somebody wrote it: the words, or `/an expression/`."""
    before, after = f"(?:^|{_EDGE})", f"(?:$|{_EDGE})"
    if not (expression.startswith(before) or expression.endswith(after)):
        return f"/{expression}/"
    words = expression.removeprefix(before).removesuffix(after).replace(r"\s+", " ")
    return _ESCAPED.sub(r"\1", words)


def _said(error: re2.error) -> str:
    detail = error.args[0] if error.args else "not an RE2 expression"
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)


def _has_boundary(character: str) -> bool:
    return character.isdigit() or character.lower() != character.upper()


def reader(field: str) -> Reader:
    """How to get the canonical value of a field; a tuple where it is a list or, as with a language, has a general form (the last)."""
    if field.startswith(ATTRIBUTE):
        return _attribute_reader(field.removeprefix(ATTRIBUTE))
    return _READERS[field]


def _attribute_reader(name: str) -> Reader:
    path = name.split(".")

    def read(fields: Fields) -> Any:
        value = fields.attributes.get(name)
        if value is None and len(path) > 1:
            value = _walk(fields.attributes, path)
        if value.__class__ is str:
            return value.strip().casefold()
        if isinstance(value, list | tuple):
            return tuple(canonical(item) for item in value) or ("",)
        return canonical(value)

    return read


def _walk(value: Any, path: list[str]) -> Any:
    for step in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def _languages(fields: Fields) -> str | tuple[str, ...]:
    language = fields.language.casefold()
    if "-" in language or "_" in language:
        language = language.replace("_", "-")
        return (language, language.partition("-")[0])
    return language


_READERS: dict[str, Reader] = {
    "channel": lambda fields: fields.channel,
    "urgency": lambda fields: fields.urgency,
    "theme": lambda fields: fields.theme.casefold(),
    "language": _languages,
    "source": lambda fields: fields.source.casefold(),
    "requester.tier": lambda fields: fields.requester_tier.strip().casefold(),
    "requester.key": lambda fields: fields.requester_key.strip().casefold(),
    "team": lambda fields: fields.team.strip().casefold(),
}
