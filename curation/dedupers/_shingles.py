"""What texts share: sets of shingles, their runs of characters or words, and how much two sets overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.pairs import compared_texts, normalize
from curation.core.records import digest
from curation.dedupers._hashing import GOLDEN, Hashes, mixed, of_words

Places = npt.NDArray[np.int64]

DECIMALS: Final = 6
"""Similarities are rounded to so many places, and judged as rounded."""

_PAIRS_AT_ONCE: Final = 4096  # compared at a time


@dataclass(frozen=True)
class Shingles:
    """How a text becomes a set of 64-bit hashes, one a shingle."""

    by: str
    unit: str
    ngram: int

    def each(self, rows: pd.DataFrame) -> Iterator[list[Hashes]]:
        """The sets of each row's compared texts; that of an empty text is empty."""
        words: dict[str, int] = {}
        for texts in zip(*compared_texts(rows, self.by), strict=True):
            yield [self._set(normalize(text), words) for text in texts]

    def _set(self, text: str, words: dict[str, int]) -> Hashes:
        codes = of_words(text.split(), words) if self.unit == "word" else _characters(text)
        length = min(self.ngram, len(codes))
        if not length:
            return codes
        hashes = np.zeros(len(codes) - length + 1, dtype=np.uint64)
        for start in range(length):
            hashes = mixed(hashes + codes[start : start + len(hashes)] + GOLDEN)
        return np.unique(hashes)


def _characters(text: str) -> Hashes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)


@dataclass(frozen=True)
class Keys:
    """The hash of each record's sets, as column `key`."""

    shingles: Shingles

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        keys = [
            digest(*(each.astype("<u8").tobytes() for each in sets)) if any(len(each) for each in sets) else None
            for sets in self.shingles.each(rows)
        ]
        return pd.DataFrame({"key": pd.Series(keys, dtype=object)})


@dataclass(frozen=True)
class Sets:
    """Sets of hashes, one after the other, each sorted."""

    hashes: Hashes
    sizes: Places

    @classmethod
    def of(cls, sets: Sequence[Hashes]) -> Sets:
        """Of sorted sets."""
        sizes = np.array([len(each) for each in sets], dtype=np.int64)
        return cls(np.concatenate([np.empty(0, dtype=np.uint64), *sets]), sizes)


def sets_in(rows: pd.DataFrame, places: Places, shingles: Shingles) -> list[Sets]:
    """The sets of chosen rows, for each compared text."""
    return [Sets.of(column) for column in zip(*shingles.each(rows.iloc[places]), strict=True)]


def similarities(parts: Sequence[list[Sets]], rows: Places, columns: Places) -> npt.NDArray[np.float64]:
    """The Jaccard index of chosen pairs, the smallest over the compared texts; texts are counted through `parts`."""
    return jaccard(matrices_of(parts), rows, columns)


def matrices_of(parts: Sequence[list[Sets]]) -> list[Any]:
    """For each compared text, which text (row) has which shingle (column), as sparse ones."""
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

    matrices = []
    for column in zip(*parts, strict=True):
        sizes = np.concatenate([sets.sizes for sets in column])
        vocabulary, shingles = np.unique(np.concatenate([sets.hashes for sets in column]), return_inverse=True)
        borders = np.concatenate([[0], np.cumsum(sizes)])
        ones = np.ones(len(shingles), dtype=np.int32)
        matrices.append(csr_array((ones, shingles, borders), shape=(len(sizes), len(vocabulary))))
    return matrices


def jaccard(matrices: Sequence[Any], rows: Places, columns: Places) -> npt.NDArray[np.float64]:
    """The shared shingles of chosen pairs by all that they have, the smallest over the compared texts, rounded."""
    result = np.ones(len(rows))
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        for matrix in matrices:
            sizes = np.diff(matrix.indptr)
            shared = matrix[rows[some]].multiply(matrix[columns[some]]).sum(axis=1)
            everything = sizes[rows[some]] + sizes[columns[some]] - shared
            index = np.where(everything == 0, 1.0, shared / np.maximum(everything, 1))  # two empty texts are equal
            result[some] = np.minimum(result[some], index)
    return result.round(DECIMALS)
