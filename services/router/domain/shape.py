"""How large the space of hashed n-grams is; known without numpy."""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

Bits: TypeAlias = Annotated[int, Meta(ge=6, le=20)]


class Shape(Struct, frozen=True, kw_only=True):
    """How many places the hashed n-grams have, as powers of two."""

    word_bits: Bits
    character_bits: Bits

    @property
    def places(self) -> int:
        """Of both sorts: words first, then characters."""
        return (1 << self.word_bits) + (1 << self.character_bits)
