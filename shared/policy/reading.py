"""One file being read: its parts with their pointers in, faults collected on the way."""

from collections.abc import Collection

from shared.policy.errors import LocatedError, PolicyErrors, did_you_mean, short
from shared.policy.located import Document


class Unreadable(ValueError):
    """A text doesn't say what it should; `problem` and `remedy` go into the located error."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


SEARCH_LIMIT = 100_000
"""RE2 instructions of all words and expressions of a policy together: about two thousand words."""


FAULT_LIMIT = 500
"""After so many faults the rest of a file is not read."""


class Reading:
    """Collects what is wrong with a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.errors: list[LocatedError] = []
        self.warnings: list[LocatedError] = []
        self._search_left = SEARCH_LIMIT

    def fault(self, pointer: str, problem: str, remedy: str) -> None:
        """Note a fault at this place; raises `PolicyErrors` where there are too many to go on."""
        self.errors.append(self.document.error(pointer, problem, remedy))
        if len(self.errors) >= FAULT_LIMIT:
            more = f"{FAULT_LIMIT} faults are named here, there may be more"
            raise PolicyErrors([*self.errors, self.document.error("", more, "correct these first")])

    def warn(self, pointer: str, problem: str, remedy: str) -> None:
        """Note something that is legal but seldom meant; so many are kept and no more."""
        if len(self.warnings) < FAULT_LIMIT:
            self.warnings.append(self.document.error(pointer, problem, remedy))

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

    def has_faults_in(self, pointer: str) -> bool:
        """Whether something inside this part is known to be wrong, so that what seems missing may just be misspelled."""
        return any(error.pointer.startswith(f"{pointer}/") for error in self.errors)

    def spend_search(self, pointer: str, size: int) -> None:
        """Take the size of a word or expression from what a policy may have; notes a fault when nothing is left."""
        if self._search_left >= 0 > self._search_left - size:
            self.fault(
                pointer, "all words and expressions up to here are too large together", "use fewer or shorter ones"
            )
        self._search_left -= size

    @property
    def may_search(self) -> bool:
        """Whether more words and expressions are read at all."""
        return self._search_left >= 0

    def refer(self, pointer: str, name: str, known: Collection[str], what: str) -> bool:
        """Check a reference; notes a fault and answers False where nothing of that name is known."""
        if name in known:
            return True
        self.fault(pointer, f"there is no {what} `{short(name)}`", did_you_mean(name, known, what=f"{what}s"))
        return False
