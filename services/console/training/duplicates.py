"""Near-duplicates: the same text but for a name or a number, a template filled in anew. They are one group.

Texts that share most of their 5-character shingles (digits all alike) agree in most of 64 minimal hashes (MinHash); 16
bands of 4 find the candidates. Of two texts that share 70 % of their shingles, 1 pair in 100 is missed, of 80 %, 1 in 5,000.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.55
"""Texts that agree in this share of their minimal hashes are near-duplicates."""
_HASHES = 64
_BAND = 4
_SHINGLE = 5
_MOST_IN_BUCKET = 16
_BASE = np.uint64(1_000_003)

Codes = NDArray[np.uint64]
Signature = NDArray[np.uint32]

_digits = re.compile(r"\d+")
_random = np.random.default_rng(20_260_101)
_FACTORS: Codes = _random.integers(1, 2**63, size=(_HASHES, 1), dtype=np.uint64) | np.uint64(1)
_ADDENDS: Codes = _random.integers(1, 2**63, size=(_HASHES, 1), dtype=np.uint64)


def grouped(texts: Sequence[str], tick: Callable[[], None]) -> NDArray[np.int64]:
    """The number of each text's group; groups are numbered from 0 in the order in which they first appear."""
    parent = list(range(len(texts)))
    same: dict[str, int] = {}
    signatures = np.zeros((len(texts), _HASHES), dtype=np.uint32)
    buckets: dict[bytes, list[int]] = {}
    for number, text in enumerate(texts):
        tick()
        plain = normal(text)
        first = same.setdefault(plain, number)
        if first != number:
            parent[number] = first
            continue
        signatures[number] = signature(plain)
        for key in _bands(signatures[number]):
            bucket = buckets.setdefault(key, [])
            for other in bucket:
                if _root(parent, other) != _root(parent, number) and _are_alike(signatures[other], signatures[number]):
                    parent[_root(parent, number)] = _root(parent, other)
            if len(bucket) < _MOST_IN_BUCKET:
                bucket.append(number)
    numbers: dict[int, int] = {}
    return np.array(
        [numbers.setdefault(_root(parent, number), len(numbers)) for number in range(len(texts))], dtype=np.int64
    )


def normal(text: str) -> str:
    """What is compared: lower case, digits all alike, spaces single."""
    return " ".join(_digits.sub("0", text.lower()).split())


def signature(plain: str) -> Signature:
    """Minimal hashes of a text's shingles; of a shorter text, of itself."""
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    windows = max(len(codes) - _SHINGLE + 1, 1)
    shingles = np.zeros(windows, dtype=np.uint64)
    for at in range(min(_SHINGLE, len(codes))):
        shingles = shingles * _BASE + codes[at : at + windows]
    mixed = np.unique(shingles) * _FACTORS + _ADDENDS
    least: Signature = (mixed >> np.uint64(32)).min(axis=1).astype(np.uint32)
    return least


def _bands(mine: Signature) -> list[bytes]:
    return [bytes((band,)) + mine[band : band + _BAND].tobytes() for band in range(0, _HASHES, _BAND)]


def _are_alike(one: Signature, other: Signature) -> bool:
    return float((one == other).mean()) >= ALIKE


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        parent[number] = number = parent[parent[number]]
    return number
