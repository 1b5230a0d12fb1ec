"""Hashed word and character n-grams of texts, as scikit-learn's HashingVectorizer counts them, with numpy alone.

All n-grams of a batch are windows on one array of bytes and are hashed together (MurmurHash3, 32 bits, seed 0), so that
a ticket takes a fraction of a millisecond. Only loaded where a model is there.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.router.domain.shape import Shape

LONGEST_TEXT = 1_000
"""Characters of a ticket that are read, subject first; what comes later says little more and costs as much."""
WORDS = r"(?u)\b\w{2,40}\b"
"""What counts as a word."""
WORD_GRAMS = (1, 2)
CHARACTER_GRAMS = (3, 5)
"""Inside of words, with a space before and after each (`char_wb`)."""

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint32]
Places = NDArray[np.int32]
Windows = NDArray[np.int64]
Numbers = NDArray[np.float32]

_words_in = re.compile(WORDS).findall
_C1 = np.uint32(0xCC9E2D51)
_C2 = np.uint32(0x1B873593)
_TAILS = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], dtype=np.uint32)
_ONE = np.float32(1)
_kept = threading.local()
_SPACE = ord(" ")
_PADDING = b"\0\0\0\0"


class Counted(NamedTuple):
    """The n-grams of one text; the same place may come more than once, and then its values add up."""

    places: Places
    values: Numbers


def text_of(subject: str, text: str) -> str:
    """What is read of a ticket."""
    return f"{subject}\n{text}"[:LONGEST_TEXT] if subject else text[:LONGEST_TEXT]


def count(texts: Sequence[str], shape: Shape) -> Iterator[Counted]:
    """The n-grams of each text in turn; words and characters are brought to length 1 each, as the vectorizer does."""
    lowered = [text[:LONGEST_TEXT].lower() for text in texts]
    scratch = _scratch(shape.places)
    words = _word_grams(lowered)
    characters = _character_grams(lowered)
    hashes = hashed(b"".join((words.text, characters.text)), *_joined(words, characters))
    split = len(words.starts)
    sorts = (
        _Sort(hashes[:split], words.ends_of_texts, 1 << shape.word_bits, 0),
        _Sort(hashes[split:], characters.ends_of_texts, 1 << shape.character_bits, 1 << shape.word_bits),
    )
    for number in range(len(texts)):
        halves = [sort.of(number, scratch) for sort in sorts]
        yield Counted(
            np.concatenate([half.places for half in halves]), np.concatenate([half.values for half in halves])
        )


def _scratch(places: int) -> Numbers:
    """Zeros to count in, kept for each thread: to ask the system for so many anew takes as long as all else together."""
    kept: Numbers | None = getattr(_kept, "zeros", None)
    if kept is None or len(kept) < places:
        kept = _kept.zeros = np.zeros(places, dtype=np.float32)
    return kept


class _Grams(NamedTuple):
    """Windows on a text: where each begins, how many bytes it has, and how many windows there are up to each text's end."""

    text: bytes
    starts: Places
    lengths: Places
    ends_of_texts: Sequence[int]


class _Sort:
    """The hashed n-grams of one sort, of a whole batch."""

    def __init__(self, hashes: Hashes, ends_of_texts: Sequence[int], places: int, offset: int) -> None:
        signed = hashes.view(np.int32)
        self._places = (np.abs(signed) & np.int32(places - 1)) + np.int32(
            offset
        )  # the lowest number ends at 0, there too
        self._signs = np.where(signed >= 0, _ONE, -_ONE)
        self._bounds = (0, *ends_of_texts)

    def of(self, number: int, scratch: Numbers) -> Counted:
        """The n-grams of one text; `scratch` is all zeros, before and after."""
        mine = slice(self._bounds[number], self._bounds[number + 1])
        places, signs = self._places[mine], self._signs[mine]
        np.add.at(scratch, places, signs)
        length = float(np.sqrt(signs @ scratch[places]))  # each place as often as it was added to: the sum of squares
        scratch[places] = 0
        return Counted(places, np.divide(signs, np.float32(length or 1), dtype=np.float32))


def _joined(first: _Grams, second: _Grams) -> tuple[Places, Places]:
    starts = np.concatenate([first.starts, second.starts + len(first.text)])
    return starts, np.concatenate([first.lengths, second.lengths])


def _word_grams(texts: Sequence[str]) -> _Grams:
    """Words and pairs of neighbours; pairs are windows over two words and the space between them."""
    found = [_words_in(text) for text in texts]
    counts = np.array([len(words) for words in found], dtype=np.int64)
    encoded = " ".join([word for words in found for word in words]).encode()
    sizes = (
        np.diff(np.flatnonzero(np.frombuffer(b" %b " % encoded, dtype=np.uint8) == _SPACE)) - 1
        if encoded
        else counts[:0]
    )
    ends = np.cumsum(sizes + 1) - 1
    starts = ends - sizes
    text_of_word = np.repeat(np.arange(len(texts)), counts)
    paired = np.flatnonzero(text_of_word[1:] == text_of_word[:-1])
    all_starts = np.concatenate([starts, starts[paired]])
    all_ends = np.concatenate([ends, ends[paired + 1]])
    order = np.argsort(np.concatenate([text_of_word, text_of_word[paired]]), kind="stable")
    windows = counts + np.maximum(counts - 1, 0)
    return _Grams(encoded, all_starts[order], (all_ends - all_starts)[order], np.cumsum(windows).tolist())


def _character_grams(texts: Sequence[str]) -> _Grams:
    """Every window of 3 to 5 characters inside a word with its spaces."""
    words = [text.split() for text in texts]
    padded = [f" {'  '.join(mine)} " if mine else "" for mine in words]
    joined = "".join(padded).encode()
    sizes = np.array([len(word) for mine in words for word in mine], dtype=np.int64) + 2
    is_start = (np.frombuffer(joined, dtype=np.uint8) & 0xC0) != 0x80  # noqa: PLR2004 - UTF-8: all but bytes that continue a character
    offsets = np.append(np.flatnonzero(is_start), len(joined))
    left = np.repeat(np.cumsum(sizes), sizes) - np.arange(int(sizes.sum()))  # characters to the end of the word
    text_of_character = np.repeat(np.arange(len(texts)), [len(text) for text in padded])
    shortest, longest = CHARACTER_GRAMS
    starts = [np.flatnonzero(left >= n) for n in range(shortest, longest + 1)]
    ends = [offsets[found + n] for found, n in zip(starts, range(shortest, longest + 1), strict=True)]
    every = np.concatenate(starts)
    texts_of = text_of_character[every]
    firsts = offsets[every]
    lasts = np.concatenate(ends)
    if len(texts) > 1:
        order = np.argsort(texts_of, kind="stable")
        firsts, lasts = firsts[order], lasts[order]
    windows = np.bincount(texts_of, minlength=len(texts)).tolist()
    return _Grams(joined, firsts, lasts - firsts, list(accumulate(windows)))


def hashed(text: bytes, starts: Places, lengths: Places) -> Hashes:
    """MurmurHash3 (x86, 32 bits, seed 0) of windows on the text, each of `lengths` bytes from `starts` on."""
    raw = np.frombuffer(text + _PADDING, dtype=np.uint8).astype(np.uint32)
    word = raw[:-3] | raw[1:-2] << np.uint32(8) | raw[2:-1] << np.uint32(16) | raw[3:] << np.uint32(24)
    mixed = _mixed(word)
    state = np.zeros(len(starts), dtype=np.uint32)
    blocks = lengths >> 2
    for done in range(int(blocks.max(initial=0))):
        live = np.flatnonzero(blocks > done)
        part = state[live] ^ mixed[starts[live] + 4 * done]
        part = part << np.uint32(13) | part >> np.uint32(19)
        state[live] = part * np.uint32(5) + np.uint32(0xE6546B64)
    rest = word[starts + 4 * blocks] & _TAILS[lengths & 3]
    state ^= _mixed(rest)  # nothing left mixes to nothing
    state ^= lengths.astype(np.uint32)
    state ^= state >> np.uint32(16)
    state *= np.uint32(0x85EBCA6B)
    state ^= state >> np.uint32(13)
    state *= np.uint32(0xC2B2AE35)
    state ^= state >> np.uint32(16)
    return state


def _mixed(block: Hashes) -> Hashes:
    block = block * _C1
    block = block << np.uint32(15) | block >> np.uint32(17)
    return block * _C2
