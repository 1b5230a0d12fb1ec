"""Lines of a file gathered by ticket in bounded memory, wherever in the file a ticket's lines stand.

Lines are dealt by a hash of their ticket into files on disk, and a file that is still too large once more, until one
fits in memory. Answers are merged back in the order in which the tickets first appeared. Disk: about
the lines and the answers together.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

FAN_OUT_BITS = 5
"""Each dealing makes at most 32 files."""
FITS_IN_MEMORY = 512 * 1024
"""Bytes of lines of which all tickets are held at once. One ticket's own lines are held together however many they are."""
_MASK = (1 << FAN_OUT_BITS) - 1
_HASH_BITS = 64
_BUFFER = 32 * 1024


class Line(Struct, frozen=True):
    """One line on its way."""

    number: int
    """Its place in the input, from 1."""
    ticket: int
    """Hash of its ticket, 64 bits without a sign."""
    text: bytes

    @property
    def row(self) -> bytes:
        """As it stands in a part."""
        return b"%d %d %b\n" % (self.number, self.ticket, self.text)


Answer: TypeAlias = tuple[int, bytes]
"""The number of the line in which the ticket first appeared, and one line on it, without its end."""

Judge: TypeAlias = Callable[[Iterator[Line]], Iterable[Answer]]
"""Judges all tickets of some lines; the lines come in order and the answers must too."""


def dealt(lines: Iterable[Line], folder: Path) -> list[Path]:
    """Deal all lines into files of an empty folder: the parts, each with all lines of its tickets."""
    return _deal(lines, folder, 0)


def judged(part: Path, judge: Judge) -> Path:
    """Judge all tickets of a part; the part is replaced by the file of its answers. Parts may be judged side by side."""
    return _judged(part, judge, 1)


def merged(answers: Iterable[Path]) -> Iterator[bytes]:
    """The answers on all parts, in the order in which the tickets first appeared; the files are removed."""
    yield from (text for _, text in _merged(answers))


def _deal(lines: Iterable[Line], folder: Path, depth: int) -> list[Path]:
    """Deal lines into files of `folder` by the bits of their hash that no dealing before has used."""
    shift = depth * FAN_OUT_BITS
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        files: dict[int, Callable[[bytes], object]] = {}
        for line in lines:
            place = line.ticket >> shift & _MASK
            write = files.get(place)
            if write is None:
                path = folder / f"{place:02}"
                file = stack.enter_context(path.open("wb", buffering=_BUFFER))
                write = files[place] = file.write
            write(line.row)
    return sorted(folder.iterdir())


def _judged(part: Path, judge: Judge, depth: int) -> Path:
    """Judge the tickets of a part, dealing it again where it is too large; the part is replaced by its answers."""
    answers = part.with_suffix(".answers")
    is_spent = (depth + 1) * FAN_OUT_BITS > _HASH_BITS
    if part.stat().st_size > FITS_IN_MEMORY and not is_spent and not _is_one_ticket(part):
        folder = part.with_suffix(".parts")
        parts = _deal(_read(part), folder, depth)
        part.unlink()
        _write(answers, _merged([_judged(each, judge, depth + 1) for each in parts]))
        folder.rmdir()
    else:
        _write(answers, judge(_read(part)))
        part.unlink()
    return answers


def _is_one_ticket(part: Path) -> bool:
    """Whether dealing again is no use."""
    lines = _read(part)
    first = next(lines).ticket
    return all(line.ticket == first for line in lines)


def _read(path: Path) -> Iterator[Line]:
    with path.open("rb", buffering=_BUFFER) as file:
        for row in file:
            number, ticket, text = row.split(b" ", 2)
            yield Line(int(number), int(ticket), text[:-1])


def _write(path: Path, answers: Iterable[Answer]) -> None:
    with path.open("wb", buffering=_BUFFER) as file:
        file.writelines(b"%d %b\n" % answer for answer in answers)


def _merged(paths: Iterable[Path]) -> Iterator[Answer]:
    """The answers of several files in one order; the files are removed."""
    files = list(paths)
    yield from heapq.merge(*map(_answers, files))
    for path in files:
        path.unlink()


def _answers(path: Path) -> Iterator[Answer]:
    with path.open("rb", buffering=_BUFFER) as file:
        for row in file:
            number, _, text = row.partition(b" ")
            yield int(number), text[:-1]
