"""Attainment against load for every policy, as an SVG that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from html import escape

from tests.bench.routing.evidence import Point
from tests.bench.routing.policies import OURS

_WIDTH, _HEIGHT = 430, 330
_LEFT, _TOP, _GAP = 52, 46, 70
_LEGEND = 250
_COLOURS = (
    "#9a6324", "#e6194b", "#f58231", "#808000", "#3cb44b", "#469990", "#42a5f5", "#4363d8", "#911eb4",
)  # fmt: skip
_OURS = "#111111"
_DASHES = ("", "6 3", "2 3")


def render(curves: Mapping[str, Sequence[Point]]) -> str:
    """One panel for each team, side by side, and a legend."""
    lowest = min(value for points in curves.values() for point in points for value in point.attainment.values())
    floor = int(lowest * 10) / 10
    policies = list(next(iter(curves.values()))[0].attainment)
    width = _LEFT + len(curves) * (_WIDTH + _GAP) + _LEGEND
    height = _TOP + _HEIGHT + 56
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (title, points) in enumerate(curves.items()):
        parts += _panel(title, points, policies, _LEFT + number * (_WIDTH + _GAP), floor)
    parts += _legend(policies, _LEFT + len(curves) * (_WIDTH + _GAP) - _GAP + 24)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(title: str, points: Sequence[Point], policies: Sequence[str], left: float, floor: float) -> list[str]:
    loads = [point.load for point in points]
    span = max(loads[-1] - loads[0], 1e-9)

    def x(load: float) -> float:
        return left + (load - loads[0]) / span * _WIDTH

    def y(part: float) -> float:
        return _TOP + (1 - part) / (1 - floor) * _HEIGHT

    found = [f'<text x="{left}" y="{_TOP - 18}" font-size="14" font-weight="bold">{escape(title)}</text>']
    for step in range(round((1 - floor) * 10) + 1):
        part = 1 - step / 10
        found += [
            f'<line x1="{left}" x2="{left + _WIDTH}" y1="{y(part):.1f}" y2="{y(part):.1f}" stroke="#dddddd"/>',
            f'<text x="{left - 8}" y="{y(part) + 4:.1f}" text-anchor="end">{part:.0%}</text>',
        ]
    for load in loads:
        found.append(f'<text x="{x(load):.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{load:g}</text>')
    middle = left + _WIDTH / 2
    found.append(f'<text x="{middle}" y="{_TOP + _HEIGHT + 38}" text-anchor="middle">load</text>')
    for number, policy in enumerate(policies):
        path = " ".join(f"{x(point.load):.1f},{y(point.attainment[policy]):.1f}" for point in points)
        found.append(f'<polyline points="{path}" fill="none" {_stroke(number, policy)}/>')
    return found


def _legend(policies: Sequence[str], left: float) -> list[str]:
    found = [f'<text x="{left}" y="{_TOP - 18}" font-size="14" font-weight="bold">answered in target</text>']
    for row, (number, policy) in enumerate(reversed(list(enumerate(policies)))):
        y = _TOP + 12 + row * 22
        weight = ' font-weight="bold"' if policy == OURS else ""
        found += [
            f'<line x1="{left}" x2="{left + 34}" y1="{y - 4}" y2="{y - 4}" {_stroke(number, policy)}/>',
            f'<text x="{left + 42}" y="{y}"{weight}>{escape(policy)}</text>',
        ]
    return found


def _stroke(number: int, policy: str) -> str:
    if policy == OURS:
        return f'stroke="{_OURS}" stroke-width="3.5"'
    dash = _DASHES[number % len(_DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{_COLOURS[number % len(_COLOURS)]}" stroke-width="1.8"{dashed}'
