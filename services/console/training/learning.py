"""From labelled texts to a model: a linear model on hashed n-grams, by scikit-learn (the extra `train`).

What is said of it is held-out: rows are dealt into five folds, near-duplicates together, and each fold is judged by a model
made from the others, with weights as coarse as in the file. The model itself then learns from all rows.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import StratifiedGroupKFold

from services.console.training import measuring
from services.console.training.history import Row
from services.router.domain import features
from services.router.domain.scoring import AT_ONCE, packed, unpacked
from services.router.domain.shape import Shape
from services.router.domain.weights import MOST_CLASSES, Field, Head

FOLDS = 5
FEWEST_ROWS = 10
"""Of a class; and in as many groups as there are folds."""
FEWEST_GROUPS = 50
"""Of a head: from fewer nobody could tell luck from knowledge."""
WEIGHTS = 2_000_000
"""Numbers in a file, one byte each before it is packed; more classes have fewer places."""
STEPS = FOLDS + 1
"""How often a head is learned."""
_REGULARITY = 10.0
"""As `C` of a logistic regression: how freely weights may grow."""
_LOOKS = 20_000
"""So many rows are looked at in all; of more rows, each six times."""
_FEWEST_EPOCHS, _MOST_EPOCHS = 6, 30
_NEVER = -1e3
_MOST_WORD_BITS = 15
_FEWEST_WORD_BITS = 6
_TEMPERATURES = np.geomspace(0.02, 50, 241)

Numbers = NDArray[np.float32]


class Left(NamedTuple):
    """What is not learned, and why."""

    what: str
    reason: str


class Learned(NamedTuple):
    """One head with its weights."""

    head: Head
    biases: Numbers
    weights: Numbers
    """By place and class."""


class Task(NamedTuple):
    """What one head learns from."""

    field: Field
    classes: tuple[str, ...]
    rows: NDArray[np.int64]
    """Numbers of the rows that have one of these classes."""
    truth: NDArray[np.int64]


def tasks(rows: Sequence[Row], groups: NDArray[np.int64]) -> tuple[list[Task], list[Left]]:
    """What can be learned from these rows, and what can't: classes that are too rare or too many, heads with too little."""
    found: list[Task] = []
    left: list[Left] = []
    for field in Field:
        labelled = [(number, row.labels[field]) for number, row in enumerate(rows) if field in row.labels]
        if not labelled:
            continue
        classes = _classes(field, labelled, groups, left)
        numbers = {name: number for number, name in enumerate(classes)}
        mine = [(number, numbers[name]) for number, name in labelled if name in numbers]
        kept = np.array([number for number, _ in mine], dtype=np.int64)
        if len(classes) < 2:  # noqa: PLR2004 - what is there to tell apart
            left.append(Left(field, f"{len(classes)} of its classes can be learned; two are the least"))
        elif len(np.unique(groups[kept])) < FEWEST_GROUPS:
            known = len(np.unique(groups[kept]))
            reason = f"{len(kept):,} rows are {known} texts in variations, and {FEWEST_GROUPS} are the least"
            left.append(Left(field, reason))
        else:
            truth = np.array([number for _, number in mine], dtype=np.int64)
            found.append(Task(field, classes, kept, truth))
    return found, left


def _classes(
    field: Field, labelled: Sequence[tuple[int, str]], groups: NDArray[np.int64], left: list[Left]
) -> tuple[str, ...]:
    counts = Counter(name for _, name in labelled)
    spread: dict[str, set[int]] = {}
    for number, name in labelled:
        spread.setdefault(name, set()).add(int(groups[number]))
    frequent = [name for name, n in counts.items() if n >= FEWEST_ROWS and len(spread[name]) >= FOLDS]
    for name in sorted(counts.keys() - set(frequent)):
        reason = f"{counts[name]} rows in {len(spread[name])} texts: {FEWEST_ROWS} in {FOLDS} are the least"
        left.append(Left(f"{field} `{name}`", reason))
    frequent.sort(key=lambda name: (-counts[name], name))
    left.extend(
        Left(f"{field} `{name}`", f"only the {MOST_CLASSES} most frequent are learned")
        for name in frequent[MOST_CLASSES:]
    )
    return tuple(sorted(frequent[:MOST_CLASSES]))


def shape_for(classes: int) -> Shape:
    """As many places as keep the file small."""
    bits = _MOST_WORD_BITS
    while bits > _FEWEST_WORD_BITS and classes * (3 << bits) > WEIGHTS:
        bits -= 1
    return Shape(word_bits=bits, character_bits=bits + 1)


def matrix(texts: Sequence[str], shape: Shape, tick: Callable[[], None]) -> Any:
    """Texts as sparse rows of counted n-grams."""
    parts = []
    for start in range(0, len(texts), AT_ONCE):
        counted = list(features.count(texts[start : start + AT_ONCE], shape))
        ends = np.cumsum([0, *(len(row.places) for row in counted)], dtype=np.int32)
        places, values = (
            np.concatenate([row.places for row in counted]),
            np.concatenate([row.values for row in counted]),
        )
        part = scipy.sparse.csr_matrix((values, places, ends), shape=(len(counted), shape.places))
        part.sum_duplicates()
        parts.append(part)
        for _ in counted:
            tick()
    return scipy.sparse.vstack(parts, format="csr")


def learn(task: Task, counted: Any, groups: NDArray[np.int64], seed: int, step: Callable[[], None]) -> Learned:
    """One head, judged by cross-validation; `step` is called after each of the six times it is learned."""
    mine = counted if len(task.rows) == counted.shape[0] else counted[task.rows]
    mine_groups, classes = groups[task.rows], len(task.classes)
    logits = np.full((len(task.rows), classes), _NEVER, dtype=np.float64)
    deal = StratifiedGroupKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    for seen, held_out in deal.split(mine, task.truth, mine_groups):
        biases, weights = unpacked(packed(*_fit(mine[seen], task.truth[seen], classes, seed)), classes)
        logits[held_out] = mine[held_out] @ weights + biases
        step()
    temperature = _temperature(logits, task.truth)
    chances = _chances(logits, temperature)
    report = measuring.report(
        task.classes,
        task.truth,
        logits.argmax(axis=1),
        chances.max(axis=1),
        mine_groups,
        folds=FOLDS,
        seed=seed,
    )
    biases, weights = _fit(mine, task.truth, classes, seed)
    step()
    return Learned(
        Head(field=task.field, classes=task.classes, temperature=temperature, report=report), biases, weights
    )


def _fit(counted: Any, truth: NDArray[np.int64], classes: int, seed: int) -> tuple[Numbers, Numbers]:
    """Biases and weights by place and class; a class that isn't among the rows is never said."""
    rows = len(truth)
    biases = np.full(classes, _NEVER, dtype=np.float32)
    weights = np.zeros((counted.shape[1], classes), dtype=np.float32)
    if len(known := np.unique(truth)) == 1:
        biases[known] = 0
        return biases, weights
    epochs = min(max(_LOOKS // rows, _FEWEST_EPOCHS), _MOST_EPOCHS)
    model = SGDClassifier(
        loss="log_loss",
        alpha=1 / (_REGULARITY * rows),
        max_iter=epochs,
        tol=None,
        random_state=seed,
        average=False,
        n_jobs=-1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(counted, truth)
    if len(model.classes_) == 2:  # noqa: PLR2004 - one line then tells both apart
        no, yes = model.classes_
        biases[[no, yes]] = -model.intercept_[0] / 2, model.intercept_[0] / 2
        weights[:, no], weights[:, yes] = -model.coef_[0] / 2, model.coef_[0] / 2
    else:
        biases[model.classes_] = model.intercept_
        weights[:, model.classes_] = model.coef_.T
    return biases, weights


def _temperature(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The one under which the held-out truth is likeliest."""
    at = np.arange(len(truth))
    losses = [-np.log(np.maximum(_chances(logits, t)[at, truth], 1e-12)).mean() for t in _TEMPERATURES]
    return round(float(_TEMPERATURES[int(np.argmin(losses))]), 6)


def _chances(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    raised = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    chances: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return chances
