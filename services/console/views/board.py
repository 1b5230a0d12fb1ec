"""The live board: one snapshot drawn for a terminal of any sensible size; pure drawing, no reading.

What matters most stands first and is cut last: tickets by channel, promises, who is paged, who works.
"""

from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from rich import box
from rich.console import RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from services.console.domain.snapshot import AgentLoad, ClockCount, PageLine, Snapshot
from services.console.views import palette

_BAR = 12
_PERSON = 22
_LATE = 4
"""Broken promises on top of those that come due."""
_TWO_COLUMNS = 112
"""Columns from which on owners stand beside the tickets."""


def draw(
    snapshot: Snapshot,
    *,
    title: str,
    zone: ZoneInfo | None,
    height: int,
    width: int,
    progress: float | None = None,
    note: str = "",
) -> RenderableType:
    """The whole board, for a terminal of this size."""
    layout = Layout()
    parts = [Layout(_head(snapshot, title, zone, note), size=3, name="head")]
    body = Layout(name="body")
    if progress is None:
        parts.append(body)
    else:
        parts += [body, Layout(_progress(progress, width), size=1, name="foot")]
    layout.split_column(*parts)
    rows = height - 3 - (progress is not None)
    if width < _TWO_COLUMNS:
        channels = _channel_rows(snapshot)
        tickets, promises = len(channels) + 4, max(len(snapshot.clocks), 1) + 3
        body.split_column(
            Layout(_tickets(snapshot, channels), size=tickets),
            Layout(_promises(snapshot), size=promises),
            Layout(_pages(snapshot, zone, max(rows - tickets - promises - 2, 1))),
        )
        return layout
    left, right = Layout(name="left", ratio=1), Layout(name="right", ratio=1)
    body.split_row(left, right)
    channels = _channel_rows(snapshot)
    tickets, promises = len(channels) + 4, max(len(snapshot.clocks), 1) + 3
    left.split_column(
        Layout(_tickets(snapshot, channels), size=tickets),
        Layout(_promises(snapshot), size=promises),
        Layout(_due(snapshot, max(rows - tickets - promises - 3, 1))),
    )
    agents = max(min(len(snapshot.agents), rows - 10, rows * 3 // 5), 2)
    right.split_column(
        Layout(_agents(snapshot.agents, agents), size=agents + 2),
        Layout(_pages(snapshot, zone, rows - agents - 4)),
    )
    return layout


def line(snapshot: Snapshot, zone: ZoneInfo | None) -> str:
    """The board in one line, for a pipe."""
    clocks = snapshot.clocks
    pages = snapshot.page_totals
    kept, broken = sum(c.kept for c in clocks), sum(c.broken + c.late for c in clocks)
    return (
        f"{palette.clock(snapshot.now, zone)}  tickets {snapshot.total:,} (open {snapshot.open:,}, waiting {snapshot.waiting:,})"
        f"  at risk {sum(c.at_risk for c in clocks):,}  kept {kept:,}  broken {broken:,}"
        f"  pages {pages.pages:,} (acknowledged {pages.acknowledged:,})  agents on {_online(snapshot.agents)}"
    )


def _online(agents: Sequence[AgentLoad]) -> int:
    return sum(agent.status == "online" for agent in agents)


def _head(snapshot: Snapshot, title: str, zone: ZoneInfo | None, note: str) -> Panel:
    grid = Table.grid(expand=True, padding=(0, 2))
    grid.add_column(justify="left", ratio=1, no_wrap=True)
    grid.add_column(justify="center", no_wrap=True)
    grid.add_column(justify="right", ratio=1, no_wrap=True)
    when = Text(palette.clock(snapshot.now, zone, seconds=snapshot.rate == 1), style="bold")
    when.append(f"  {snapshot.now.astimezone(zone).tzname()}" if zone else "  UTC", style=palette.FAINT)
    if snapshot.rate != 1:
        when.append(f"  x{snapshot.rate:,.0f}", style=palette.ACCENT)
    counts = Text(_tickets_of(snapshot.total), style="bold")
    counts.append(f" · {snapshot.open:,} open · {snapshot.waiting:,} waiting", style="default")
    grid.add_row(Text(note or title, style=palette.ACCENT), when, counts)
    return Panel(
        grid,
        box=box.ROUNDED,
        border_style=palette.ACCENT,
        title=f"[bold]{title}[/]" if note else None,
        title_align="left",
    )


def _channel_rows(snapshot: Snapshot) -> list[str]:
    present = {count.channel for count in snapshot.tickets}
    return [name for name in palette.CHANNELS if name in present] or ["phone"]


def _table(*, header: bool = True) -> Table:
    return Table(
        box=None, expand=True, show_header=header, header_style=palette.FAINT, padding=(0, 1, 0, 0), pad_edge=False
    )


def _panel(content: RenderableType, title: str, subtitle: str = "") -> Panel:
    return Panel(
        content,
        box=box.ROUNDED,
        border_style=palette.FAINT,
        title=f"[bold]{title}[/]",
        title_align="left",
        subtitle=subtitle or None,
        subtitle_align="right",
        padding=(0, 1),
    )


def _tickets(snapshot: Snapshot, channels: Sequence[str]) -> Panel:
    table = _table()
    table.add_column("channel", no_wrap=True)
    for urgency in palette.URGENCIES:
        table.add_column(Text(urgency, style=palette.URGENCY_STYLE[urgency]), justify="right", no_wrap=True)
    for name in ("open", "waiting", "owned"):
        table.add_column(name, justify="right", no_wrap=True)
    totals = [0] * (len(palette.URGENCIES) + 3)
    for channel in channels:
        counts = {count.urgency: count for count in snapshot.tickets if count.channel == channel}
        by_urgency = [counts[urgency].open if urgency in counts else 0 for urgency in palette.URGENCIES]
        sums = [sum(getattr(count, name) for count in counts.values()) for name in ("open", "waiting", "owned")]
        totals = [total + value for total, value in zip(totals, [*by_urgency, *sums], strict=True)]
        table.add_row(palette.channel(channel), *_urgency_cells(by_urgency), *_work_cells(sums))
    table.add_row(
        Text("all", style="bold"),
        *_urgency_cells(totals[:-3]),
        *_work_cells(totals[-3:]),
        style="bold",
        end_section=True,
    )
    oldest = snapshot.oldest_wait
    reasons = ", ".join(f"{line.tickets:,} {palette.waiting(line.reason, brief=True)}" for line in snapshot.queue)
    waiting = f"waiting, the oldest for {palette.span(oldest)}: {reasons}" if oldest is not None else "nobody waits"
    return _panel(table, "Open tickets", f"[{palette.FAINT}]{waiting}[/]")


def _urgency_cells(counts: Sequence[int]) -> list[Text]:
    return [
        Text(palette.number(count), style=palette.URGENCY_STYLE[urgency] if count else palette.FAINT)
        for urgency, count in zip(palette.URGENCIES, counts, strict=True)
    ]


def _work_cells(counts: Sequence[int]) -> list[Text]:
    styles = ("bold", palette.FAIR, palette.GOOD)
    return [
        Text(palette.number(count), style=style if count else palette.FAINT)
        for count, style in zip(counts, styles, strict=True)
    ]


def _promises(snapshot: Snapshot) -> Panel:
    table = _table()
    table.add_column("promise", no_wrap=True)
    for name, style in (
        ("running", ""),
        ("risk", palette.FAIR),
        ("late", palette.BAD),
        ("kept", palette.GOOD),
        ("broken", palette.BAD),
    ):
        table.add_column(Text(name, style=style), justify="right", no_wrap=True)
    table.add_column("in time", justify="right", no_wrap=True)
    for count in snapshot.clocks:
        table.add_row(palette.target(count.target), *_promise_cells(count))
    if not snapshot.clocks:
        table.add_row(Text("none yet", style=palette.FAINT))
    return _panel(table, "Promises")


def _promise_cells(count: ClockCount) -> list[Text]:
    cells = [
        (count.calm + count.at_risk + count.paused, "default"),
        (count.at_risk, palette.FAIR),
        (count.late, "bold " + palette.BAD),
        (count.kept, palette.GOOD),
        (count.broken + count.late, palette.BAD),
    ]
    texts = [Text(palette.number(value), style=style if value else palette.FAINT) for value, style in cells]
    return [*texts, Text(palette.percent(count.attainment), style=palette.share_style(count.attainment))]


def _due(snapshot: Snapshot, rows: int) -> Panel:
    table = _table()
    for name in ("ticket", "channel", "promise"):
        table.add_column(name, no_wrap=True)
    table.add_column("in", justify="right", no_wrap=True)
    table.add_column("owner", no_wrap=True, ratio=1)
    late = snapshot.late[: min(_LATE, max(rows // 3, 1))]
    for clock in late:
        table.add_row(
            Text(f"✗ {clock.external_id}"),
            palette.channel(clock.channel),
            palette.target(clock.target),
            Text(f"{palette.span(snapshot.now - clock.due_at)} late"),
            Text(clock.owner or "nobody"),
            style=palette.BAD,
        )
    for clock in snapshot.due[: max(rows - len(late), 0)]:
        left = clock.due_at - snapshot.now
        table.add_row(
            Text(
                ("▲ " if clock.is_warned else "  ") + clock.external_id,
                style=palette.URGENCY_STYLE.get(clock.urgency, "default"),
            ),
            palette.channel(clock.channel),
            palette.target(clock.target),
            Text(palette.span(left), style=palette.FAIR if clock.is_warned else "default"),
            Text(clock.owner or "nobody", style="default" if clock.owner else palette.FAINT),
        )
    if not snapshot.due and not late:
        table.add_row(Text("no clock runs", style=palette.FAINT))
    return _panel(table, "Due next", f"[{palette.FAINT}]✗ late, the newest · ▲ warned[/]")


def _agents(agents: Sequence[AgentLoad], rows: int) -> Panel:
    table = _table(header=False)
    table.add_column(no_wrap=True, width=1)
    table.add_column(no_wrap=True, ratio=1)
    table.add_column(no_wrap=True, width=_BAR)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    ordered = sorted(agents, key=lambda agent: (agent.status != "online", agent.tickets == 0, agent.key))
    shown = ordered if len(ordered) <= rows else ordered[: max(rows - 1, 1)]
    for agent in shown:
        online = agent.status == "online"
        table.add_row(
            Text("●" if online else "○", style=palette.GOOD if online else palette.FAINT),
            Text(agent.name, style="default" if online else palette.FAINT),
            Text(palette.bar(agent.share, _BAR), style=palette.load_style(agent.share) if online else palette.FAINT),
            Text(f"{agent.used}/{agent.capacity}", style="default" if agent.used else palette.FAINT),
            Text(_tickets_of(agent.tickets), style=palette.FAINT),
        )
    if len(shown) < len(ordered):
        table.add_row("", Text(f"and {len(ordered) - len(shown)} more", style=palette.FAINT))
    empty = Text("no roster yet: deskclock roster apply FILE", style=palette.FAINT)
    return _panel(
        table if agents else empty, "Owners", f"[{palette.FAINT}]{_online(agents)} of {len(agents)} at work[/]"
    )


def _tickets_of(count: int) -> str:
    return "1 ticket" if count == 1 else f"{count:,} tickets"


def _pages(snapshot: Snapshot, zone: ZoneInfo | None, rows: int) -> Panel:
    table = _table(header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for page in snapshot.pages[:rows]:
        sign, style, outcome = _outcome(page)
        table.add_row(
            Text(_short(page, zone), style=palette.FAINT),
            Text(_cut(f"{sign} {page.person or page.recipient}"), style=style),
            Text(f"{page.external_id} {palette.target(page.target)} {_why(page)}", style="default"),
            Text(outcome, style=style),
        )
    if not snapshot.pages:
        table.add_row(Text("nobody has been paged", style=palette.FAINT))
    totals = snapshot.page_totals
    return _panel(
        table,
        "Pages",
        f"[{palette.FAINT}]{totals.warnings:,} warnings · {totals.pages:,} pages · {totals.acknowledged:,} taken"
        + (f" · [{palette.BAD}]{totals.failed:,} failed[/]" if totals.failed else "")
        + "[/]",
    )


def _brief(length: timedelta) -> str:
    return palette.span(length).partition(" ")[0]


def _cut(text: str) -> str:
    return text if len(text) <= _PERSON else f"{text[: _PERSON - 1]}…"


def _short(page: PageLine, zone: ZoneInfo | None) -> str:
    words = palette.clock(page.due_at, zone).split()
    return f"{words[0]} {words[-1]}"


def _why(page: PageLine) -> str:
    if page.kind == "warning":
        return "at risk"
    again = f", step {page.step + 1}" if page.step else ""
    said = {"breached": "late", "warned": "at risk", "unroutable": "nobody takes it", "manual": "help is wanted"}
    return said.get(page.reason, page.reason) + again


def _outcome(page: PageLine) -> tuple[str, str, str]:
    if page.acknowledged_at is not None:
        return (
            "✓",
            palette.GOOD,
            f"taken in {_brief(page.acknowledged_at - (page.accepted_at or page.due_at))}",
        )
    if page.kind == "warning":
        return "▲", palette.FAIR, "told" if page.accepted_at else page.state
    match page.state:
        case "accepted":
            return "◆", palette.BAD, "paged"
        case "failed":
            return "✗", "bold " + palette.BAD, "failed"
        case "cancelled":
            return "-", palette.FAINT, "moot"
        case state:
            return "…", palette.FAINT, state


def _progress(progress: float, width: int) -> Text:
    text = Text(" ")
    text.append(palette.bar(progress, max(width - 9, 10)), style=palette.ACCENT)
    text.append(f" {progress * 100:5.1f} %")
    return text
