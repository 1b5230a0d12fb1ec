"""A helpdesk's history as CSV: one row a ticket, with what it was about and how urgent it was. Memory stays bounded.

Of more rows than are used, a sample is drawn by the seed, each row as likely as any other.
"""

import csv
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct, field

from services.router.domain import features
from services.router.domain.classify import UNKNOWN_THEME
from services.router.domain.weights import Field
from services.router.store.trained import Corrected
from shared.contract.tickets import Urgency

FAULTS_SHOWN = 20
LONGEST_CELL = 1_000_000
_LONGEST_NAME = 200
_SEPARATORS = ",;\t|"
_SURROGATES = ("\udc80", "\udcff")


class BadHistory(ValueError):
    """The file can't be learned from; the text says why and the way out."""


class _Unusable(Exception):
    """What is wrong with a row."""


class Columns(Struct, frozen=True, kw_only=True):
    """What the columns are called; upper and lower case are the same."""

    subject: str = "subject"
    text: str = "text"
    theme: str = "theme"
    urgency: str = "urgency"
    language: str = "language"


CORRECTION_COLUMNS = ("subject", "text", "theme", "urgency", "language")


class Row(NamedTuple):
    """One ticket that can be learned from."""

    text: str
    """As much as a model reads of it."""
    labels: Mapping[Field, str]
    language: str


class Fault(NamedTuple):
    """A row that can't be used."""

    line: int
    """Where it ends in the file; the first is 1."""
    reason: str


class History(Struct, kw_only=True):
    """What was read."""

    used: list[Row] = field(default_factory=list)
    rows: int = 0
    """That could be read, whether used or not."""
    faults: int = 0
    first_faults: list[Fault] = field(default_factory=list)
    fingerprint: str = ""
    """SHA-256 of all rows that could be read."""

    @property
    def languages(self) -> dict[str, int]:
        """Rows used, by language, where the history names it; the most frequent first."""
        return dict(Counter(row.language for row in self.used if row.language).most_common(_LONGEST_NAME))


class Reading:
    """Reads one file after the other into one history; the sample is of all of them."""

    def __init__(self, *, most: int, seed: int, tick: Callable[[], None] = lambda: None) -> None:
        """Keep at most `most` rows; `tick` is called for each row read."""
        self._history = History()
        self._digest = hashlib.sha256()
        self._chance = random.Random(seed)  # noqa: S311 - a sample, no secret
        self._most = most
        self._tick = tick

    def read(self, lines: Iterable[str], columns: Columns, meanings: Mapping[str, Urgency]) -> None:
        """Read rows under a header; `meanings` are a helpdesk's names of urgencies, case-folded.

        Bytes that are not UTF-8 come as surrogates. Raises BadHistory where the columns are not there.
        """
        csv.field_size_limit(LONGEST_CELL)
        told = iter(lines)
        head = next(told, "").removeprefix("\ufeff")
        separator = max(_SEPARATORS, key=head.count)
        names = [name.strip().casefold() for name in next(csv.reader([head], delimiter=separator), [])]
        places = _places(names, columns)
        for line, cells in _rows(told, separator, self._history):
            self._tick()
            try:
                self._keep(_row(cells, places, meanings, len(names)))
            except _Unusable as fault:
                _note(self._history, line, str(fault))

    def add(self, corrected: Corrected) -> None:
        """A ticket that somebody corrected; one without text is left out."""
        said = dict(zip(CORRECTION_COLUMNS, cells_of(corrected), strict=True))
        text = features.text_of(said["subject"], said["text"])
        labels = {field: said[field] for field in Field if said[field] and said[field] != UNKNOWN_THEME}
        if text.strip() and labels:
            self._tick()
            self._keep(Row(text, labels, said["language"].casefold()))

    def _keep(self, row: Row) -> None:
        history = self._history
        history.rows += 1
        self._digest.update(repr((row.text, sorted(row.labels.items()))).encode())
        if len(history.used) < self._most:
            history.used.append(row)
        elif (at := self._chance.randrange(history.rows)) < self._most:
            history.used[at] = row

    def done(self) -> History:
        """What was read."""
        self._history.fingerprint = self._digest.hexdigest()
        return self._history


def cells_of(corrected: Corrected) -> tuple[str, ...]:
    """A ticket that somebody corrected as a row under `CORRECTION_COLUMNS`."""
    said = (corrected.subject, corrected.text, corrected.theme, corrected.urgency, corrected.language)
    return tuple(cell or "" for cell in said)


def _rows(lines: Iterator[str], separator: str, history: History) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, and the line of the file in which it ends."""
    reader = csv.reader(lines, delimiter=separator)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            reason = f"{error}: a quote may be open" if "limit" in str(error) else str(error)
            _note(history, reader.line_num + 1, reason)
            continue
        if cells is None:
            return
        if cells:
            yield reader.line_num + 1, cells


def _places(names: list[str], columns: Columns) -> dict[str, int]:
    wanted = {
        "subject": columns.subject, "text": columns.text, "theme": columns.theme, "urgency": columns.urgency,
        "language": columns.language,
    }  # fmt: skip
    places = {role: names.index(name.casefold()) for role, name in wanted.items() if name.casefold() in names}
    found = ", ".join(name for name in names if name) or "nothing"
    for role, name in wanted.items():
        if role not in places and name != role:
            raise BadHistory(f"no column `{name}` for --{role} (found: {found})")
    if "text" not in places and "subject" not in places:
        raise BadHistory(
            f"no column `{columns.text}` or `{columns.subject}` (found: {found}): name it with --text or --subject"
        )
    if "theme" not in places and "urgency" not in places:
        raise BadHistory(
            f"no column `{columns.theme}` or `{columns.urgency}` (found: {found}): name it with --theme or --urgency"
        )
    return places


def _row(cells: list[str], places: Mapping[str, int], meanings: Mapping[str, Urgency], width: int) -> Row:
    """The row; raises _Unusable."""
    if len(cells) != width:
        raise _Unusable(f"{len(cells)} cells where the header has {width}")
    said = {role: cells[place].strip() for role, place in places.items()}
    if any(_SURROGATES[0] <= character <= _SURROGATES[1] for cell in said.values() for character in cell):
        raise _Unusable("not UTF-8: save the file in that encoding")
    text = features.text_of(said.get("subject", ""), said.get("text", ""))
    if not text.strip():
        raise _Unusable("no text")
    labels = _labels(said.get("theme", ""), said.get("urgency", ""), meanings)
    if not labels:
        raise _Unusable("neither theme nor urgency")
    return Row(text, labels, said.get("language", "")[:35].casefold())


def _labels(theme: str, urgency: str, meanings: Mapping[str, Urgency]) -> dict[Field, str]:
    labels: dict[Field, str] = {}
    if len(theme) > _LONGEST_NAME:
        raise _Unusable(f"a theme of over {_LONGEST_NAME} characters")
    if theme and theme != UNKNOWN_THEME:
        labels[Field.THEME] = theme
    if urgency:
        meant = meanings.get(urgency.casefold())
        if meant is None:
            known = ", ".join(Urgency)
            raise _Unusable(f"urgency `{urgency[:40]}`: known are {known}; say what it means with --means")
        labels[Field.URGENCY] = meant.value
    return labels


def _note(history: History, line: int, reason: str) -> None:
    history.faults += 1
    if len(history.first_faults) < FAULTS_SHOWN:
        history.first_faults.append(Fault(line, reason))
