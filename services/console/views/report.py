"""The report of a replay for a person: four short tables and one sentence each."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.console.domain.attainment import Attainment, total
from services.console.domain.report import Report
from services.console.output import table
from services.console.views import palette

_TYPES = 12


def draw(report: Report, zone: ZoneInfo) -> RenderableType:
    """The whole report."""
    return Group(
        _opening(report, zone),
        _attainment(report.attainment),
        _types(report),
        _pages(report),
        _lags(report),
        _verdicts(report),
    )


def _opening(report: Report, zone: ZoneInfo) -> Text:
    days = (report.traffic_until - report.since).total_seconds() / 86_400
    after = (report.until - report.traffic_until).total_seconds() / 86_400
    text = Text("\n")
    text.append(
        f"{report.requests:,} requests of {days:.3g} days, and what became of them in the {after:.0f} days after",
        style="bold",
    )
    text.append(
        f"\n{palette.clock(report.since, zone)} to {palette.clock(report.until, zone)} in {report.real_seconds:.0f} seconds:"
        f" {report.events:,} events, {report.over_http:,} of them over HTTP.\n"
    )
    if report.refused:
        text.append(f"{report.refused:,} requests were refused by a service.\n", style=palette.BAD)
    return text


def _attainment(lines: Sequence[Attainment]) -> Table:
    targets = [name for name in palette.TARGET_NAME if any(line.target == name for line in lines)]
    names = [palette.target(name) for name in targets]
    made = table("channel", *names, title="Promises kept, by channel (of those judged)", right=names)
    cells = {(line.channel, line.target): line for line in lines}
    for channel in palette.CHANNELS:
        if any(line.channel == channel for line in lines):
            made.add_row(palette.channel(channel), *(_share(cells.get((channel, name))) for name in targets))
    made.add_section()
    made.add_row(Text("all", style="bold"), *(_share(total(lines, target=name)) for name in targets))
    return made


def _share(line: Attainment | None) -> Text:
    if line is None or line.share is None:
        return Text("-", style=palette.FAINT)
    return Text.assemble(
        (palette.percent(line.share), palette.share_style(line.share)), (f" of {line.judged:,}", palette.FAINT)
    )


def _types(report: Report) -> Table:
    numbers = ("requests", "kept", "broken", "judged by both", "ours", "the city's")
    title = "Resolution, by type; on the right only what the city has judged too"
    made = table("type of request", *numbers, title=title, right=numbers)
    for line in report.types[:_TYPES]:
        made.add_row(
            line.type,
            f"{line.requests:,}",
            palette.number(line.kept),
            palette.number(line.broken),
            palette.number(line.both),
            Text(palette.percent(line.ours), style=palette.share_style(line.ours)),
            Text(palette.percent(line.city), style=palette.share_style(line.city)),
        )
    rest = report.types[_TYPES:]
    if rest:
        made.add_row(
            Text(f"{len(rest)} other types", style=palette.FAINT),
            f"{sum(line.requests for line in rest):,}",
            palette.number(sum(line.kept for line in rest)),
            palette.number(sum(line.broken for line in rest)),
            palette.number(sum(line.both for line in rest)),
            "",
            "",
        )
    return made


def _pages(report: Report) -> Text:
    pages = report.pages
    text = Text("\nWho was woken\n", style="bold")
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(report.escalations.items())) or "none"
    text.append(
        f"{pages.warnings:,} warnings and {pages.pages:,} pages; {pages.accepted:,} pages were delivered,"
        f" {pages.acknowledged:,} acknowledged, {pages.failed:,} failed;"
        f" {pages.moot:,} became moot, as their ticket was answered meanwhile.\n"
        f"Escalations: {states}; {report.climbed:,} went past their first step.\n",
        style="not bold",
    )
    return text


def _lags(report: Report) -> Table:
    numbers = ("measured", "p50", "p95", "p99", "worst")
    title = "Our own lag, in real milliseconds (temporary data, not flushed to disk)"
    made = table("", *numbers, title=title, right=numbers)
    for lag in report.lags:
        if lag.measured is None:
            made.add_row(lag.meaning, "·", "", "", "", "")
        else:
            values = (lag.measured.p50, lag.measured.p95, lag.measured.p99, lag.measured.worst)
            made.add_row(lag.meaning, f"{lag.measured.count:,}", *(f"{value:,.0f}" for value in values))
    return made


def _verdicts(report: Report) -> RenderableType:
    made = table("our verdict beside the city's", "requests", right=("requests",))
    for line in report.verdicts:
        comparison = line.comparison
        style = (
            palette.GOOD if comparison.is_agreement else palette.BAD if comparison.is_disagreement else palette.FAINT
        )
        made.add_row(Text(comparison, style=style), f"{line.requests:,}")
    text = Text()
    if report.compared:
        share = report.agreements / report.compared
        text.append(
            f"We agree with the city on {report.agreements:,} of the {report.compared:,} requests that both have judged",
            style="bold",
        )
        text.append(f" ({palette.percent(share)})", style=palette.share_style(share))
    else:
        text.append("No request has been judged by both yet", style="bold")
    text.append(
        f"; of {report.both_promised:,} due dates that both promised, {report.same_promise:,} are the same to the minute.\n"
    )
    return Group(made, text)
