"""How good answers are on texts that were held out, beside two ways to answer without a look at them.

Macro-F1 alone flatters: guessing at random beats always saying the most frequent class by it. So a model has to beat, beside
that class, its own answers dealt out blindly, and by more than drawing other groups of texts explains.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.router.domain.weights import Line, Report, Sure

DRAWS = 1_000
"""How often the groups are drawn anew for the interval."""
_LOW, _HIGH = 0.005, 0.995
_SURE = (0.5, 0.6, 0.7, 0.8, 0.9)

Classes = NDArray[np.int64]
Counts = NDArray[Any]


def report(
    names: tuple[str, ...],
    truth: Classes,
    said: Classes,
    confidence: NDArray[np.float64],
    groups: Classes,
    *,
    folds: int,
    seed: int,
) -> Report:
    """What the answers `said` are worth: classes are numbers in `names`, `groups` those of near-duplicates."""
    support, answers, right = _counts(truth, said, len(names), np.ones(len(truth)))
    majority = int(support.argmax())
    macro, usual, blind = _scores(support, answers, right, majority)
    low, high = _interval(truth, said, groups, len(names), majority, seed)
    _, group_numbers = np.unique(groups, return_inverse=True)
    return Report(
        rows=len(truth),
        groups=int(group_numbers.max(initial=-1)) + 1,
        folds=folds,
        classes=tuple(
            Line(
                name=name,
                precision=_share(right[number], answers[number]),
                recall=_share(right[number], support[number]),
                f1=_share(2 * right[number], support[number] + answers[number]),
                support=int(support[number]),
            )
            for number, name in enumerate(names)
        ),
        accuracy=_share(right.sum(), len(truth)),
        macro_f1=_rounded(macro),
        majority=names[majority],
        majority_f1=_rounded(usual),
        blind_f1=_rounded(blind),
        gain=_rounded(macro - max(usual, blind)),
        gain_low=_rounded(low),
        gain_high=_rounded(high),
        sure=tuple(_sure(limit, confidence, truth == said) for limit in _SURE),
    )


def _sure(limit: float, confidence: NDArray[np.float64], is_right: NDArray[np.bool_]) -> Sure:
    answered = confidence >= limit
    return Sure(
        confidence=limit,
        answered=_share(answered.sum(), len(answered)),
        right=_share((answered & is_right).sum(), answered.sum()),
    )


def _interval(
    truth: Classes, said: Classes, groups: Classes, classes: int, majority: int, seed: int
) -> tuple[float, float]:
    """Of the gain over the better baseline, by drawing as many groups as there are, with repetition, again and again."""
    chance = np.random.default_rng(seed)
    names, number_of = np.unique(groups, return_inverse=True)
    gains = np.empty(DRAWS)
    for draw in range(DRAWS):
        times = np.bincount(chance.integers(len(names), size=len(names)), minlength=len(names))
        macro, usual, blind = _scores(*_counts(truth, said, classes, times[number_of].astype(np.float64)), majority)
        gains[draw] = macro - max(usual, blind)
    return float(np.quantile(gains, _LOW)), float(np.quantile(gains, _HIGH))


def _counts(truth: Classes, said: Classes, classes: int, weight: Counts) -> tuple[Counts, Counts, Counts]:
    """By class: rows that are of it, rows said to be, and rows rightly said to be."""
    hit = truth == said
    support: Counts = np.bincount(truth, weight, classes)
    answers: Counts = np.bincount(said, weight, classes)
    right: Counts = np.bincount(truth[hit], weight[hit], classes)
    return support, answers, right


def _scores(support: Counts, answers: Counts, right: Counts, majority: int) -> tuple[float, float, float]:
    """Macro-F1 of the answers, of always saying the most frequent class, and of the same answers dealt out blindly."""
    total = max(float(support.sum()), 1.0)
    both = np.maximum(support + answers, 1e-12)
    usual = 2 * support[majority] / (support[majority] + total) / len(support)
    return float((2 * right / both).mean()), float(usual), float((2 * support * answers / total / both).mean())


def _share(part: float, whole: float) -> float:
    return _rounded(part / whole) if whole else 0.0


def _rounded(number: float) -> float:
    return round(float(number), 4)
