"""Virtual time: how fast it passed when, and how long something took in real time.

The replay changes the rate of the deciding time as it goes, so a span between two virtual instants says little by
itself; `Pace` turns it into the real seconds that somebody at the keyboard would have measured.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct


class Pace:
    """The stretches of one replay, in the order in which they began."""

    def __init__(self, since: datetime, rate: float) -> None:
        self._starts = [since]
        self._rates = [rate]
        self._real = [0.0]

    def change(self, at: datetime, rate: float) -> None:
        """From the virtual instant `at` on, time passes at `rate`."""
        self._real.append(self.real(at))
        self._starts.append(at)
        self._rates.append(rate)

    def real(self, at: datetime) -> float:
        """Real seconds since the replay began at the virtual instant `at`."""
        n = max(bisect_right(self._starts, at) - 1, 0)
        return self._real[n] + (at - self._starts[n]).total_seconds() / self._rates[n]

    def took(self, frm: datetime, to: datetime) -> float:
        """Real seconds between two virtual instants."""
        return self.real(to) - self.real(frm)


class Percentiles(Struct, frozen=True, kw_only=True):
    """Lags in real milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float
    worst: float


def percentiles(seconds: Iterable[float]) -> Percentiles | None:
    """The usual marks of a set of lags; None of an empty one. A negative lag counts as 0."""
    ordered = sorted(max(value, 0.0) * 1000.0 for value in seconds)
    if not ordered:
        return None
    return Percentiles(
        count=len(ordered),
        p50=_mark(ordered, 0.50),
        p95=_mark(ordered, 0.95),
        p99=_mark(ordered, 0.99),
        worst=ordered[-1],
    )


def _mark(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
