"""One file being read: its parts with their pointers in, faults collected on the way."""

from collections.abc import Iterable

from shared.policy.errors import LocatedError, did_you_mean
from shared.policy.located import Document


class Unreadable(ValueError):
    """A text doesn't say what it should; `problem` and `remedy` go into the located error."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class Reading:
    """Collects what is wrong with a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.errors: list[LocatedError] = []

    def fault(self, pointer: str, problem: str, remedy: str) -> None:
        """Note a fault at this place."""
        self.errors.append(self.document.error(pointer, problem, remedy))

    def unreadable(self, pointer: str, error: Unreadable) -> None:
        """Note a text that couldn't be read."""
        self.fault(pointer, error.problem, error.remedy)

    def names(self, section: str) -> set[str]:
        """The keys of a top-level mapping, faulty entries too: what may be referred to."""
        value = self.document.value.get(section) if isinstance(self.document.value, dict) else None
        return set(value) if isinstance(value, dict) else set()

    def holds(self, pointer: str) -> bool:
        """Whether the author wrote something there, be it faulty."""
        return pointer in self.document.marks

    def refer(self, pointer: str, name: str, known: Iterable[str], what: str) -> bool:
        """Check a reference; notes a fault and answers False where nothing of that name is known."""
        names = set(known)
        if name in names:
            return True
        self.fault(pointer, f"there is no {what} `{name}`", did_you_mean(name, names, what=f"{what}s"))
        return False
