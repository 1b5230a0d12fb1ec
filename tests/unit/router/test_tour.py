"""A tour visits every kind of work once, wherever it begins."""

import pytest

from services.router.domain.tour import BEFORE_ALL, Tour

KINDS = [3, 5, 8, 13, 21, 34]


@pytest.mark.parametrize("size", [1, 2, 4, 6, 7])
@pytest.mark.parametrize("start", [BEFORE_ALL, 3, 4, 13, 34, 99])
def test_every_kind_is_visited_from_every_start(start: int, size: int) -> None:
    """From the start to the end, then from the beginning to the start; kinds of the last stretch may come twice."""
    tour = Tour(start)
    visited: list[int] = []
    stretches = 0
    while True:
        stretch = [kind for kind in KINDS if kind > tour.after][:size]
        visited += stretch
        stretches += 1
        if not tour.go_on(stretch[-1] if len(stretch) == size else None):
            break

    later = [kind for kind in KINDS if kind > start]
    assert later == visited[: len(later)]
    assert set(KINDS) == set(visited)
    assert len(KINDS) // size + 2 >= stretches
