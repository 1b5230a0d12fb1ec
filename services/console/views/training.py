"""How a trained model does on texts it had not seen, for a person at a terminal."""

from collections.abc import Iterable

from services.console.output import console, moment, table
from services.router.domain.weights import Head, Header
from services.router.trained import Shown

_NUMBERS = ("precision", "recall", "F1", "support")


def tell(header: Header) -> None:
    """A table for each head, both baselines beside it, and what may be promoted."""
    for head in header.heads:
        tell_head(head)


def tell_head(head: Head) -> None:
    """The table of one head."""
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


def tell_shown(shown: Shown) -> None:
    """A model: where it stands, its figures on held-out texts, and how it agrees on the tickets it has scored."""
    model, compared, print_ = shown.model, shown.compared, console().print
    header = model.header
    print_(
        f"model {model.version}: {model.state} since {moment(model.changed_at)}; added {moment(model.added_at)} by {model.added_by}",
        markup=False,
    )
    print_(
        f"from {header.used:,} of {header.rows:,} rows ({header.fingerprint[:12]}), seed {header.seed}; {model.bytes:,} bytes\n",
        markup=False,
    )
    tell(header)
    if not compared.tickets:
        print_("it has scored no ticket yet")
        return
    span = f"{moment(compared.since)} to {moment(compared.until)}"
    print_(
        f"it has scored {compared.tickets:,} tickets, {span}; what counts is where it is {shown.confidence:.0%} sure",
        markup=False,
    )
    lines = table(
        "", "sure of", "agrees with rules", "alone (no rule knows)", "corrected by people", "and it was right"
    )
    lines.add_row(
        "theme",
        f"{compared.theme_sure:,}",
        _of(compared.theme_agrees, compared.theme_ruled),
        f"{compared.theme_alone:,}",
        f"{compared.theme_corrected:,}",
        _of(compared.theme_right, compared.theme_corrected),
    )
    lines.add_row(
        "urgency",
        f"{compared.urgency_sure:,}",
        _of(compared.urgency_agrees, compared.urgency_sure - compared.urgency_corrected),
        "",
        f"{compared.urgency_corrected:,}",
        _of(compared.urgency_right, compared.urgency_corrected),
    )
    print_(lines)


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.0%})" if whole else "-"


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
