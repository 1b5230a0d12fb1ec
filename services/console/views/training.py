"""How a trained model does on texts it had not seen, for a person at a terminal."""

from collections.abc import Iterable

from services.console.output import console, table
from services.router.domain.weights import Head, Header

_NUMBERS = ("precision", "recall", "F1", "support")


def tell(header: Header) -> None:
    """A table for each head, both baselines beside it, and what may be promoted."""
    for head in header.heads:
        _tell_head(head)


def _tell_head(head: Head) -> None:
    report, print_ = head.report, console().print
    print_(f"{head.field}, on {report.rows:,} texts in {report.groups:,} groups, each held out once", style="bold")
    lines = table(
        head.field,
        *_NUMBERS,
        right=_NUMBERS,
    )
    for line in report.classes:
        lines.add_row(line.name, _number(line.precision), _number(line.recall), _number(line.f1), f"{line.support:,}")
    print_(lines)
    print_(f"  macro-F1              {_number(report.macro_f1)}   (accuracy {_number(report.accuracy)})", markup=False)
    print_(
        f"  always `{report.majority}`: {_number(report.majority_f1)};  dealt out blindly: {_number(report.blind_f1)}",
        markup=False,
    )
    interval = f"99 % interval {report.gain_low:+.3f} to {report.gain_high:+.3f}"
    print_(f"  gain over the better  {report.gain:+.3f}   ({interval})", markup=False)
    for sure in report.sure:
        text = f"  must it be {sure.confidence:.0%} sure, it answers {sure.answered:.0%} of them, {sure.right:.0%} of these rightly"
        print_(text, markup=False)
    print_(f"  {verdict(head)}\n", markup=False)


def verdict(head: Head) -> str:
    """What its figures say in a sentence."""
    if head.report.has_learned:
        return f"{head.field}: learned"
    return f"{head.field}: learned nothing that luck would not explain; it can't be promoted"


def summary(heads: Iterable[Head]) -> str:
    """Macro-F1 of each head in a few words."""
    return "; ".join(
        f"{head.field} {_number(head.report.macro_f1)} (baseline {_number(max(head.report.majority_f1, head.report.blind_f1))})"
        for head in heads
    )


def _number(share: float) -> str:
    return f"{share:.3f}"
