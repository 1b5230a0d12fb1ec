"""The marks the production matcher must reach (routing-rules 5): against each baseline, on the days that were run."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from shared.policy.document import Routing
from tests.bench.routing.figures import Figures, Gain

WON = ("S2", "S4", "S5")
"""The lower end of the gain over each baseline is above zero."""
HELD = ("S1", "S3")
"""It is no lower than `LEAST`."""
LEAST = -0.5
CLASS_SLACK = 1.0
"""So many percentage points may the worst class lie below that of a baseline."""
LATE_IN = "S5"
MOST_LATE = Routing().rescue_after + 3
"""Targets."""
FAIR_IN = "S1"
MOST_SPREAD = 0.10


class Mark(Struct, frozen=True, kw_only=True):
    """One of them."""

    scenario: str
    what: str
    wanted: str
    found: str
    is_passed: bool


def judge(name: str, ours: Figures, others: Mapping[str, Figures], gains: Mapping[str, Gain]) -> Sequence[Mark]:
    """All marks that are asked in one scenario."""
    found: list[Mark] = []
    nearest, least = min(gains.items(), key=lambda item: item[1].lower)
    wanted = 0.0 if name in WON else LEAST
    if name in {*WON, *HELD}:
        found.append(
            Mark(
                scenario=name,
                what=f"gain over each baseline, lower end (nearest: {nearest})",
                wanted=f"> {wanted:.1f} pp" if name in WON else f">= {wanted:.1f} pp",
                found=f"{least.lower:+.2f} pp",
                is_passed=least.lower > wanted if name in WON else least.lower >= wanted,
            )
        )
    worst, part = ours.worst_class
    rival, best = max(((other, them.worst_class[1]) for other, them in others.items()), key=lambda item: item[1])
    below = 100 * (best - part)
    found.append(
        Mark(
            scenario=name,
            what=f"worst class ({worst}) beside the best worst class ({rival})",
            wanted=f">= {-CLASS_SLACK:.1f} pp",
            found=f"{-below:+.2f} pp",
            is_passed=below <= CLASS_SLACK,
        )
    )
    if name == LATE_IN:
        found.append(
            Mark(
                scenario=name,
                what="latest answer",
                wanted=f"<= {MOST_LATE:g} targets",
                found=f"{ours.worst:.2f}",
                is_passed=ours.worst <= MOST_LATE,
            )
        )
    if name == FAIR_IN:
        found.append(
            Mark(
                scenario=name,
                what="spread of occupancy among equals",
                wanted=f"<= {MOST_SPREAD:.2f}",
                found=f"{ours.spread:.3f}",
                is_passed=ours.spread <= MOST_SPREAD,
            )
        )
    return found
