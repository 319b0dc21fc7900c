"""64-bit hashes of words and of numbers, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that multiplying by it loses nothing, and unlike any number in data."""

_ROUNDS: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def mixed(values: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): each bit of a number moves all bits of its hash."""
    for shift, factor in _ROUNDS:
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    result: Hashes = values ^ (values >> np.uint64(31))
    return result


def of_words(words: Sequence[str], known: dict[str, int]) -> Hashes:
    """BLAKE2b of each word, in order; `known` keeps what was hashed before."""
    for word in words:
        if word not in known:
            known[word] = _of_word(word)
    return np.array([known[word] for word in words], dtype=np.uint64)


def _of_word(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
