"""A page in the few letters of a text message: what broke, the page's id, the link, in as few segments as that takes.

Within the GSM alphabet a segment of several has 153 letters, with any other letter in it 67. Signs and accents outside the
alphabet are written with its letters; only a name in another script makes the message wide.
"""

import unicodedata
from uuid import UUID

_SEGMENTS, _WIDE_SEGMENTS = 2, 4
_SEGMENT, _WIDE_SEGMENT = 153, 67
_LEAST = 20
_ALPHABET = frozenset(
    "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_TWICE = frozenset("^{}\\[~]|€")
_INSTEAD = {
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{NO-BREAK SPACE}": " ",
}


def short_id(page_id: UUID) -> str:
    """A page's id as far as a person compares it (R36)."""
    return page_id.hex[:8]


def text_message(page_id: UUID, line: str, link: str) -> str:
    """What broke, the page's id and its link; of the line as much as there is room for."""
    line = " ".join(line.split())
    tail = f" (page {short_id(page_id)})" + (f" {link}" if link else "")
    narrow = "".join(_narrow(letter) for letter in line)
    if all(letter in _ALPHABET or letter in _TWICE for letter in narrow):
        return _cut(narrow, _SEGMENTS * _SEGMENT - size(tail)) + tail
    wide = "".join(letter if letter.isprintable() else " " for letter in line)
    return _cut(wide, _WIDE_SEGMENTS * _WIDE_SEGMENT - _units(tail)) + tail


def size(text: str) -> int:
    """Letters that a text takes: of the GSM alphabet, else of UTF-16."""
    if all(letter in _ALPHABET or letter in _TWICE for letter in text):
        return len(text) + sum(letter in _TWICE for letter in text)
    return _units(text)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _narrow(letter: str) -> str:
    """The letter within the alphabet; itself, where it is one that nothing there stands for."""
    if letter in _ALPHABET or letter in _TWICE:
        return letter
    if letter in _INSTEAD:
        return _INSTEAD[letter]
    base = unicodedata.normalize("NFKD", letter)[:1]
    if base in _ALPHABET:
        return base
    return letter if letter.isalpha() else "?"


def _cut(text: str, room: int) -> str:
    room = max(room, _LEAST)
    if size(text) <= room:
        return text
    while size(text) > room - 3:
        text = text[:-1]
    return f"{text}..."
