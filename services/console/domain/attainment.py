"""How many promises were kept: the one number a team is judged by, so its parts are shown with it."""

from collections.abc import Iterable

from msgspec import Struct


class Attainment(Struct, frozen=True, kw_only=True):
    """Promises of one channel and target that have been judged."""

    channel: str
    target: str
    kept: int
    broken: int

    @property
    def judged(self) -> int:
        """Kept and broken together."""
        return self.kept + self.broken

    @property
    def share(self) -> float | None:
        """Kept of the judged; None where none is judged yet."""
        return self.kept / self.judged if self.judged else None


def total(lines: Iterable[Attainment], *, channel: str = "all", target: str) -> Attainment:
    """The lines of one target taken together."""
    chosen = [line for line in lines if line.target == target]
    return Attainment(
        channel=channel,
        target=target,
        kept=sum(line.kept for line in chosen),
        broken=sum(line.broken for line in chosen),
    )
