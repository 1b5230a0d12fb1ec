"""Texts with a known structure to learn from, and models that know just a few words."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.router.domain import features, weights
from services.router.domain.scoring import packed
from services.router.domain.shape import Shape
from services.router.domain.weights import Field, Head, Header, Line, Report
from shared.contract.events import Opened

THEMES = ("billing", "shipping", "bug", "account")
SHAPE = Shape(word_bits=12, character_bits=12)


def words(chance: random.Random, count: int) -> list[str]:
    """Words of nobody's language."""
    return ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 9))) for _ in range(count)]


def tickets(count: int, seed: int, *, noise: bool = False, themes: Sequence[str] = THEMES) -> list[tuple[str, str]]:
    """Texts with their themes: each theme has 40 words of its own, a sixth of every text; or themes dealt out as noise."""
    chance = random.Random(seed)
    common, own = words(chance, 2_000), {theme: words(chance, 40) for theme in themes}
    found = []
    for _ in range(count):
        theme = chance.choice(themes)
        text = " ".join(
            chance.choice(own[theme]) if chance.random() < 1 / 6 else chance.choice(common) for _ in range(40)
        )
        found.append((text, chance.choice(themes) if noise else theme))
    return found


def report(names: Sequence[str], *, gain_low: float) -> Report:
    """What a model might say of itself."""
    return Report(
        rows=100,
        groups=100,
        folds=5,
        classes=tuple(Line(name=name, precision=0.9, recall=0.8, f1=0.85, support=50) for name in names),
        accuracy=0.9,
        macro_f1=0.85,
        majority=names[0],
        majority_f1=0.3,
        blind_f1=0.4,
        gain=0.45,
        gain_low=gain_low,
        gain_high=0.5,
    )


def model(
    knows: Mapping[Field, Mapping[str, str]],
    *,
    learned: bool | Mapping[Field, bool] = True,
    seed: int = 0,
    shape: Shape = SHAPE,
) -> bytes:
    """The file of a model that gives a text with one of its words the class of it, and is sure; else it is unsure."""
    heads, biases, columns = [], [], []
    for field, classes in knows.items():
        names = tuple(classes)
        is_learned = learned if isinstance(learned, bool) else learned[field]
        heads.append(
            Head(
                field=field, classes=names, temperature=1.0, report=report(names, gain_low=0.4 if is_learned else -0.1)
            )
        )
        for name in names:
            column = np.zeros(shape.places, dtype=np.float32)
            for counted in features.count([classes[name]], shape):
                column[counted.places[0]] = 40 * counted.values[0]
            columns.append(column)
            biases.append(0.0)
    header = Header(
        shape=shape, heads=tuple(heads), rows=100, used=100, refused=0, fingerprint=f"{seed:064x}", made_by="a test"
    )
    return weights.write(header, packed(np.array(biases, dtype=np.float32), np.stack(columns, axis=1)))


KNOWS: dict[Field, dict[str, str]] = {
    Field.THEME: {"billing": "invoice", "shipping": "parcel"},
    Field.URGENCY: {"urgent": "fire", "low": "newsletter", "normal": "whatever"},
}


def saying(text: str, **fields: Any) -> Opened:
    """A ticket by email with this text."""
    return Opened(**{"channel": "email", "text": text, **fields})
