"""What is wrong with a policy or roster file: every fault at once, each with its place and the way out."""

from collections.abc import Iterable
from difflib import get_close_matches

from msgspec import Struct

SHOWN = 60
"""Characters of an author's text that a message repeats."""
COMPARED = 100
"""Characters of a name that are compared to find the nearest one."""
CANDIDATES = 1_000
LISTED = 12
"""Names that a message lists."""


class LocatedError(Struct, frozen=True, kw_only=True):
    """One fault of a file."""

    line: int
    """From 1; 0 where the place is not known."""
    column: int
    pointer: str
    """Where in the document, as a JSON Pointer (RFC 6901)."""
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        subject = f"{self.pointer}: " if self.pointer else ""
        return f"{place}{subject}{self.problem}; {self.remedy}"


class PolicyErrors(ValueError):
    """The file can't be used; `errors` says all that is wrong with it, in the order of the file."""

    def __init__(self, errors: Iterable[LocatedError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: (error.line, error.column)))
        super().__init__("\n".join(str(error) for error in self.errors))


def short(text: str, limit: int = SHOWN) -> str:
    """A text as messages show it."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def did_you_mean(word: str, known: Iterable[str], *, what: str = "known") -> str:
    """The remedy for a name that doesn't exist: the nearest one, or the list."""
    names = sorted(known)
    near = get_close_matches(word[:COMPARED], (name[:COMPARED] for name in names[:CANDIDATES]), n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    if not names:
        return "there are none yet; define it first"
    listed = ", ".join(f"`{name}`" for name in names[:LISTED])
    return f"{what} are {listed}" + (", ..." if len(names) > LISTED else "")
