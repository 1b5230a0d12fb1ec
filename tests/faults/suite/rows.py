"""The table: one row for each fault, what was due in it, and whether every line of its promise held."""

from collections.abc import Iterable

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tests.faults.suite.ledgers import Verdict


class Row(Struct, kw_only=True):
    """One fault over all its rounds."""

    fault: str
    rounds: int = 0
    due: int = 0
    lost: int = 0
    keyed_twice: int = 0
    unkeyed_twice: int = 0
    recovery: float = 0.0
    """The longest, in seconds."""
    within: float | None = None
    """What it may be; None where there is nothing to recover from."""
    wrong: list[str] = []
    """What else broke, with the seed and round that show it."""

    @property
    def is_well(self) -> bool:
        """Played; nothing lost, no duplicate that was avoidable, back in time."""
        return bool(self.rounds) and not (self.lost or self.keyed_twice or self.wrong)

    def add(
        self,
        verdict: Verdict,
        where: str,
        *,
        most_twice: int = 0,
        recovery: float | None = None,
        others_may_hear: bool = False,
    ) -> None:
        """Count one round. `most_twice`: how often one message may have been repeated."""
        self.rounds += 1
        self.due += verdict.due
        self.lost += len(verdict.lost)
        self.keyed_twice += verdict.keyed_twice
        self.unkeyed_twice += verdict.unkeyed_twice
        if verdict.lost:
            self.wrong.append(f"{where}: {verdict.why or _some(verdict.lost)}")
        if verdict.keyed_twice:
            self.wrong.append(f"{where}: {verdict.keyed_twice} incidents of a keyed channel too many")
        if verdict.worst_twice > most_twice:
            self.wrong.append(f"{where}: one message {verdict.worst_twice} times too often, {most_twice} allowed")
        if verdict.avoidable:
            self.wrong.append(f"{where}: {verdict.avoidable} times told again though nobody was in doubt")
        if verdict.needless and not others_may_hear:
            self.wrong.append(f"{where}: needless {_some(verdict.needless)}")
        if recovery is not None:
            self.took(recovery, where)

    def took(self, seconds: float, where: str) -> None:
        """So long it was until all was well again."""
        self.recovery = max(self.recovery, seconds)
        if self.within is not None and seconds > self.within:
            self.wrong.append(f"{where}: back after {seconds:.1f} s, {self.within:g} s allowed")

    def fails(self, what: str) -> None:
        """Something else broke."""
        self.wrong.append(what)


def show(rows: Iterable[Row]) -> None:
    """Print the table, and below it what went wrong."""
    console = Console(width=150)
    table = Table("fault", box=None, pad_edge=False)
    for name in ("rounds", "pages due", "lost", "twice keyed", "twice unkeyed", "recovery s", "allowed s", "verdict"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.fault,
            str(row.rounds),
            str(row.due),
            str(row.lost),
            str(row.keyed_twice),
            str(row.unkeyed_twice),
            f"{row.recovery:.1f}" if row.within is not None else "-",
            f"{row.within:g}" if row.within is not None else "-",
            "well" if row.is_well else "FAILS",
        )
    console.print(table)
    for row in rows:
        for wrong in row.wrong:
            console.print(f"{row.fault}: {wrong}", style="red", markup=False)


def _some(things: Iterable[object]) -> str:
    named = sorted(str(one) for one in things)
    return f"{len(named)}: {', '.join(named[:3])}"
