"""What a trained model makes of texts: numpy alone, no network, under half a millisecond a ticket.

Only loaded where a model is there, so that nobody else pays for numpy.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.router.domain import features
from services.router.domain.weights import BadModel, Field, Weights

AT_ONCE = 64
"""Texts hashed together; more gain nothing and take memory."""
_PRECISION = 4
_LARGEST = np.float32(1e9)

Numbers = NDArray[np.float32]


class Opinion(NamedTuple):
    """The likeliest class, and how likely it is (0 to 1)."""

    name: str
    confidence: float


class Scorer:
    """A model, ready to be asked; it may be asked from several threads at once."""

    def __init__(self, weights: Weights) -> None:
        """Raises BadModel for numbers that can't be calculated with."""
        self.header = weights.header
        columns, places = weights.header.columns, weights.header.shape.places
        numbers = np.frombuffer(weights.raw, dtype="<f4", count=2 * columns)
        if not (np.abs(numbers) <= _LARGEST).all():  # what is no number is not either
            raise BadModel("its weights can't be calculated with: train it again")
        self._biases, self._scales = numbers[:columns], numbers[columns:]
        self._weights = np.frombuffer(weights.raw, dtype=np.int8, offset=8 * columns).reshape(places, columns)

    def score(self, texts: Sequence[str]) -> list[dict[Field, Opinion]]:
        """Each head's opinion of each text; a text without words has the opinion that its biases give."""
        scored = []
        for row in self.logits(texts):
            opinions, start = {}, 0
            for head in self.header.heads:
                mine = row[start : start + len(head.classes)]
                start += len(head.classes)
                best = int(mine.argmax())
                confidence = 1 / float(np.exp((mine - mine[best]) / head.temperature).sum())
                opinions[head.field] = Opinion(head.classes[best], round(confidence, _PRECISION))
            scored.append(opinions)
        return scored

    def logits(self, texts: Sequence[str]) -> Numbers:
        """Scores by text and class, all heads beside each other, before the temperature."""
        found = np.empty((len(texts), self.header.columns), dtype=np.float32)
        for start in range(0, len(texts), AT_ONCE):
            for row, counted in enumerate(features.count(texts[start : start + AT_ONCE], self.header.shape), start):
                found[row] = counted.values @ self._weights[counted.places].astype(np.float32)
        found *= self._scales
        found += self._biases
        return found


def packed(biases: Numbers, weights: Numbers) -> bytes:
    """Weights, by place and class, in the form of the file: the largest of each class becomes 127."""
    scales = np.maximum(np.abs(weights).max(axis=0), np.finfo(np.float32).tiny) / np.float32(127)
    rounded = np.rint(weights / scales).astype(np.int8)
    return b"".join((biases.astype("<f4").tobytes(), scales.astype("<f4").tobytes(), rounded.tobytes()))


def unpacked(raw: bytes, columns: int) -> tuple[Numbers, Numbers]:
    """Biases and weights, as coarse as `packed` has made them."""
    numbers = np.frombuffer(raw, dtype="<f4", count=2 * columns)
    weights = np.frombuffer(raw, dtype=np.int8, offset=8 * columns).reshape(-1, columns)
    return numbers[:columns], weights * numbers[columns:]
