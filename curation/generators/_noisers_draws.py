"""Random numbers that depend on a seed alone, on every machine and in every version of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import shake_128
from itertools import chain, count
from struct import unpack
from typing import Final, TypeVar

T = TypeVar("T")

_BLOCK: Final = 64
_FEW: Final = 40  # of the first block: as many as one permutation of the hash gives, and most texts need
_UNIT: Final = 2.0**-32


class Draws:
    """A stream of random numbers, ready in a microsecond: `random.Random` takes eight before its first number.

    Args:
        seed: of 64 bits.
    """

    __slots__ = ("random",)

    random: Callable[[], float]
    """The next number, at least 0 and below 1, a multiple of 2**-32."""

    def __init__(self, seed: int) -> None:
        self.random = map(_UNIT.__mul__, chain.from_iterable(_blocks(seed))).__next__

    def choice(self, sequence: Sequence[T]) -> T:
        """One of the members, each equally likely."""
        return sequence[int(self.random() * len(sequence))]

    def shuffled(self, sequence: Sequence[T]) -> list[T]:
        """The members in any order, each order equally likely."""
        keys = [self.random() for _ in sequence]
        return [sequence[place] for place in sorted(range(len(sequence)), key=keys.__getitem__)]


def _blocks(seed: int) -> Iterator[tuple[int, ...]]:
    start = seed.to_bytes(8, "little")
    first = shake_128(start + bytes(8))
    yield unpack(f"<{_FEW}I", first.digest(4 * _FEW))
    yield unpack(f"<{_BLOCK - _FEW}I", first.digest(4 * _BLOCK)[4 * _FEW :])
    for number in count(1):
        yield unpack(f"<{_BLOCK}I", shake_128(start + number.to_bytes(8, "little")).digest(4 * _BLOCK))
