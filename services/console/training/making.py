"""From a history to a model's file: near-duplicates, n-grams, one head after the other; told how far it is."""

from importlib.metadata import version

import numpy as np
from msgspec import Struct

from services.console.training import duplicates, learning
from services.console.training.history import History
from services.console.training.learning import Left
from services.console.training.progress import Bar
from services.router.domain import weights
from services.router.domain.scoring import packed
from services.router.domain.weights import Header


class Made(Struct, frozen=True, kw_only=True):
    """What came of a history."""

    header: Header | None
    """None where there was nothing to learn from."""
    file: bytes = b""
    left: tuple[Left, ...] = ()


def make(history: History, seed: int, bar: Bar) -> Made:
    """Learn whatever can be learned; the same history and seed make the same file."""
    texts = [row.text for row in history.used]
    groups = duplicates.grouped(texts, bar.begin("looking for near-duplicates", len(texts)))
    tasks, left = learning.tasks(history.used, groups)
    if not tasks:
        return Made(header=None, left=tuple(left))
    shape = learning.shape_for(sum(len(task.classes) for task in tasks))
    counted = learning.matrix(texts, shape, bar.begin("counting n-grams", len(texts)))
    learned = [
        learning.learn(task, counted, groups, seed, bar.begin(f"learning {task.field}", learning.STEPS))
        for task in tasks
    ]
    header = Header(
        shape=shape,
        heads=tuple(item.head for item in learned),
        rows=history.rows,
        used=len(history.used),
        refused=history.faults,
        fingerprint=history.fingerprint,
        languages=history.languages,
        seed=seed,
        made_by=f"deskclock {version('deskclock')}",
    )
    raw = packed(
        np.concatenate([item.biases for item in learned]), np.concatenate([item.weights for item in learned], axis=1)
    )
    return Made(header=header, file=weights.write(header, raw), left=tuple(left))
