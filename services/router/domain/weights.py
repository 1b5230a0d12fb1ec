"""The file of a trained model. Nothing in it is ever run; the same rows and the same seed make the same file.

`DCKMODEL`, the header's length (4 bytes, big-endian), the header (`Header` as JSON), the weights packed with zlib, SHA-256 of
all that. Unpacked, for the classes of all heads one after the other: float32 biases, float32 scales, then int8 weights by
place and class (little-endian; a weight is its int8 times the scale of its class).
"""

import hashlib
import struct
import zlib
from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from services.router.domain.shape import Shape
from shared.contract.tickets import Urgency

FORMAT = 1
LARGEST_FILE = 8_000_000
"""Bytes; `deskclock train` writes a quarter of it at most."""
LARGEST_WEIGHTS = 4_000_000
"""Numbers, each of one byte unpacked."""
MOST_CLASSES = 64
"""Of one head."""
MARGIN = 0.02
"""A model has learned something where it beats the better of both baselines by more macro-F1 than this, at the least."""
_MAGIC = b"DCKMODEL"
_URGENCIES = frozenset(urgency.value for urgency in Urgency)
_DIGEST = 32
_LARGEST_HEADER = 1_000_000

Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Gain: TypeAlias = Annotated[float, Meta(ge=-1, le=1)]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
ClassName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]


class BadModel(ValueError):
    """The file is no model, or not whole; the text says what is wrong and the way out."""


class Field(StrEnum):
    """What a head says of a ticket. Never its channel, which the helpdesk knows."""

    THEME = "theme"
    URGENCY = "urgency"


class Line(Struct, frozen=True, kw_only=True):
    """How one class did on texts that the model had not seen."""

    name: ClassName
    precision: Share
    recall: Share
    f1: Share
    support: Count


class Sure(Struct, frozen=True, kw_only=True):
    """What is left where the model must be this sure, of texts it had not seen."""

    confidence: Share
    answered: Share
    """The share of texts about which it is."""
    right: Share
    """The share of these that it gets right."""


class Report(Struct, frozen=True, kw_only=True):
    """How a head did on texts it had not seen: each row judged by a model made without it and all its near-duplicates."""

    rows: Count
    groups: Count
    """Near-duplicates are one group; a group is never on both sides."""
    folds: Count
    classes: Annotated[tuple[Line, ...], Meta(min_length=2, max_length=MOST_CLASSES)]
    accuracy: Share
    macro_f1: Share
    majority: ClassName
    """The most frequent class; always saying so is the first baseline."""
    majority_f1: Share
    """Its macro-F1."""
    blind_f1: Share
    """Macro-F1 of the second: the model's own answers, dealt out without a look at the texts."""
    gain: Gain
    """Macro-F1 over the better of both."""
    gain_low: Gain
    """At the least: lower end of its 99 % interval, by drawing groups again and again."""
    gain_high: Gain
    sure: tuple[Sure, ...] = ()

    @property
    def has_learned(self) -> bool:
        """Whether it beats both baselines by a margin that luck doesn't explain; what hasn't may not be promoted."""
        return self.gain_low > MARGIN


class Head(Struct, frozen=True, kw_only=True):
    """One question the model answers."""

    field: Field
    classes: Annotated[tuple[ClassName, ...], Meta(min_length=2, max_length=MOST_CLASSES)]
    temperature: Annotated[float, Meta(ge=1e-3, le=1_000)]
    """Scores are divided by it, so that of what it says with 70 % confidence, 70 % is right; less could not be calculated with."""
    report: Report


class Header(Struct, frozen=True, kw_only=True):
    """All that is known of a model but its weights."""

    format: int = FORMAT
    shape: Shape
    heads: Annotated[tuple[Head, ...], Meta(min_length=1, max_length=2)]
    rows: Count
    """Of the history it was made from."""
    used: Count
    """Drawn from these by the seed."""
    refused: Count
    """Lines that could not be read."""
    fingerprint: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of all rows that could be read."""
    languages: dict[str, int] = {}
    """Rows used, by language where the history names it."""
    seed: int = 0
    made_by: Annotated[str, Meta(max_length=200)] = ""

    @property
    def columns(self) -> int:
        """Classes of all heads."""
        return sum(len(head.classes) for head in self.heads)

    @property
    def learned(self) -> tuple[Field, ...]:
        """Heads that beat the baselines."""
        return tuple(head.field for head in self.heads if head.report.has_learned)


class Weights(Struct, frozen=True, kw_only=True, eq=False):
    """A model's file, read: the bytes are still to be made arrays of."""

    header: Header
    raw: bytes
    """Biases, scales and weights as described above."""


def write(header: Header, raw: bytes) -> bytes:
    """The file of a model."""
    head = msgspec.json.encode(header)
    body = b"".join((_MAGIC, struct.pack(">I", len(head)), head, zlib.compress(raw, 9)))
    return body + hashlib.sha256(body).digest()


def size_of(header: Header) -> int:
    """Bytes of the unpacked weights."""
    return header.columns * (header.shape.places + 8)


def read(file: bytes) -> Weights:
    """Read a model's file, whoever made it; raises BadModel."""
    header, start = _header(file)
    if header.columns * header.shape.places > LARGEST_WEIGHTS:
        raise BadModel(
            f"it has more than {LARGEST_WEIGHTS:,} weights: train it with `deskclock train`, which keeps it small"
        )
    expected = size_of(header)
    unpacking = zlib.decompressobj()
    try:
        raw = unpacking.decompress(file[start:-_DIGEST], expected + 1)
    except zlib.error as error:
        raise _damaged(f"its weights can't be unpacked ({error})") from None
    if len(raw) != expected or not unpacking.eof or unpacking.unused_data:
        raise _damaged(f"its weights are not the {expected:,} bytes that its header names")
    return Weights(header=header, raw=raw)


def read_header(file: bytes) -> Header:
    """What the file says of itself; raises BadModel."""
    return _header(file)[0]


def _header(file: bytes) -> tuple[Header, int]:
    if len(file) > LARGEST_FILE:
        raise BadModel(f"it is larger than {LARGEST_FILE:,} bytes; no model is")
    if not file.startswith(_MAGIC):
        raise BadModel("it is no model: give a file that `deskclock train` has written")
    start = len(_MAGIC) + 4
    if len(file) < start + _DIGEST or hashlib.sha256(file[:-_DIGEST]).digest() != file[-_DIGEST:]:
        raise _damaged("it isn't whole (its checksum differs)")
    (length,) = struct.unpack_from(">I", file, len(_MAGIC))
    if length > min(_LARGEST_HEADER, len(file) - start - _DIGEST):
        raise _damaged("its header is longer than the file")
    try:
        header = msgspec.json.decode(file[start : start + length], type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(f"its header can't be read ({error})") from None
    if header.format != FORMAT:
        raise BadModel(
            f"it is of format {header.format}, and known is {FORMAT}: use the deskclock that made it, or train again"
        )
    for head in header.heads:
        if len(set(head.classes)) != len(head.classes):
            raise _damaged(f"the {head.field} head names a class twice")
        if head.field is Field.URGENCY and not _URGENCIES.issuperset(head.classes):
            raise BadModel(f"its urgencies are not among {', '.join(Urgency)}: train it with these (--means)")
    if len({head.field for head in header.heads}) != len(header.heads):
        raise _damaged("it has two heads for the same field")
    return header, start + length


def _damaged(what: str) -> BadModel:
    return BadModel(f"{what}: copy the file again, or train again")
